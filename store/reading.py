"""The questions asked of the history, as SQL on a read-only connection.

Answers for: pages of messages, topics and their counts. Does not: choose a connection, keep
time, or know who asks. Every function runs in the read transaction that its caller opened.
"""

from __future__ import annotations

import heapq
import sqlite3
from dataclasses import replace

from store.message import Message
from store.minutes import id_range
from store.selection import NO_BOUND, Page, Selection
from store.topics import TopicFilter, is_exact, literal_prefix

COLUMNS = (
    "message.id, topic.name, message.timestamp_us, message.qos, message.retain, message.payload,"
    " message.properties"
)
# Reading every row and dropping what does not match costs about this many times less for each
# row than looking each matching row up through the index of its topic.
SCAN_ADVANTAGE = 8


def to_message(row: tuple[int, str, int, int, int, str | bytes, str | None]) -> Message:
    """Build the message of one row of COLUMNS."""
    message_id, topic, timestamp_us, qos, retain, payload, properties = row
    return Message(topic, payload, timestamp_us, qos, bool(retain), properties, None, message_id)


def page(
    connection: sqlite3.Connection,
    selection: Selection,
    *,
    limit: int,
    offset: int = 0,
    ascending: bool = False,
) -> Page:
    """Return one page of the selection, and the state of the log at the same instant."""
    pruned_id, newest_id, oldest_id = connection.execute(
        "SELECT pruned_id, (SELECT coalesce(max(id), 0) FROM message),"
        " (SELECT min(id) FROM message) FROM log"
    ).fetchone()
    rows = _rows(connection, _narrowed(connection, selection), limit + 1, offset, ascending)
    return Page(
        [to_message(row) for row in rows[:limit]],
        newest_id,
        oldest_id,
        pruned_id,
        complete=len(rows) <= limit,
    )


def position_before(connection: sqlite3.Connection, since_us: int) -> int:
    """Return the id just before the first message of that time or later."""
    first, _ = id_range(connection, since_us, None)
    found = connection.execute(
        "SELECT id FROM message WHERE id >= ? AND timestamp_us >= ? ORDER BY id LIMIT 1",
        (first, since_us),
    ).fetchone()
    if found is not None:
        return int(found[0]) - 1
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0]
    return int(newest)


def matching_topics(connection: sqlite3.Connection, topics: TopicFilter) -> dict[int, int]:
    """Return topic id -> number of rows for every topic with rows that the filter matches."""
    found: dict[int, int] = {}
    for text in topics.texts:
        if is_exact(text):
            rows = connection.execute(
                "SELECT id, name, message_count FROM topic WHERE name = ?", (text,)
            )
        else:
            prefix = literal_prefix(text)
            rows = connection.execute(
                "SELECT id, name, message_count FROM topic WHERE name >= ? AND name < ?",
                (prefix, prefix + "\U0010ffff"),
            )
        for topic_id, name, count in rows:
            if count and topics.matches(name):
                found[topic_id] = count
    return found


def topic_names(
    connection: sqlite3.Connection, topics: TopicFilter | None, prefix: str
) -> list[str]:
    """Return the sorted names of the topics that have rows."""
    rows = connection.execute(
        "SELECT name FROM topic WHERE message_count > 0 AND name >= ? AND name < ? ORDER BY name",
        (prefix, prefix + "\U0010ffff"),
    )
    return [name for (name,) in rows if topics is None or topics.matches(name)]


def topic_counts(connection: sqlite3.Connection, at_most: int) -> tuple[int, dict[str, int]]:
    """Return how many topics have rows, and name -> rows of the busiest."""
    total = connection.execute("SELECT count(*) FROM topic WHERE message_count > 0").fetchone()[0]
    rows = connection.execute(
        "SELECT name, message_count FROM topic WHERE message_count > 0"
        " ORDER BY message_count DESC, name LIMIT ?",
        (at_most,),
    )
    return total, dict(rows.fetchall())


def _narrowed(connection: sqlite3.Connection, selection: Selection) -> Selection:
    """Turn times into bounds of ids; the times stay, since the bounds are only an outline."""
    if selection.since_us is None and selection.until_us is None:
        return selection
    first, last = id_range(connection, selection.since_us, selection.until_us)
    before = selection.before_id if last is None else min(selection.before_id, last + 1)
    return replace(selection, after_id=max(selection.after_id, first - 1), before_id=before)


def _rows(
    connection: sqlite3.Connection, selection: Selection, limit: int, offset: int, ascending: bool
) -> list[tuple[int, str, int, int, int, str | bytes, str | None]]:
    where, values = _conditions(selection)
    direction = "ASC" if ascending else "DESC"
    topic_ids: dict[int, int] = {}
    if selection.topics is not None and "#" not in selection.topics.texts:
        topic_ids = matching_topics(connection, selection.topics)
        if not topic_ids:
            return []
        wanted = limit + offset
        total = connection.execute("SELECT sum(message_count) FROM topic").fetchone()[0]
        scanned = wanted * total / max(1, sum(topic_ids.values()))
        if scanned > SCAN_ADVANTAGE * wanted * len(topic_ids):
            return _through_index(connection, topic_ids, where, values, limit, offset, ascending)
        where += " AND +topic_id IN (SELECT value FROM json_each(?))"
        values.append(str(list(topic_ids)))
    elif selection.topics is not None:
        where += " AND name NOT LIKE '$%'" if selection.topics.texts == ("#",) else ""
    sql = (
        f"SELECT {COLUMNS} FROM message CROSS JOIN topic ON topic.id = topic_id WHERE {where}"
        f" ORDER BY message.id {direction} LIMIT ? OFFSET ?"
    )
    return connection.execute(sql, (*values, limit, offset)).fetchall()


def _through_index(
    connection: sqlite3.Connection,
    topic_ids: dict[int, int],
    where: str,
    values: list[object],
    limit: int,
    offset: int,
    ascending: bool,
) -> list[tuple[int, str, int, int, int, str | bytes, str | None]]:
    """Merge the newest (or oldest) ids of each topic: for filters that match few of the rows."""
    direction = "ASC" if ascending else "DESC"
    sql = (
        f"SELECT id FROM message WHERE topic_id = ? AND {where}"
        f" ORDER BY message.id {direction} LIMIT ?"
    )
    runs = [
        [row[0] for row in connection.execute(sql, (topic_id, *values, limit + offset))]
        for topic_id in topic_ids
    ]
    merged = heapq.merge(*runs, reverse=not ascending)
    ids = [message_id for message_id, _ in zip(merged, range(limit + offset), strict=False)]
    return connection.execute(
        f"SELECT {COLUMNS} FROM message JOIN topic ON topic.id = topic_id"
        f" WHERE message.id IN (SELECT value FROM json_each(?)) ORDER BY message.id {direction}",
        (str(ids[offset:]),),
    ).fetchall()


def _conditions(selection: Selection) -> tuple[str, list[object]]:
    where = ["message.id > ?"]
    values: list[object] = [selection.after_id]
    if selection.before_id != NO_BOUND:
        where.append("message.id < ?")
        values.append(selection.before_id)
    for column, comparison, value in (
        ("timestamp_us", ">=", selection.since_us),
        ("timestamp_us", "<", selection.until_us),
        ("qos", "=", selection.qos),
        ("retain", "=", selection.retain),
    ):
        if value is not None:
            where.append(f"message.{column} {comparison} ?")
            values.append(value)
    if selection.contains is not None:
        where.append("typeof(payload) = 'text' AND instr(payload, ?) > 0")
        values.append(selection.contains)
    return " AND ".join(where), values
