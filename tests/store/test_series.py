"""A series holds the numbers of one topic, whatever else its payloads are."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from store.schema import migrations
from store.segments import SEGMENT_IDS
from store.series import Point, Series, series

MOST = 1e300
BUCKET_US = 10
END_US = 60
Row = tuple[int, int, str | bytes]

NUMBERS = st.sampled_from([0, 1, -1, 0.0, 1.0, -0.0, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 1e300])
SCALARS = st.one_of(
    NUMBERS,
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([True, False, None, "", "0", "1", "7.5", "text", "ü", [], [1], {}]),
)
DOCUMENTS = SCALARS | st.builds(lambda value: {"unit": "ü°", "value": value}, SCALARS)
JSON = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only), DOCUMENTS, st.booleans()
)
ODD = st.sampled_from(
    [
        "",
        "{",
        "1 2",
        "NaN",
        "+1",
        ".5",
        "1e999",
        "-1e999",
        "1\0",
        "ü\0",
        '{"value": 1}\0',
        '{"value": 2.5}\0ü',
        '{"unit": "ü", "value": 3}\0',
        '{"value": 1',
        '{"value": 1e999}',
        ' {"value": 4} ',
        b"5",
        b'{"value": 6, "x": "\xff"}',
        b"\xff",
    ]
)
PAYLOADS = JSON | ODD | st.text(max_size=8)
# Times are in no order: clocks jump.
ROWS = st.lists(
    st.tuples(
        st.integers(1, 3 * SEGMENT_IDS),
        st.integers(-BUCKET_US, END_US + BUCKET_US).map(abs),
        PAYLOADS,
    ),
    max_size=40,
    unique_by=lambda row: row[0],
)


def log(rows: list[Row]) -> sqlite3.Connection:
    """Return a history of one topic in memory."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    for _, script in migrations():
        made.executescript(script)
    made.execute(
        "INSERT INTO topic (id, name, first_seen_us, last_seen_us, last_id)"
        " VALUES (1, 't', 0, 0, ?)",
        (max((row[0] for row in rows), default=0),),
    )
    made.executemany(
        "INSERT INTO message (id, topic_id, timestamp_us, qos, retain, payload)"
        " VALUES (?, 1, ?, 0, 0, ?)",
        rows,
    )
    return made


def number_in(payload: str | bytes, field: str | None) -> float | None:
    """Return what the payload holds by Python's own reading of JSON, None where it is no number."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    if isinstance(payload, bytes):
        return None
    try:
        value = json.loads(payload, parse_constant=refuse)
    except ValueError:
        return None
    if field is not None:
        value = value.get("value") if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        value = float(value)
    return value if abs(value) <= MOST else None


def expected(rows: list[Row], field: str | None) -> Series:
    """Return the series as Python computes it."""
    buckets: dict[int, list[float]] = defaultdict(list)
    skipped = 0
    for _, moment_us, payload in sorted(rows):
        if moment_us >= END_US:
            continue
        value = number_in(payload, field)
        if value is None:
            skipped += 1
        else:
            buckets[moment_us // BUCKET_US * BUCKET_US].append(value)
    points = [
        Point(start, len(v), min(v), max(v), math.fsum(v) / len(v), v[0], v[-1])
        for start, v in sorted(buckets.items())
    ]
    return Series(points, skipped)


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, field=st.sampled_from([None, "$", "$.value"]))
def test_whatever_is_stored_the_numbers_are_found(rows: list[Row], field: str | None) -> None:
    """Points and `skipped` are what Python makes of the same rows; nothing fails the query."""
    connection = log(rows)
    found = series(connection, "t", field, 0, END_US, BUCKET_US)
    connection.close()
    wanted = expected(rows, None if field == "$" else field)
    assert found.skipped == wanted.skipped
    assert len(found.points) == len(wanted.points)
    for point, model in zip(found.points, wanted.points, strict=True):
        assert (point.start_us, point.count) == (model.start_us, model.count)
        assert (point.min, point.max) == (model.min, model.max)
        assert (point.first, point.last) == (model.first, model.last)
        largest = max(abs(model.min), abs(model.max))
        assert math.isclose(point.avg, model.avg, rel_tol=1e-9, abs_tol=1e-12 * largest)


def test_a_switch_is_counted_by_its_numbers_alone() -> None:
    """0 and 1 are numbers, true and false are not, though SQLite gives them as the same values."""
    payloads = ["0", "1", "true", "false", "1.0", "0.0", '"1"']
    connection = log([(n, 0, payload) for n, payload in enumerate(payloads, 1)])
    (point,) = series(connection, "t", None, 0, 1, 1).points
    assert (point.count, point.avg, point.first, point.last) == (4, 0.5, 0, 0.0)
    connection.close()
