"""What these tests ask with: orders that wait until they are stored, pages, and events."""

from __future__ import annotations

import http.client
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from tests.service_process import Answer, ServiceProcess

_NUMBERS = itertools.count()


def own_topic() -> str:
    """Return a topic that no other test uses."""
    return f"own{next(_NUMBERS)}"


def head(service: ServiceProcess) -> int:
    """Return the id of the newest message shown."""
    position: str = service.get("/messages?limit=1").headers["X-Log-Position"]
    return int(position.partition(".")[2])


def epoch(service: ServiceProcess) -> str:
    """Return the epoch of the log."""
    return str(service.get("/stats").json()["epoch"])


def store(service: ServiceProcess, *orders: dict[str, Any]) -> list[dict[str, Any]]:
    """Publish at QoS 1 (unless an order says otherwise); return the messages, once stored."""
    before = head(service)
    body = {"messages": [{"qos": 1, **order} for order in orders]}
    answer = service.post("/publish/batch", body)
    assert answer.status == 200, answer.content
    found: list[dict[str, Any]] = []

    def all_are_there() -> bool:
        found[:] = service.get(f"/messages?after={before}&limit=10000").json()
        return len(found) >= len(orders)

    service.wait_for(all_are_there)
    assert [message["topic"] for message in found] == [order["topic"] for order in orders]
    return found


def payloads(service: ServiceProcess, topic: str, *values: Any) -> list[dict[str, Any]]:
    """Store messages of one topic."""
    return store(service, *({"topic": topic, "payload": value} for value in values))


def ids(answer: Answer | Sequence[dict[str, Any]]) -> list[int]:
    """Return the ids of messages, or of those in an answer."""
    if isinstance(answer, Answer):
        assert answer.status == 200, answer.content
        answer = answer.json()
    return [message["id"] for message in answer]


def quoted(text: str) -> str:
    """Return a text as the value of a query parameter."""
    return quote(text, safe="")


def next_page(answer: Answer) -> str | None:
    """Return the path of the page that follows, as the Link header has it, or None."""
    link = answer.headers["Link"]
    if link is None:
        return None
    found = re.fullmatch(r'<([^>]+)>; rel="next"', link)
    assert found, link
    return "/" + found.group(1)


def pages(service: ServiceProcess, path: str, at_most: int = 1000) -> Iterator[list[Any]]:
    """Follow the Link header from page to page until there is none."""
    following: str | None = path
    for _ in range(at_most):
        if following is None:
            return
        answer = service.get(following)
        assert answer.status == 200, answer.content
        yield answer.json()
        following = next_page(answer)
    raise AssertionError(f"{path} does not end")


class Events:
    """A reader of /events, as plain as can be."""

    def __init__(self, connection: http.client.HTTPConnection, query: str) -> None:
        connection.request("GET", f"/events{query}")
        self.answer = connection.getresponse()
        assert self.answer.status == 200, self.answer.read()
        assert self.answer.headers["Content-Type"].startswith("text/event-stream")

    def next(self, kind: str) -> dict[str, Any]:
        """Return the data of the next event, which must be of this type; `status` is passed."""
        while True:
            fields: dict[str, str] = {}
            while (line := self.answer.readline()) != b"\n":
                assert line, "the stream has ended"
                name, _, value = line.decode().rstrip("\n").partition(": ")
                fields[name] = value
            if "event" not in fields or fields["event"] == "status" != kind:
                continue
            assert fields["event"] == kind, fields
            data: dict[str, Any] = json.loads(fields["data"])
            assert data["type"] == kind
            if kind == "message":
                assert fields["id"].endswith(f".{data['id']}")
            return data


@contextmanager
def events(service: ServiceProcess, query: str = "") -> Iterator[Events]:
    """Read /events; the welcome has come already."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        reader = Events(connection, query)
        reader.next("welcome")
        yield reader
        reader.answer.close()
    finally:
        connection.close()


def faults(answer: Answer) -> set[str]:
    """Return the paths of all faults of a 422."""
    assert answer.status == 422, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    return {fault["path"] for fault in answer.json()["errors"]}
