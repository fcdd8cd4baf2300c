"""The questions about topics: names, counts, and the last message of each.

Answers for: reading the `topic` and `last_value` tables. Every function runs in the read
transaction that its caller opened.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from store.message import Message
from store.minutes import id_range
from store.topics import TopicFilter, is_exact

# Behind every name: SQLite compares text byte by byte, and this is the last character there is.
LAST_CHARACTER = "\U0010ffff"
SUMMARY = (
    "SELECT topic.name, message_count, first_seen_us, last_seen_us,"
    " coalesce(message.id, last_value.id), coalesce(message.timestamp_us, last_value.timestamp_us),"
    " coalesce(message.qos, last_value.qos), coalesce(message.retain, last_value.retain),"
    " coalesce(message.payload, last_value.payload),"
    " CASE WHEN message.id IS NULL THEN last_value.properties ELSE message.properties END"
    " FROM topic LEFT JOIN message ON message.id = topic.last_id"
    " LEFT JOIN last_value ON last_value.topic_id = topic.id"
)


@dataclass(frozen=True, slots=True)
class TopicSummary:
    """What is known of one topic. `last_message` survives pruning; a purge removes it."""

    topic: str
    message_count: int
    first_seen_us: int
    last_seen_us: int
    last_message: Message | None


def topic_names(
    connection: sqlite3.Connection,
    topics: TopicFilter | None,
    prefix: str,
    after: str = "",
    limit: int = -1,
) -> list[str]:
    """Return the sorted names of the topics that have rows; a `limit` of -1 is none."""
    rows = connection.execute(
        "SELECT name FROM topic WHERE message_count > 0 AND name >= ? AND name < ? AND name > ?"
        " ORDER BY name",
        (prefix, prefix + LAST_CHARACTER, after),
    )
    names: list[str] = []
    for (name,) in rows:
        if len(names) == limit:
            break
        if topics is None or topics.matches(name):
            names.append(name)
    return names


def topic_summaries(
    connection: sqlite3.Connection, topics: TopicFilter | None, prefix: str, after: str, limit: int
) -> list[TopicSummary]:
    """Return the summaries of the topics that have rows, by name, `limit` at most."""
    if topics is None:
        rows = connection.execute(
            f"{SUMMARY} WHERE message_count > 0"
            " AND topic.name >= ? AND topic.name < ? AND topic.name > ? ORDER BY name LIMIT ?",
            (prefix, prefix + LAST_CHARACTER, after, limit),
        )
        return [_summary(row) for row in rows]
    names = topic_names(connection, topics, prefix, after, limit)
    if not names:
        return []
    wanted = set(names)
    rows = connection.execute(
        f"{SUMMARY} WHERE message_count > 0 AND topic.name >= ? AND topic.name <= ? ORDER BY name",
        (names[0], names[-1]),
    )
    return [_summary(row) for row in rows if row[0] in wanted]


def topic_summary(connection: sqlite3.Connection, name: str) -> TopicSummary | None:
    """Return what is known of one topic, or None when it never had a message (or was purged)."""
    row = connection.execute(f"{SUMMARY} WHERE topic.name = ?", (name,)).fetchone()
    if row is None or row[4] is None:
        return None
    return _summary(row)


def counts_of(
    connection: sqlite3.Connection, topics: TopicFilter, since_us: int
) -> tuple[int, int]:
    """Return the rows of these topics, and how many of them arrived since then."""
    found = matching_topics(connection, topics)
    first_id, _ = id_range(connection, since_us, None)
    recent = connection.execute(
        "SELECT count(*) FROM message WHERE id >= ? AND timestamp_us >= ?"
        " AND +topic_id IN (SELECT value FROM json_each(?))",
        (first_id, since_us, str(list(found))),
    ).fetchone()[0]
    return sum(found.values()), recent


def topic_counts(
    connection: sqlite3.Connection, at_most: int, within: TopicFilter | None = None
) -> tuple[int, dict[str, int]]:
    """Return how many topics have rows, and name -> rows of the busiest."""
    if within is not None:
        rows = connection.execute(
            "SELECT name, message_count FROM topic WHERE message_count > 0"
            " ORDER BY message_count DESC, name"
        )
        found = [row for row in rows if within.matches(row[0])]
        return len(found), dict(found[:at_most])
    total = connection.execute("SELECT count(*) FROM topic WHERE message_count > 0").fetchone()[0]
    rows = connection.execute(
        "SELECT name, message_count FROM topic WHERE message_count > 0"
        " ORDER BY message_count DESC, name LIMIT ?",
        (at_most,),
    )
    return total, dict(rows.fetchall())


def literal_prefix(text: str) -> str:
    """Return the part of a filter before its first wildcard level, without the last slash.

    `a/b/#` also matches `a/b`, so the slash before a wildcard is not part of the prefix.
    """
    levels = []
    for level in text.split("/"):
        if level in ("+", "#"):
            break
        levels.append(level)
    return "/".join(levels)


def matching_topics(
    connection: sqlite3.Connection, topics: TopicFilter, *, without_rows: bool = False
) -> dict[int, int]:
    """Return topic id -> number of rows for every topic with rows that the filter matches, and
    on request for those that have none any more."""
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
                (prefix, prefix + LAST_CHARACTER),
            )
        for topic_id, name, count in rows:
            if (count or without_rows) and topics.matches(name):
                found[topic_id] = count
    return found


def _summary(row: tuple[Any, ...]) -> TopicSummary:
    name, count, first_us, last_us, message_id, timestamp_us, qos, retain, payload, properties = row
    last = None
    if message_id is not None:
        last = Message(
            name,
            payload,
            timestamp_us,
            qos,
            bool(retain),
            properties,
            None,
            message_id,
        )
    return TopicSummary(name, count, first_us, last_us, last)
