"""GET /series: numbers over time are those that a plain computation over all rows gives."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from store.message import Message
from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.recordings import open_history
from tests.service_log.asking import faults, own_topic, payloads, quoted
from tests.service_process import ServiceProcess

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
# The series lies in the past, so that bounds are chosen by the test: 2026-03-04T05:00:00Z on.
START_US = int(datetime(2026, 3, 4, 5, tzinfo=UTC).timestamp()) * SECOND_US
SPAN_US = 6 * HOUR_US
NO_NUMBERS: list[str | bytes] = [
    *(
        "",
        "abc",
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "inf",
        "0x10",
        "1,5",
        "--1",
        "1 2",
        "5\x00",
    ),
    *("true", "false", "null", '"5"', "[1]", "{}", '{"value":', '{"value":"7"}', '{"value":null}'),
    *(
        '{"value":true}',
        '{"Value":1}',
        '{"value":[1]}',
        "[" * 5_000,
        "{" * 5_000,
        "1e999",
        "-1e999",
    ),
    *('{"value":1e999}', '{"value":{"value":1}}', "{'value': 1}", "\ufeff5", "٣"),
    *(b"\xff\xfe", b"\x80", b"5\xff"),
]


def plain(generator: random.Random) -> str:
    """Return one number as devices write them."""
    return generator.choice(
        [
            lambda: str(generator.randint(-1_000, 1_000)),
            lambda: f"{generator.uniform(-50, 50):.3f}",
            lambda: f"{generator.uniform(-1, 1):e}",
            lambda: f" {generator.randint(0, 9)}\n",
            lambda: str(2**53 + generator.randint(0, 100)),
            lambda: "-0.0",
        ]
    )()


def rows() -> list[tuple[str, str | bytes, int]]:
    """Return (topic, payload, moment) of everything that is in the history, in order."""
    generator = random.Random(7)
    found: list[tuple[str, str | bytes, int]] = []
    moments = sorted(START_US + generator.randrange(SPAN_US) for _ in range(3_000))
    moments[:2] = [START_US, START_US + 60 * SECOND_US]  # on the edges of buckets
    for moment in sorted(moments):
        number = plain(generator)
        kind = generator.random()
        if kind < 0.1:
            payload: str | bytes = generator.choice(NO_NUMBERS)
        else:
            payload = number
        found.append(("plain", payload, moment))
        value = number.strip()
        document = (
            f'{{"value": {value}, "deep": {{"list": [0, {value}]}}, "a b": {{"ü": {value}}}}}'
        )
        found.append(("json", payload if kind < 0.1 else document, moment))
    for place, payload in enumerate(NO_NUMBERS):
        found.append(("nothing", payload, START_US + place * SECOND_US))
    return found


ROWS = rows()


@pytest.fixture(scope="module")
def measured(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service whose history holds ROWS."""
    directory: Path = tmp_path_factory.mktemp("measured")

    async def record() -> None:
        async with open_history(directory / "history.db", now_us=START_US) as log:
            for first in range(0, len(ROWS), 500):
                await log.append([Message(*row) for row in ROWS[first : first + 500]])

    asyncio.run(record())
    process = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(shared_broker.port),
        MQTT_CLIENT_ID="measured",
        MESSAGE_RETENTION_HOURS="0",
        MAX_HISTORY_SIZE="0",
        QUERY_TIMEOUT="10",
        **shared_broker.settings,
    )
    process.start(ready=True)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def number_in(payload: str | bytes, path: tuple[str | int, ...]) -> float | None:
    """Return the number at a path of a payload, by strict JSON, or None."""

    def refuse(word: str) -> Any:
        raise ValueError(word)

    try:
        value = json.loads(str(payload), parse_constant=refuse) if payload else None
        for step in path:
            value = value[step]
    except (ValueError, RecursionError, TypeError, LookupError):
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if isinstance(payload, str) and is_number and math.isfinite(value) else None


def iso(moment_us: int) -> str:
    """Return a moment as the answer writes it."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moment_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def expected(
    topic: str, path: tuple[str | int, ...], since: int, until: int, seconds: int
) -> tuple[list[dict[str, Any]], int]:
    """Compute points and skipped, row by row."""
    buckets: dict[int, list[float]] = {}
    skipped = 0
    for name, payload, moment in ROWS:
        if name == topic and since <= moment < until:
            number = number_in(payload, path)
            if number is None:
                skipped += 1
            else:
                buckets.setdefault(moment // (seconds * SECOND_US), []).append(number)
    points = [
        {
            "t": iso(bucket * seconds * SECOND_US),
            "count": len(numbers),
            "min": min(numbers),
            "max": max(numbers),
            "avg": pytest.approx(math.fsum(numbers) / len(numbers), rel=1e-12, abs=1e-9),
            "first": numbers[0],
            "last": numbers[-1],
        }
        for bucket, numbers in sorted(buckets.items())
    ]
    return points, skipped


def ask(service: ServiceProcess, **query: Any) -> dict[str, Any]:
    """Ask for a series over all of ROWS unless told otherwise."""
    query = {"since": START_US // SECOND_US, "until": (START_US + SPAN_US) // SECOND_US, **query}
    text = "&".join(f"{name}={quoted(str(value))}" for name, value in query.items())
    answer = service.get(f"/series?{text}")
    assert answer.status == 200, answer.content
    found: dict[str, Any] = answer.json()
    assert set(found) == {"topic", "field", "bucket_seconds", "points", "skipped"}
    return found


@pytest.mark.parametrize(
    ("bucket", "seconds"), [("10s", 10), ("7s", 7), ("1m", 60), ("5m", 300), ("1h", 3_600)]
)
def test_plain_numbers(measured: ServiceProcess, bucket: str, seconds: int) -> None:
    """Where the payload is the number, each bucket has its real count, ends, mean and extremes."""
    found = ask(measured, topic="plain", bucket=bucket)
    points, skipped = expected("plain", (), START_US, START_US + SPAN_US, seconds)
    assert (found["topic"], found["field"], found["bucket_seconds"]) == ("plain", None, seconds)
    assert found["points"] == points
    assert (found["skipped"], skipped > 100) == (skipped, True)


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("$.value", ("value",)),
        ("$.deep.list[1]", ("deep", "list", 1)),
        ('$."a b"."ü"', ("a b", "ü")),
        ('$."value"', ("value",)),
        ("$", ()),
        ("$.missing", ("missing",)),
        ("$.deep.list[7]", ("deep", "list", 7)),
    ],
)
def test_a_json_path(measured: ServiceProcess, field: str, path: tuple[str | int, ...]) -> None:
    """With `field` the number is taken from inside the payload, by its path."""
    found = ask(measured, topic="json", field=field, bucket="15m")
    points, skipped = expected("json", path, START_US, START_US + SPAN_US, 900)
    assert (found["field"], found["points"], found["skipped"]) == (field, points, skipped)


def test_bounds_are_exact(measured: ServiceProcess) -> None:
    """`since` is inclusive and `until` exclusive within a bucket, to the microsecond."""
    moments = [moment for topic, _, moment in ROWS if topic == "plain"]
    for since, until in (
        (moments[10], moments[11]),
        (moments[10] + 1, moments[500]),
        (moments[10], moments[500] + 1),
        (START_US - HOUR_US, START_US + 1),
    ):
        found = ask(
            measured, topic="plain", bucket="1h", since=f"{iso(since)}", until=f"{iso(until)}"
        )
        points, skipped = expected("plain", (), since, until, 3_600)
        assert (found["points"], found["skipped"]) == (points, skipped)
        assert sum(point["count"] for point in points) + skipped > 0


def test_what_is_no_number_is_skipped(measured: ServiceProcess) -> None:
    """Text, malformed or bottomless JSON, infinities and bytes are counted, and fail nothing."""
    for field in (None, "$.value", "$[0]"):
        query = {} if field is None else {"field": field}
        found = ask(measured, topic="nothing", bucket="1h", **query)
        path: tuple[str | int, ...] = {None: (), "$.value": ("value",), "$[0]": (0,)}[field]
        points, skipped = expected("nothing", path, START_US, START_US + SPAN_US, 3_600)
        assert (found["points"], found["skipped"]) == (points, skipped)
        assert (points == []) is (field != "$[0]")
    found = ask(measured, topic="nobody/knows", bucket="1h")
    assert (found["points"], found["skipped"]) == ([], 0)


@pytest.mark.parametrize("most", [1, 2, 7, 50, 500, 10_000])
def test_auto_makes_at_most_so_many_points(measured: ServiceProcess, most: int) -> None:
    """`auto` chooses the width: never more than `max_points`, and no wider than it must be."""
    for offset_us in (0, 1_234_567_890):
        since, until = START_US + offset_us, START_US + SPAN_US
        found = ask(measured, topic="plain", bucket="auto", max_points=most, since=iso(since))
        assert len(found["points"]) <= most
        seconds = found["bucket_seconds"]
        points, skipped = expected("plain", (), since, until, seconds)
        assert (found["points"], found["skipped"]) == (points, skipped)
        assert most == 1 or seconds <= 5 * max(1, (until - since) / SECOND_US / most)


def test_the_defaults_are_a_day_until_now(shared: ServiceProcess) -> None:
    """Without times it is the last 24 hours, in at most 500 points."""
    topic = own_topic()
    payloads(shared, topic, 1, 2.5, {"value": 9}, "x", 4)
    found = shared.get(f"/series?topic={topic}").json()
    assert sum(point["count"] for point in found["points"]) == 3
    assert (found["points"][0]["first"], found["points"][-1]["last"]) == (1, 4)
    assert (found["skipped"], found["field"]) == (2, None)
    assert 86_400 / 500 <= found["bucket_seconds"] <= 300
    found = shared.get(f"/series?topic={topic}&field=$.value").json()
    assert [(point["count"], point["avg"]) for point in found["points"]] == [(1, 9)]


@pytest.mark.parametrize(
    ("query", "expected_faults"),
    [
        ("", {"topic"}),
        ("topic=", {"topic"}),
        ("topic=a/%23", {"topic"}),
        ("topic=a/+", {"topic"}),
        ("topic=a&topic=b", {"topic"}),
        ("topic=a&field=value", {"field"}),
        ("topic=a&field=$.", {"field"}),
        ("topic=a&field=$.a..b", {"field"}),
        ("topic=a&field=$[x]", {"field"}),
        ("topic=a&field=$.a[-1]", {"field"}),
        ("topic=a&field=$.a%22", {"field"}),
        ("topic=a&field=$.%22a%00b%22", {"field"}),
        ("topic=a&field=$%0A", {"field"}),
        ("topic=a&bucket=0s", {"bucket"}),
        ("topic=a&bucket=10", {"bucket"}),
        ("topic=a&bucket=1w", {"bucket"}),
        ("topic=a&bucket=-5m", {"bucket"}),
        ("topic=a&bucket=1.5h", {"bucket"}),
        ("topic=a&bucket=1s", {"bucket"}),
        ("topic=a&bucket=5m%0A", {"bucket"}),
        ("topic=a&bucket=1h&max_points=0", {"max_points"}),
        ("topic=a&since=1h&until=2h", {"until"}),
        ("topic=a&since=now", {"since"}),
        ("topic=a/%23&field=x&bucket=y&limit=1", {"topic", "field", "bucket", "limit"}),
    ],
)
def test_a_wrong_question_is_a_422(
    shared: ServiceProcess, query: str, expected_faults: set[str]
) -> None:
    """A bad topic, field, bucket or time is named."""
    assert faults(shared.get(f"/series?{query}")) == expected_faults


def test_what_is_allowed_is_shown_and_not_a_regular_expression(shared: ServiceProcess) -> None:
    """Whoever writes a path or a width wrongly reads how one looks."""
    errors = shared.get("/series?topic=a&field=value&bucket=1w").json()["errors"]
    assert errors == [
        {"path": "field", "message": 'must look like $.value, $.motors[0].speed, $."a name"'},
        {"path": "bucket", "message": "must look like auto, 10s, 5m, 1h, 1d"},
    ]
