"""Removing the old end of the log, with the counters beside it.

Answers for: deleting rows from the oldest on, in a transaction that the caller holds, and
keeping the last value of each topic that loses its last row. Does not: decide how many.
"""

from __future__ import annotations

import sqlite3
from collections import Counter

from store.minutes import MINUTE_US, Minutes

# Rows deleted in one transaction when many must go: some 20 ms on a slow card, so that a commit
# of new messages never waits long.
STEP_ROWS = 2_000
# Beyond this a time of arrival is not a clock that is a little fast.
FUTURE_US = 3_600_000_000


def oldest_id(connection: sqlite3.Connection) -> int | None:
    """Return the lowest id that is there, or None."""
    found: int | None = connection.execute("SELECT min(id) FROM message").fetchone()[0]
    return found


def newest_time_us(connection: sqlite3.Connection) -> int | None:
    """Return when the newest row arrived, or None."""
    row = connection.execute("SELECT timestamp_us FROM message ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else row[0]


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the pages that hold something."""

    def number(pragma: str) -> int:
        found: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        return found

    return (number("page_count") - number("freelist_count")) * number("page_size")


def expired_rows(connection: sqlite3.Connection, before_us: int, now_us: int, at_most: int) -> int:
    """Return how many of the oldest rows, without a gap, arrived before `before_us`.

    A row that says it will arrive tomorrow was written while the clock was wrong. It is as old as
    the next row that does not: else it would keep what is behind it until its time has come.
    """
    rows = connection.execute("SELECT timestamp_us FROM message ORDER BY id LIMIT ?", (at_most,))
    latest_us = now_us + FUTURE_US
    count = from_the_future = 0
    for (timestamp_us,) in rows:
        if timestamp_us > latest_us:
            from_the_future += 1
            continue
        if timestamp_us >= before_us:
            return count
        count += from_the_future + 1
        from_the_future = 0
    if from_the_future:
        behind = connection.execute(
            "SELECT timestamp_us FROM message WHERE timestamp_us <= ? AND id > coalesce((SELECT id"
            " FROM message ORDER BY id LIMIT 1 OFFSET ?), 0) ORDER BY id LIMIT 1",
            (latest_us, at_most - 1),
        ).fetchone()
        if behind is not None and behind[0] < before_us:
            count += from_the_future
    return count


def remove_oldest(connection: sqlite3.Connection, rows: int, minutes: Minutes) -> tuple[int, int]:
    """Delete the `rows` oldest messages; return (rows deleted, highest id deleted)."""
    cut = connection.execute(
        "SELECT max(id) FROM (SELECT id FROM message ORDER BY id LIMIT ?)", (rows,)
    ).fetchone()[0]
    if cut is None:
        return 0, 0
    removed = connection.execute(
        "SELECT id, topic_id, timestamp_us FROM message WHERE id <= ? ORDER BY id", (cut,)
    ).fetchall()
    uncount(
        connection,
        Counter(topic_id for _, topic_id, _ in removed),
        {topic_id: message_id for message_id, topic_id, _ in removed},
    )
    connection.execute("DELETE FROM message WHERE id <= ?", (cut,))
    minutes.remove(connection, Counter(moment // MINUTE_US for *_, moment in removed))
    connection.execute("UPDATE log SET pruned_id = max(pruned_id, ?)", (cut,))
    return len(removed), cut


def uncount(
    connection: sqlite3.Connection, removed: dict[int, int], newest_ids: dict[int, int]
) -> None:
    """Lower the topics' counters, note the newest id that each has lost, and keep the last
    message of each that has no row left."""
    for topic_id, count in removed.items():
        left, last_id = connection.execute(
            "UPDATE topic SET message_count = message_count - ?, pruned_id = ? WHERE id = ?"
            " RETURNING message_count, last_id",
            (count, newest_ids[topic_id], topic_id),
        ).fetchone()
        if not left:
            connection.execute(
                "INSERT OR REPLACE INTO last_value SELECT topic_id, id, timestamp_us, qos, retain,"
                " payload, properties FROM message WHERE id = ?",
                (last_id,),
            )
