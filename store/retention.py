"""Removing the old end of the log, with the counters beside it.

Answers for: deleting rows from the oldest on, in a transaction that the caller holds, and
keeping the last value of each topic that loses its last row. Does not: decide how many.
"""

from __future__ import annotations

import sqlite3

from store.minutes import MINUTE_US, Minutes

# Rows deleted in one transaction at most: some 20 ms on a slow card.
STEP_ROWS = 2_000
# Beyond this a time of arrival is not a clock that is a little fast.
FUTURE_US = 3_600_000_000

# Lower the topics' counters, and note the newest id that each has lost.
_UNCOUNT = (
    "UPDATE topic SET message_count = message_count - gone.count, pruned_id = gone.newest_id"
    " FROM (SELECT topic_id, count(*) AS count, max(id) AS newest_id FROM message WHERE id <= ?"
    " GROUP BY topic_id) AS gone WHERE topic.id = gone.topic_id"
)
# Then, before they are deleted: keep the last message of each topic that has no row left.
_KEEP_LAST_VALUES = (
    "INSERT OR REPLACE INTO last_value SELECT topic_id, message.id, timestamp_us, qos, retain,"
    " payload, properties FROM message CROSS JOIN topic ON topic.id = topic_id"
    " WHERE message.id <= ? AND message_count = 0 AND message.id = topic.last_id"
)


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
        "SELECT timestamp_us / ?, count(*) FROM message WHERE id <= ? GROUP BY 1", (MINUTE_US, cut)
    ).fetchall()
    # Few statements, whatever the number of topics: each is a turn of the interpreter's lock.
    connection.execute(_UNCOUNT, (cut,))
    connection.execute(_KEEP_LAST_VALUES, (cut,))
    connection.execute("DELETE FROM message WHERE id <= ?", (cut,))
    minutes.remove(connection, dict(removed))
    connection.execute("UPDATE log SET pruned_id = max(pruned_id, ?)", (cut,))
    return sum(count for _, count in removed), cut
