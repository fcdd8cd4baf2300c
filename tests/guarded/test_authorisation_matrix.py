"""Who may do what: every operation of the document, asked by every kind of caller."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest

from handlers.contract import METHODS, load_document
from tests.guarded.asking import UPGRADE, EventStream, ask, bearer, key_of
from tests.guarded.authorised import CALLERS, OPEN_TOPIC, SECRET_PAYLOAD, SECRET_TOPIC, all_messages
from tests.mosquitto import mosquitto_path
from tests.service_process import Answer, ServiceProcess

PUBLIC = {
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/redoc",
    "/assets/{file}",
    "/dashboard",
    "/dashboard/{path}",
}

_ADDRESSES = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """One operation: how it is asked about a topic, and what the answers are.

    `outside` is the status for a key whose filters do not reach the topic.
    """

    method: str
    path: str
    target: str = ""
    body: Any = None
    inside: int = 200
    outside: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, service: ServiceProcess, key: str | None, topic: str, ids: dict[str, int]
    ) -> Answer:
        """Ask it, from an address of its own: wrong keys are counted by address."""
        number = next(_ADDRESSES)
        address = f"10.1.{number // 250}.{number % 250}"
        headers = {"X-Forwarded-For": address, **self.headers, **(bearer(key) if key else {})}
        target = (self.target or self.path).replace("{topic}", quote(topic))
        target = target.replace("{id}", str(ids[topic]))
        body = self.body
        if body is not None:
            body = json.loads(json.dumps(body).replace("{topic}", topic))
        if self.path == "/events":
            stream = EventStream(service, target.removeprefix("/events"), headers)
            content = b"" if stream.status == 200 else stream.answer.read()
            stream.close()
            return Answer(stream.status, stream.answer.headers, content)
        return ask(service, self.method, target, body, headers)


ROWS = (
    *(Row("GET", path) for path in sorted(PUBLIC - {"/assets/{file}", "/dashboard/{path}"})),
    Row("GET", "/dashboard/{path}", "/dashboard/app.js"),
    Row("GET", "/assets/{file}", "/assets/docs.js"),
    Row("GET", "/stats"),
    Row("GET", "/metrics"),
    Row("GET", "/subscriptions"),
    Row("GET", "/whoami"),
    Row("GET", "/messages", "/messages?topic={topic}"),
    Row("GET", "/messages/{id}", outside=404),
    Row("GET", "/messages/{id}/payload", outside=404),
    Row("DELETE", "/messages", "/messages?topic={topic}&before=1"),
    Row("GET", "/topics", "/topics?topic={topic}"),
    Row("GET", "/topics/{topic}", outside=403),
    Row("GET", "/series", "/series?topic={topic}", outside=403),
    Row("GET", "/export", "/export?topic={topic}"),
    Row("GET", "/backup", inside=403, outside=403),  # it holds every topic
    Row("POST", "/publish", body={"topic": "{topic}", "payload": 1, "qos": 1}, outside=403),
    Row(
        "POST",
        "/publish/batch",
        body={"messages": [{"topic": "{topic}", "payload": 1}]},
        outside=207,  # each message has an outcome of its own
    ),
    Row(
        "POST",
        "/request",
        body={"topic": "{topic}/ask", "payload": "?", "timeout": 20},
        outside=403,
    ),
    Row("POST", "/subscribe", body={"topic": "{topic}/held"}, outside=403),
    Row("DELETE", "/subscribe/{topic}", "/subscribe/{topic}/held", outside=403),
    Row("POST", "/ws/ticket"),
    Row("GET", "/ws", "/ws?topic={topic}", inside=101, outside=101, headers=UPGRADE),
    Row("GET", "/events", "/events?topic={topic}"),
)


@pytest.fixture(scope="module")
def ids(secretive: ServiceProcess) -> dict[str, int]:
    """The id of one message by topic."""
    return {one["topic"]: one["id"] for one in all_messages(secretive)}


def operations() -> dict[tuple[str, str], str]:
    """Return the scope of each operation of the document."""
    return {
        (method.upper(), path): item[method]["x-scope"]
        for path, item in load_document()["paths"].items()
        for method in METHODS
        if method in item
    }


def expected(row: Row, scope: str, caller: str) -> int:
    """Return the status that a caller is to get who asks about a topic in its filters."""
    if scope == "public":
        return row.inside
    if caller in ("nobody", "wrong", "expired"):
        # A WebSocket may bring its key in the first frame; until then nothing is sent.
        return 101 if row.path == "/ws" and caller == "nobody" else 401
    has = CALLERS[caller]["scopes"]
    if scope != "any" and scope not in has:
        return 403
    if row.path == "/backup":
        return 403 if caller == "narrow" else 200
    return row.inside


def test_the_table_has_every_operation() -> None:
    """No route or stream of the document is missing here, and none is public by mistake."""
    assert {(row.method, row.path) for row in ROWS} == set(operations())
    assert {path for (_, path), scope in operations().items() if scope == "public"} == PUBLIC


def test_every_cell_of_the_table(secretive: ServiceProcess, ids: dict[str, int]) -> None:
    """Each caller gets, for each operation, exactly the status that its key deserves."""
    scopes, wrong = operations(), []
    for row in ROWS:
        scope = scopes[row.method, row.path]
        for caller in ("nobody", "wrong", *CALLERS):
            if caller in ("reader", "blind"):
                continue
            key = None if caller == "nobody" else key_of(caller)
            topic = OPEN_TOPIC
            if row.path == "/subscribe/{topic}":
                _hold(secretive, f"{topic}/held")
            want = expected(row, scope, caller)
            answer = row.ask(secretive, key, topic, ids)
            if answer.status != want:
                wrong.append((row.method, row.path, caller, want, answer.status, answer.content))
        want = row.inside if scope == "public" else row.outside
        answer = row.ask(secretive, key_of("narrow"), SECRET_TOPIC, ids)
        if answer.status != want:
            wrong.append((row.method, row.path, "outside", want, answer.status, answer.content))
        assert SECRET_PAYLOAD.encode() not in answer.content + str(answer.headers).encode()
    assert not wrong


def _hold(service: ServiceProcess, topic: str) -> None:
    answer = ask(service, "POST", "/subscribe", {"topic": topic}, bearer(key_of("everything")))
    assert answer.status == 200


def test_refusals_say_how_to_do_better(secretive: ServiceProcess, ids: dict[str, int]) -> None:
    """A 401 names the scheme, a 403 the key's name and what it lacks; both are problems."""
    row = next(row for row in ROWS if row.path == "/stats")
    refused = row.ask(secretive, None, OPEN_TOPIC, ids)
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.headers["Content-Type"] == "application/problem+json"
    lacking = row.ask(secretive, key_of("publish"), OPEN_TOPIC, ids).json()
    assert lacking["detail"] == "the key publish lacks the scope read"


def test_a_forbidden_message_of_a_batch_is_refused_alone(secretive: ServiceProcess) -> None:
    """In a batch the topic outside the filter gets its 403 and the others go out."""
    topics = ("open/a", "hidden/a", "open/b")
    body = {"messages": [{"topic": topic, "payload": "x"} for topic in topics]}
    answer = ask(secretive, "POST", "/publish/batch", body, bearer(key_of("narrow")))
    assert answer.status == 207
    assert [one["status"] for one in answer.json()["data"]["results"]] == [200, 403, 200]


def test_the_brokers_own_topics_need_the_scope_admin(secretive: ServiceProcess) -> None:
    """$SYS is the broker's: without the scope admin nobody may subscribe to it."""
    for topic in ("$SYS/#", "$SYS/broker/uptime"):
        answer = ask(secretive, "POST", "/subscribe", {"topic": topic}, bearer(key_of("subscribe")))
        assert answer.status == 403
    if mosquitto_path():
        for method, target, body in (
            ("POST", "/subscribe", {"topic": "$SYS/broker/uptime"}),
            ("DELETE", "/subscribe/$SYS/broker/uptime", None),
        ):
            answer = ask(secretive, method, target, body, bearer(key_of("everything")))
            assert answer.status == 200
