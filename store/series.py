"""Numbers over time: buckets of one topic, computed in SQL.

Answers for: what counts as a number, and the shape of a bucket. Runs in the read transaction
that its caller opened.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.minutes import id_range
from store.segments import SEGMENTS, bounds

SECOND_US = 1_000_000
# Infinity, which SQLite reads 1e999 as, is no number, and below this even sums are finite.
_MOST = 1e300
# json_extract on text that is not JSON would fail the whole query, so validity is asked first.
# SQLite's JSON ends at a NUL, so there must be none: where characters and bytes are equally many
# there is none, and counting is much quicker than searching. Text sorts below every blob.
_CANDIDATE = """
CASE WHEN payload < x''
        AND (length(payload) = length(CAST(payload AS BLOB)) OR instr(payload, char(0)) = 0)
        AND json_valid(payload)
    THEN json_extract(payload, :field) END
"""
# Text is above every number. true and false come as 1 and 0: only for these the type is asked for.
_VALUE = f"""
CASE WHEN candidate BETWEEN -{_MOST} AND {_MOST}
        AND (candidate NOT IN (0, 1) OR json_type(payload, :field) IN ('integer', 'real'))
    THEN candidate END
"""
# LIMIT -1 keeps each inner SELECT a step of its own: folded into the outer one, it would compute
# each value once for each of its uses; kept in a table, it would write them down first.
_BUCKETS = (
    SEGMENTS.format(first=":first_segment", last=":last_segment")
    + f"""
SELECT bucket, count(value), min(value), max(value), avg(value),
       min(CASE WHEN value IS NOT NULL THEN id END), max(CASE WHEN value IS NOT NULL THEN id END),
       count(*)
FROM (
    SELECT id, bucket, {_VALUE} AS value
    FROM (
        SELECT id, timestamp_us / :bucket_us AS bucket, payload, {_CANDIDATE} AS candidate
        FROM segment CROSS JOIN message ON message.id >> 14 = number
        WHERE topic_id = :topic_id
          AND id >= :first_id AND id <= :last_id
          AND timestamp_us >= :since_us AND timestamp_us < :until_us
        LIMIT -1
    )
    LIMIT -1
)
GROUP BY bucket ORDER BY bucket
"""
)
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket: `start_us` is where it begins; `first` and `last` are in order of arrival."""

    start_us: int
    count: int
    min: float
    max: float
    avg: float
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Series:
    """The buckets that hold numbers, in order; `skipped` counts rows that held none."""

    points: list[Point]
    skipped: int


def series(
    connection: sqlite3.Connection,
    topic: str,
    field: str | None,
    since_us: int,
    until_us: int,
    bucket_us: int,
) -> Series:
    """Return the series of one topic. `field` is a JSON path; None means the payload itself."""
    first_id, last_id = id_range(connection, since_us, until_us)
    last_id = _LARGEST if last_id is None else last_id
    row = connection.execute("SELECT id FROM topic WHERE name = ?", (topic,)).fetchone()
    first, last = (1, 0) if row is None else bounds(connection, first_id, last_id, f"[{row[0]}]")
    if first > last:
        return Series([], 0)
    path = field or "$"
    asked = {
        "topic_id": row[0],
        "first_segment": first,
        "last_segment": last,
        "field": path,
        "since_us": since_us,
        "until_us": until_us,
        "bucket_us": bucket_us,
        "first_id": first_id,
        "last_id": last_id,
    }
    rows = connection.execute(_BUCKETS, asked).fetchall()
    ends = {row[5] for row in rows} | {row[6] for row in rows}
    values = _values(connection, path, [end for end in ends if end is not None])
    points = [
        Point(bucket * bucket_us, count, low, high, mean, values[first], values[last])
        for bucket, count, low, high, mean, first, last, _ in rows
        if count
    ]
    return Series(points, sum(row[7] - row[1] for row in rows))


def _values(connection: sqlite3.Connection, path: str, ids: list[int]) -> dict[int, float]:
    rows = connection.execute(
        "SELECT id, json_extract(payload, ?) FROM message"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (path, str(ids)),
    )
    return dict(rows.fetchall())
