"""GET and DELETE /messages: filters, times, pages, positions, forms, and what purging leaves."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import itertools
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from store.message import Message
from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client, publish_all
from tests.recordings import open_history
from tests.service.talking import history, listen_bare, wait_until_subscribed
from tests.service_log.asking import (
    epoch,
    faults,
    head,
    ids,
    next_page,
    own_topic,
    pages,
    payloads,
    quoted,
    store,
)
from tests.service_process import ServiceProcess

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
# Ages of the messages that the service of `aged` starts with, oldest first.
AGES_S = (20 * DAY_S, 3 * DAY_S, 5 * HOUR_S, 40 * MINUTE_S, 5 * MINUTE_S)


# -- which messages -----------------------------------------------------------------------------


def test_filters_are_repeatable_and_a_message_comes_once(shared: ServiceProcess) -> None:
    """With several filters each message that any of them matches comes, and comes once."""
    root = own_topic()
    names = [f"{root}/a", f"{root}/b", f"{root}/c", f"{root}/a", f"{root}/a/x"]
    stored = store(shared, *({"topic": name, "payload": "1"} for name in names))
    query = f"/messages?topic={root}/a&topic={root}/%2B&topic={root}/b&order=asc"
    assert shared.get(query).json() == stored[:4]
    query = f"/messages?topic={root}/b&topic={root}/a/%23"
    assert shared.get(query).json() == [stored[4], stored[3], stored[1], stored[0]]


def test_a_plus_in_a_topic_is_the_wildcard(shared: ServiceProcess) -> None:
    """A plus that stands alone in a level needs no escape; elsewhere it is a space."""
    root = own_topic()
    stored = store(
        shared,
        {"topic": f"{root}/x/t", "payload": "1"},
        {"topic": f"{root}/x y/t", "payload": "2"},
        {"topic": f"{root}/x/u", "payload": "3"},
    )
    assert shared.get(f"/messages?topic={root}/+/t&order=asc").json() == stored[:2]
    assert shared.get(f"/messages?topic={root}/x+y/t").json() == stored[1:2]


def test_qos_and_retain_select(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """`qos` and `retain` select by how a message came to the gateway."""
    root = own_topic()
    stored = store(
        shared,
        {"topic": f"{root}/0", "payload": "x", "qos": 0},
        {"topic": f"{root}/1", "payload": "x", "qos": 1},
        {"topic": f"{root}/2", "payload": "x", "qos": 2},
    )
    query = f"/messages?topic={root}/%23&order=asc"
    assert ids(shared.get(f"{query}&qos=0")) == ids(stored[:1])
    assert ids(shared.get(f"{query}&qos=1")) == ids(stored[1:])
    assert ids(shared.get(f"{query}&retain=false")) == ids(stored)
    assert ids(shared.get(f"{query}&retain=true")) == []


@pytest.mark.needs_mosquitto
def test_retain_selects_replays(service: ServiceProcess, broker: Any) -> None:
    """`retain=true` gives what the broker replayed when the gateway subscribed."""
    with mqtt_client(broker.port) as client:
        client.publish("kept", "old", qos=1, retain=True).wait_for_publish(10)
    service.start(ready=True)
    service.wait_for(lambda: service.get("/messages?topic=kept").json())
    store(service, {"topic": "kept", "payload": "new", "retain": True})
    answer = service.get("/messages?topic=kept&retain=true").json()
    assert [(message["payload"], message["retain"]) for message in answer] == [("old", True)]
    answer = service.get("/messages?topic=kept&retain=false").json()
    assert [(message["payload"], message["retain"]) for message in answer] == [("new", False)]


def test_contains_is_case_sensitive_and_for_texts(shared: ServiceProcess) -> None:
    """`contains` finds a piece of a text payload, letter by letter, and never in binary ones."""
    topic = own_topic()
    binary = base64.b64encode(b"\xffneedle").decode()
    stored = store(
        shared,
        {"topic": topic, "payload": "a needle here"},
        {"topic": topic, "payload": "a Needle here"},
        {"topic": topic, "payload": binary, "encoding": "base64"},
        {"topic": topic, "payload": "100% _x'\" ü日"},
        {"topic": topic, "payload": "behind\x00nothing"},
    )

    def found(text: str) -> list[int]:
        return ids(shared.get(f"/messages?topic={topic}&order=asc&contains={quoted(text)}"))

    assert found("needle") == [stored[0]["id"]]
    assert found("Needle") == [stored[1]["id"]]
    assert found("eedle") == ids(stored[:2])
    assert found("0%") == found("_x'\"") == found("ü日") == [stored[3]["id"]]
    assert found("%") == found("_") == [stored[3]["id"]], "nothing in it is a wildcard"
    assert found("a%") == found("needle_here") == []
    assert found("nothing") == [stored[4]["id"]]
    assert found(binary[:6]) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", {"limit"}),
        ("limit=10001", {"limit"}),
        ("limit=1.5", {"limit"}),
        ("limit=", {"limit"}),
        ("limit=1&limit=1", {"limit"}),
        ("offset=-1", {"offset"}),
        ("topic=", {"topic"}),
        ("topic=a&topic=", {"topic"}),
        ("topic=a%23", {"topic"}),
        ("topic=$share/g/a", {"topic"}),
        ("since=yesterday", {"since"}),
        ("since=24h&since=24h", {"since"}),
        ("until=15x", {"until"}),
        ("since=2026-13-01", {"since"}),
        ("after=x", {"after"}),
        ("after=-1", {"after"}),
        ("before=1.2.3", {"before"}),
        ("before=zzz.5", {"before"}),
        ("order=up", {"order"}),
        ("qos=2", {"qos"}),
        ("retain=yes", {"retain"}),
        ("retain=1", {"retain"}),
        ("contains=", {"contains"}),
        ("format=xml", {"format"}),
        ("colour=red", {"colour"}),
        ("limit=0&qos=9&colour=red", {"limit", "qos", "colour"}),
        ("topic=%FF", {"topic"}),
    ],
)
def test_a_wrong_query_is_a_422(shared: ServiceProcess, query: str, expected: set[str]) -> None:
    """Whatever is wrong in the query is named, all of it at once; nothing is ignored."""
    assert faults(shared.get(f"/messages?{query}")) == expected


# -- when ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aged(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServiceProcess, list[int]]]:
    """A service whose history begins with messages of AGES_S, and when they arrived (in us)."""
    directory: Path = tmp_path_factory.mktemp("aged")
    now_us = time.time_ns() // 1_000
    moments = [now_us - age * 1_000_000 for age in AGES_S]

    async def record() -> None:
        async with open_history(directory / "history.db", now_us=now_us) as log:
            await log.append([Message("aged", str(moment), moment) for moment in moments])

    asyncio.run(record())
    process = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(shared_broker.port),
        MQTT_CLIENT_ID="aged",
        MESSAGE_RETENTION_HOURS="0",
        **shared_broker.settings,
    )
    process.start(ready=True)
    yield process, moments
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def moments_of(service: ServiceProcess, query: str) -> list[int]:
    """Return when the messages of an answer arrived, oldest first."""
    answer = service.get(f"/messages?topic=aged&order=asc&{query}")
    assert answer.status == 200, answer.content
    return [int(message["payload"]) for message in answer.json()]


@pytest.mark.parametrize(
    ("duration", "count"),
    [("30d", 5), ("2w", 4), ("7d", 4), ("1w", 4), ("24h", 3), ("90m", 2), ("15m", 1), ("30s", 0)],
)
def test_durations_go_back_from_now(
    aged: tuple[ServiceProcess, list[int]], duration: str, count: int
) -> None:
    """A duration as `since` or `until` is a time that far back from now."""
    service, moments = aged
    assert moments_of(service, f"since={duration}") == moments[len(moments) - count :]
    assert moments_of(service, f"until={duration}") == moments[: len(moments) - count]


@pytest.mark.parametrize(
    "form",
    [
        lambda moment: moment.isoformat().replace("+00:00", "Z"),
        lambda moment: moment.replace(tzinfo=None).isoformat(),
        lambda moment: moment.replace(tzinfo=None).isoformat(" ").replace(" ", "%20"),
        lambda moment: moment.astimezone(timezone(timedelta(hours=2))).isoformat(),
        lambda moment: quoted(moment.astimezone(timezone(timedelta(hours=2))).isoformat()),
        lambda moment: moment.astimezone(timezone(timedelta(hours=-5, minutes=-30))).isoformat(),
        lambda moment: f"{moment.timestamp():.6f}",
    ],
    ids=["zulu", "no-zone", "blank", "plus", "escaped-plus", "minus", "epoch"],
)
def test_a_time_in_each_form_is_the_same_time(
    aged: tuple[ServiceProcess, list[int]], form: Any
) -> None:
    """`since` is inclusive and `until` exclusive to the microsecond, in each form of a time."""
    service, moments = aged
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moments[2])
    later = moment + timedelta(microseconds=1)
    assert moments_of(service, f"since={form(moment)}") == moments[2:]
    assert moments_of(service, f"since={form(later)}") == moments[3:]
    assert moments_of(service, f"until={form(moment)}") == moments[:2]
    assert moments_of(service, f"until={form(later)}") == moments[:3]
    assert moments_of(service, f"since={form(moment)}&until={form(later)}") == moments[2:3]


def test_a_bare_date_is_its_first_instant(aged: tuple[ServiceProcess, list[int]]) -> None:
    """A date without a time is 00:00 UTC of that day, and whole epoch seconds do as well."""
    service, moments = aged
    day = datetime.fromtimestamp(moments[1] // 1_000_000, UTC).date()
    start_us = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
    earlier = [moment for moment in moments if moment < start_us]
    later = [moment for moment in moments if moment >= start_us]
    assert earlier and later
    assert moments_of(service, f"since={day}") == later
    assert moments_of(service, f"until={day}") == earlier
    assert moments_of(service, f"since={start_us // 1_000_000}") == later
    assert moments_of(service, "since=0") == moments
    assert moments_of(service, "until=0") == []


# -- pages --------------------------------------------------------------------------------------


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


# -- forms --------------------------------------------------------------------------------------


def test_ndjson_and_csv_hold_the_same_messages(shared: ServiceProcess) -> None:
    """`format=ndjson` has one message a line, and `format=csv` one row with its columns."""
    topic = own_topic()
    stored = store(
        shared,
        {"topic": topic, "payload": "plain"},
        {"topic": topic, "payload": 'comma, "quote"\nline\r\nend'},
        {"topic": topic, "payload": "/wA=", "encoding": "base64"},
        {"topic": topic, "payload": ""},
    )
    answer = shared.get(f"/messages?topic={topic}&order=asc&format=ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.content.endswith(b"\n")
    assert [json.loads(line) for line in answer.content.splitlines()] == stored
    answer = shared.get(f"/messages?topic={topic}&order=asc&format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    assert [list(row.values()) for row in table] == [
        [
            str(message["id"]),
            message["timestamp"],
            topic,
            message["payload"],
            message.get("encoding", ""),
            "1",
            "false",
            "",
        ]
        for message in stored
    ]
    assert list(table[0]) == [
        *("id", "time", "topic", "payload", "encoding", "qos", "retain", "properties")
    ]
    nothing = shared.get(f"/messages?topic={topic}/none&format=csv").content
    assert nothing.decode() == ",".join(table[0]) + "\r\n"
    assert shared.get(f"/messages?topic={topic}/none&format=ndjson").content == b""


def test_one_message_by_id_or_position(shared: ServiceProcess) -> None:
    """GET /messages/{id} gives the message; what is no message is a 404, what is no id a 422."""
    topic = own_topic()
    (stored,) = payloads(shared, topic, "x")
    number = stored["id"]
    assert shared.get(f"/messages/{number}").json() == stored
    assert shared.get(f"/messages/{epoch(shared)}.{number}").json() == stored
    for missing in (0, number + 1_000_000, f"zzzz.{number}"):
        for tail in ("", "/payload"):
            answer = shared.get(f"/messages/{missing}{tail}")
            assert answer.status == 404, missing
            assert answer.headers["Content-Type"] == "application/problem+json"
    for wrong in ("x", "1e3", "-1", "1.5", "9" * 30):
        assert faults(shared.get(f"/messages/{wrong}")) == {"id"}
    assert faults(shared.get(f"/messages/{number}?x=1")) == {"x"}


@pytest.mark.parametrize(
    ("properties", "kind"),
    [
        (None, "application/octet-stream"),
        ({"content_type": "image/png"}, "image/png"),
        ({"content_type": "text/html; charset=utf-8"}, "text/html; charset=utf-8"),
        ({"content_type": "no type"}, "application/octet-stream"),
        ({"content_type": "ä/ö"}, "application/octet-stream"),
        ({"response_topic": "a"}, "application/octet-stream"),
    ],
)
@pytest.mark.needs_mosquitto
def test_a_raw_payload_is_a_download(
    shared: ServiceProcess, properties: dict[str, str] | None, kind: str
) -> None:
    """The payload comes as its very bytes, of the type it was sent with, never to be rendered."""
    content = b"\x89PNG\x00\xff<script>"
    order = {
        "topic": own_topic(),
        "payload": base64.b64encode(content).decode(),
        "encoding": "base64",
        **({"properties": properties} if properties else {}),
    }
    (stored,) = store(shared, order)
    answer = shared.get(f"/messages/{stored['id']}/payload")
    assert (answer.status, answer.content) == (200, content)
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_an_empty_payload_downloads_as_nothing(shared: ServiceProcess) -> None:
    """The raw form of an empty payload is an answer without content."""
    (stored,) = payloads(shared, own_topic(), None)
    answer = shared.get(f"/messages/{stored['id']}/payload")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "0"


# -- purging ------------------------------------------------------------------------------------


def deleted(service: ServiceProcess, query: str) -> int:
    """Purge; return how many messages went."""
    answer = service.request("DELETE", f"/messages?{query}")
    assert answer.status == 200, answer.content
    assert answer.json()["success"] is True
    assert set(answer.json()["data"]) == {"deleted"}
    return int(answer.json()["data"]["deleted"])


def test_a_purge_needs_to_be_told_what(shared: ServiceProcess) -> None:
    """DELETE without a choice, or with a wrong one, is a 422 and removes nothing."""
    payloads(shared, own_topic(), 1)
    count = shared.get("/health").json()["message_count"]
    assert faults(shared.request("DELETE", "/messages")) == {"topic"}
    assert faults(shared.request("DELETE", "/messages?topic=")) == {"topic"}
    assert faults(shared.request("DELETE", "/messages?before=x")) == {"before"}
    assert faults(shared.request("DELETE", "/messages?before=zzzz.5")) == {"before"}
    assert faults(shared.request("DELETE", "/messages?until=then&limit=5")) == {"until", "limit"}
    assert faults(shared.request("DELETE", "/messages?since=24h")) == {"since"}
    assert shared.get("/health").json()["message_count"] == count


def test_a_purge_by_topic_leaves_no_trace(shared: ServiceProcess) -> None:
    """After a purge of a topic its rows, its name and its last value are gone; others stay."""
    root = own_topic()
    stored = store(
        shared,
        *({"topic": f"{root}/{name}", "payload": name} for name in ("a", "b", "a", "c/d", "a")),
    )
    before = shared.get("/health").json()["message_count"]
    assert shared.get(f"/topics/{root}/a").status == 200
    assert deleted(shared, f"topic={root}/a") == 3
    assert shared.get("/health").json()["message_count"] == before - 3
    assert shared.get("/stats").json()["total_messages"] == before - 3
    left = [stored[1], stored[3]]
    assert shared.get(f"/messages?topic={root}/%23&order=asc").json() == left
    assert shared.get(f"/topics?prefix={root}").json() == [f"{root}/b", f"{root}/c/d"]
    assert shared.get(f"/topics/{root}/a").status == 404
    assert shared.get(f"/messages/{stored[0]['id']}").status == 404
    assert deleted(shared, f"topic={root}/a") == 0
    (again,) = payloads(shared, f"{root}/a", "again")
    (details,) = shared.get(f"/topics?details=true&topic={root}/a").json()
    assert (details["message_count"], details["last_message"]) == (1, again)
    assert deleted(shared, f"topic={root}/+&topic={root}/%23") == 3
    assert shared.get(f"/topics?prefix={root}").json() == []


def test_a_hole_is_no_gap(shared: ServiceProcess) -> None:
    """What a purge removed is not reported as a gap, neither in pages nor in streams."""
    root = own_topic()
    orders = [{"topic": f"{root}/{number % 3}", "payload": number} for number in range(9)]
    stored = store(shared, *orders)
    assert deleted(shared, f"topic={root}/0") == 3
    left = [message for message in stored if message["topic"] != f"{root}/0"]
    answer = shared.get(f"/messages?after={stored[0]['id']}")
    assert (answer.json(), answer.headers["X-Log-Gap"]) == (left, None)
    with listen_bare(shared, f"?after={stored[0]['id']}") as listener:
        listener.next("welcome")
        assert [listener.next("message") for _ in left] == [
            {"type": "message", **message} for message in left
        ]


def test_a_purge_by_position_and_time(service: ServiceProcess) -> None:
    """`before` is exclusive, `until` is exclusive, and together with a topic all must hold."""
    service.start(ready=True)
    wait_until_subscribed(service)
    stored = store(
        service, *({"topic": f"t/{number % 2}", "payload": number} for number in range(10))
    )
    assert deleted(service, f"before={stored[2]['id']}") == 2
    assert ids(service.get("/messages?order=asc")) == ids(stored[2:])
    assert service.get("/messages?after=0").headers["X-Log-Gap"] is None, "a hole is no gap"
    assert deleted(service, f"before={epoch(service)}.{stored[6]['id']}&topic=t/1") == 2
    left = [stored[place] for place in (2, 4, 6, 7, 8, 9)]
    assert ids(service.get("/messages?order=asc")) == ids(left)
    until = stored[7]["timestamp"]
    gone = [message for message in left if message["timestamp"] < until]
    assert deleted(service, f"until={until}") == len(gone)
    left = [message for message in left if message not in gone]
    assert ids(service.get("/messages?order=asc")) == ids(left)
    stats = service.get("/stats").json()
    assert (stats["total_messages"], stats["recent_messages"]) == (len(left), len(left))
    assert (stats["oldest_id"], stats["newest_id"]) == (left[0]["id"], left[-1]["id"])
    assert deleted(service, "topic=%23") == len(left)
    stats = service.get("/stats").json()
    assert (stats["total_messages"], stats["unique_topics"]) == (0, 0)
    assert (service.get("/messages").json(), service.get("/topics").json()) == ([], [])
    (new,) = payloads(service, "t/1", "after")
    assert new["id"] > stored[-1]["id"], "no id ever names two messages"
    assert head(service) == new["id"]


def test_a_time_to_come_selects_nothing_yet(shared: ServiceProcess) -> None:
    """`since` in the future is an empty answer, `until` in the future is no bound; a chart of the
    future is a 422 that names `since`; a stream that begins there begins at the head."""
    store(shared, {"topic": "future/a", "payload": 1})
    for later in ("2099-01-01", "4102444800"):
        selected = f"topic=future/a&since={later}"
        assert shared.get(f"/messages?{selected}").json() == []
        assert shared.get(f"/messages?{selected}&order=asc").json() == []
        assert shared.get(f"/export?{selected}").content == b""
        assert shared.get(f"/messages?topic=future/a&until={later}").json()
        assert faults(shared.get(f"/series?{selected}")) == {"since"}
        assert faults(shared.get(f"/series?{selected}&until=2000-01-01")) == {"until"}
        with listen_bare(shared, f"?{selected}") as listener:
            assert listener.next("welcome")
            store(shared, {"topic": "future/a", "payload": later})
            assert listener.next("message")["payload"] == later
