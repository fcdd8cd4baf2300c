"""Removing messages because an administrator says so; holes in the log, but no gaps.

Answers for: one bounded step of a purge, with the counters and last values beside it.
Runs on the writer's thread, in a transaction that the caller holds.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass

from store.minutes import MINUTE_US, Minutes
from store.retention import STEP_ROWS
from store.segments import newest_id_of
from store.selection import NO_BOUND
from store.topics import TopicFilter


@dataclass(frozen=True, slots=True)
class Purge:
    """What to remove: all conditions hold together. `before_id` is exclusive."""

    topics: TopicFilter | None = None
    before_id: int = NO_BOUND
    until_us: int | None = None


def purge_step(
    connection: sqlite3.Connection, purge: Purge, after_id: int, minutes: Minutes
) -> tuple[int, int | None]:
    """Remove up to STEP_ROWS messages above `after_id`; return (removed, id to go on after).

    The id is None when nothing is left to look at.
    """
    rows = connection.execute(
        "SELECT message.id, topic_id, timestamp_us, name FROM message"
        " JOIN topic ON topic.id = topic_id WHERE message.id > ? AND message.id < ?"
        " ORDER BY message.id LIMIT ?",
        (after_id, purge.before_id, STEP_ROWS),
    ).fetchall()
    chosen = [row for row in rows if _is_meant(purge, row[3], row[2])]
    connection.executemany("DELETE FROM message WHERE id = ?", [(row[0],) for row in chosen])
    minutes.remove(connection, Counter(row[2] // MINUTE_US for row in chosen))
    newest = {row[1]: row[0] for row in chosen}
    for topic_id, count in Counter(row[1] for row in chosen).items():
        left, last_id = connection.execute(
            "UPDATE topic SET message_count = message_count - ? WHERE id = ?"
            " RETURNING message_count, last_id",
            (count, topic_id),
        ).fetchone()
        if last_id == newest[topic_id]:
            last_id = newest_id_of(connection, topic_id) if left else 0
            connection.execute("UPDATE topic SET last_id = ? WHERE id = ?", (last_id, topic_id))
    return len(chosen), rows[-1][0] if len(rows) == STEP_ROWS else None


def purge_last_values(connection: sqlite3.Connection, purge: Purge) -> None:
    """Remove the kept last messages that the purge means, too."""
    kept = connection.execute(
        "SELECT topic_id, last_value.id, timestamp_us, name FROM last_value"
        " JOIN topic ON topic.id = topic_id WHERE last_value.id < ?",
        (purge.before_id,),
    ).fetchall()
    connection.executemany(
        "DELETE FROM last_value WHERE topic_id = ?",
        [(row[0],) for row in kept if _is_meant(purge, row[3], row[2])],
    )


def _is_meant(purge: Purge, name: str, timestamp_us: int) -> bool:
    if purge.topics is not None and not purge.topics.matches(name):
        return False
    return purge.until_us is None or timestamp_us < purge.until_us
