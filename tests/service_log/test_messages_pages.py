"""GET /messages page by page: Link, offsets, positions, a log that grows, and gaps."""

from __future__ import annotations

import itertools
import json
import threading
import time
from datetime import UTC, datetime

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client, publish_all
from tests.service.talking import history, wait_until_subscribed
from tests.service_log.asking import (
    epoch,
    ids,
    next_page,
    own_topic,
    pages,
    payloads,
    quoted,
    store,
)
from tests.service_process import ServiceProcess


def test_pages_go_both_ways(shared: ServiceProcess) -> None:
    """Following Link gives every message once: backwards to the beginning, forwards to the end."""
    topic = own_topic()
    stored = payloads(shared, topic, *range(10))
    for limit, sizes in ((4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (11, [10])):
        found = list(pages(shared, f"/messages?topic={topic}&limit={limit}"))
        assert [len(page) for page in found] == sizes
        assert [message for page in found for message in page] == stored[::-1]
    path = f"/messages?topic={topic}&limit=4&order=asc"
    found = []
    for _ in range(5):
        answer = shared.get(path)
        found.append(answer.json())
        path = next_page(answer) or ""
    assert [len(page) for page in found] == [4, 4, 2, 0, 0]
    assert [message for page in found for message in page] == stored
    (new,) = payloads(shared, topic, "new")
    assert shared.get(path).json() == [new], "a poller goes on where it stopped"


def test_a_link_keeps_the_whole_question(shared: ServiceProcess) -> None:
    """The page that follows asks for the same: filters, times, qos, retain, contains, format."""
    root = own_topic()
    orders = [
        {"topic": f"{root}/x y/{number % 2}", "payload": f"ä+&% {number}", "qos": number % 2}
        for number in range(12)
    ]
    stored = store(shared, *orders)
    wanted = [message for message in stored if message["qos"] == 1]
    day = wanted[0]["timestamp"]
    query = (
        f"/messages?topic={root}/+/1&topic={root}/%23&qos=1&retain=false&limit=4&format=ndjson"
        f"&contains={quoted('ä+&%')}&since={day}&until={datetime.now(UTC).isoformat()}"
    )
    for order, expected in (("desc", wanted[::-1]), ("asc", wanted)):
        first = shared.get(f"{query}&order={order}")
        following = next_page(first)
        assert following is not None
        second = shared.get(following)
        assert second.headers["Content-Type"] == "application/x-ndjson"
        lines = (first.content + second.content).splitlines()
        assert [json.loads(line) for line in lines] == expected


def test_an_offset_goes_into_the_past(shared: ServiceProcess) -> None:
    """`offset` skips; past the end is an empty list; the next page goes on behind this one."""
    topic = own_topic()
    stored = payloads(shared, topic, *range(6))
    answer = shared.get(f"/messages?topic={topic}&limit=2&offset=1")
    assert answer.json() == stored[::-1][1:3]
    assert shared.get(next_page(answer) or "").json() == stored[::-1][3:5]
    for offset in (6, 1_000_000):
        answer = shared.get(f"/messages?topic={topic}&offset={offset}")
        assert (answer.json(), answer.headers["Link"]) == ([], None)
        assert shared.get(f"/messages?topic={topic}&offset={offset}&order=asc").json() == []


def test_positions_and_bare_ids_bound_a_page(shared: ServiceProcess) -> None:
    """`after` and `before` are exclusive, and take an id or a position of this log."""
    topic = own_topic()
    stored = payloads(shared, topic, *range(5))
    known = [message["id"] for message in stored]
    for prefix in ("", f"{epoch(shared)}."):
        first, last = f"{prefix}{known[1]}", f"{prefix}{known[3]}"
        query = f"/messages?topic={topic}"
        assert ids(shared.get(f"{query}&after={first}")) == known[2:], "ascending with after"
        assert ids(shared.get(f"{query}&before={last}")) == known[2::-1]
        assert ids(shared.get(f"{query}&after={first}&before={last}")) == known[2:3]
        assert ids(shared.get(f"{query}&after={first}&order=desc")) == known[:1:-1]
        assert ids(shared.get(f"{query}&after={prefix}0&limit=1")) == known[:1]
        assert ids(shared.get(f"{query}&before={prefix}0")) == []


def test_a_growing_log_is_read_exactly_once(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """While messages pour in, following Link gives each exactly once, forwards and backwards."""
    topic, count = own_topic(), 3_000
    old = payloads(shared, topic, *(f"old{number}" for number in range(300)))

    def pour() -> None:
        with mqtt_client(shared_broker.port) as client:
            for first in range(0, count, 50):
                numbers = range(first, first + 50)
                publish_all(client, [(topic, str(number)) for number in numbers])

    pouring = threading.Thread(target=pour)
    pouring.start()
    forwards: list[int] = []
    path = f"/messages?after={old[0]['id'] - 1}&limit=37"
    backwards: list[int] = []
    back: str | None = f"/messages?topic={topic}&limit=7"
    deadline = time.monotonic() + 30
    while len(forwards) < count + len(old) or back is not None:
        assert time.monotonic() < deadline
        answer = shared.get(path)
        forwards += ids(answer)
        path = next_page(answer) or ""
        if back is not None and len(forwards) > 1_000:
            answer = shared.get(back)
            backwards += ids(answer)
            back = next_page(answer)
    pouring.join()
    assert ids(shared.get(path)) == []
    assert forwards == ids(history(shared, f"&topic={topic}"))
    known = [message_id for message_id in forwards if message_id <= backwards[0]]
    assert backwards == known[::-1]


def test_the_position_is_the_head_that_was_read(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """X-Log-Position is the newest id that the answer could hold, also while messages arrive."""
    topic = own_topic()
    payloads(shared, topic, "first")
    goes_on = threading.Event()

    def pour() -> None:
        with mqtt_client(shared_broker.port) as client:
            while not goes_on.is_set():
                publish_all(client, [(topic, "x") for _ in range(20)])

    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        seen: set[str] = set()
        paths = itertools.cycle(["/messages?limit=1", "/messages?format=csv"])
        deadline = time.monotonic() + 30
        while len(seen) < 40:
            assert time.monotonic() < deadline, "the log does not grow"
            path = next(paths)
            answer = shared.get(path)
            position = answer.headers["X-Log-Position"].partition(".")[2]
            if "csv" in path:
                newest = answer.content.split(b"\r\n")[1].split(b",")[0].decode()
            else:
                newest = str(answer.json()[0]["id"])
            assert newest == position
            seen.add(position)
        for _ in range(20):
            answer = shared.get(f"/export?after={newest}")
            lines = answer.content.splitlines()
            if lines:
                position = answer.headers["X-Log-Position"].partition(".")[2]
                assert str(json.loads(lines[-1])["id"]) == position
    finally:
        goes_on.set()
        pouring.join()


def test_a_gap_is_said_in_a_header(service: ServiceProcess) -> None:
    """X-Log-Gap says what a position points at and is gone: pruned, another log, or ahead."""
    service.start(ready=True, MAX_HISTORY_SIZE="10")
    wait_until_subscribed(service)
    for first in range(0, 30, 5):
        before = service.get("/stats").json()["stored_total"]
        for number in range(first, first + 5):
            order = {"topic": "a", "payload": number, "qos": 1}
            assert service.post("/publish", order).status == 200
        service.wait_for(
            lambda before=before: service.get("/stats").json()["stored_total"] == before + 5
        )
    known = ids(service.get("/messages?order=asc"))
    assert len(known) == 10
    word, oldest, newest = epoch(service), known[0], known[-1]
    for after in (0, 5, oldest - 2):
        answer = service.get(f"/messages?after={word}.{after}")
        assert answer.headers["X-Log-Gap"] == f"reason=pruned;after={after};next={oldest}"
        assert ids(answer) == known
        following = service.get(next_page(answer) or "")
        assert (following.json(), following.headers["X-Log-Gap"]) == ([], None)
    for after in (oldest - 1, oldest, newest):
        answer = service.get(f"/messages?after={after}")
        assert answer.headers["X-Log-Gap"] is None
        assert ids(answer) == [number for number in known if number > after]
    answer = service.get(f"/messages?after={newest + 100}")
    assert answer.headers["X-Log-Gap"] == f"reason=ahead;after={newest + 100};next={newest + 1}"
    assert answer.json() == []
    answer = service.get("/messages?after=zzzz.7")
    assert answer.headers["X-Log-Gap"] == f"reason=epoch;after=zzzz.7;next={oldest}"
    assert ids(answer) == known
    assert next_page(answer) is not None
    assert service.get("/messages").headers["X-Log-Gap"] is None
    assert service.get("/messages").headers["X-Log-Position"] == f"{word}.{newest}"
    exported = service.get(f"/export?after={word}.5")
    assert exported.headers["X-Log-Gap"] == f"reason=pruned;after=5;next={oldest}"
