"""The index of messages by topic, which lies in segments of the log.

Answers for: finding the rows of topics without looking at all others, segment by segment
(docs/decisions/0021-an-index-in-segments.md). Does not: know what a selection means.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

# As in the index (migrations/0003): 16,384 ids a segment.
SEGMENT_BITS = 14
SEGMENT_IDS = 1 << SEGMENT_BITS
# Of how many segments the rows are put in order at once; begun with one, and doubled, so that at
# most twice as many rows are looked at as are wanted.
MAX_SEGMENTS_AT_ONCE = 64

# To be put before a SELECT ... FROM segment CROSS JOIN message ON message.id >> 14 = number.
SEGMENTS = (
    "WITH RECURSIVE segment (number) AS"
    " (SELECT {first} UNION ALL SELECT number + 1 FROM segment WHERE number < {last}) "
)
_IDS = (
    SEGMENTS.format(first="?", last="?")
    + "SELECT message.id FROM segment CROSS JOIN message ON message.id >> 14 = number"
    " WHERE topic_id IN (SELECT value FROM json_each(?)) AND {where}"
    " ORDER BY message.id {direction} LIMIT ?"
)


def ids_of_topics(
    connection: sqlite3.Connection,
    topic_ids: Collection[int],
    after_id: int,
    before_id: int,
    condition: tuple[str, list[object]],
    limit: int,
    ascending: bool,
) -> list[int]:
    """Return the first `limit` ids of rows of these topics between two ids, both exclusive.

    `condition` is SQL about the table `message`, with its values.
    """
    where, values = condition
    sql = _IDS.format(where=where, direction="ASC" if ascending else "DESC")
    topics = str(list(topic_ids))
    first, last = bounds(connection, after_id + 1, before_id - 1, topics)
    found: list[int] = []
    for begin, end in _pieces(first, last, ascending):
        wanted = limit - len(found)
        rows = connection.execute(sql, (begin, end, topics, *values, wanted))
        found += [row[0] for row in rows]
        if len(found) == limit:
            break
    return found


def bounds(
    connection: sqlite3.Connection, first_id: int, last_id: int, topics: str
) -> tuple[int, int]:
    """Return the segments between two ids in which rows of these topics (a JSON list of their
    numbers) can be; the first is behind the last when there are none."""
    oldest_id, newest_id = connection.execute(
        "SELECT (SELECT min(id) FROM message), max(last_id) FROM topic"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (topics,),
    ).fetchone()
    first = max(first_id, oldest_id or 0) >> SEGMENT_BITS
    last = min(last_id, newest_id or 0) >> SEGMENT_BITS
    return (first, last) if oldest_id is not None else (1, 0)


def newest_id_of(connection: sqlite3.Connection, topic_id: int) -> int:
    """Return the highest id of a topic's rows, 0 when it has none."""
    return next(
        iter(ids_of_topics(connection, [topic_id], 0, 2**63 - 1, ("1", []), 1, ascending=False)), 0
    )


def _pieces(first: int, last: int, ascending: bool) -> Iterator[tuple[int, int]]:
    """Cut the segments into pieces, from the side on which reading begins."""
    size = 1
    while first <= last:
        if ascending:
            yield first, min(last, first + size - 1)
            first += size
        else:
            yield max(first, last - size + 1), last
            last -= size
        size = min(2 * size, MAX_SEGMENTS_AT_ONCE)
