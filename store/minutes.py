"""Which ids arrived in which minute: times become ranges of ids without an index on time.

Answers for: the `minute` table and the count of recent messages. Does not: filter rows by
time; a reader still compares each row's own timestamp, so a jumping clock only widens a range.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
# The open minute is written when it ends, and within it after so many rows: a lone message
# then costs the SD card one page less.
FLUSH_ROWS = 1_000
RECENT_MINUTES = 60

_MERGE = (
    "INSERT INTO minute (minute, first_id, last_id, message_count) VALUES (?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET first_id = min(first_id, excluded.first_id),"
    " last_id = max(last_id, excluded.last_id),"
    " message_count = message_count + excluded.message_count"
)


class Minutes:
    """The open minute, and how many rows each minute of the last hour has.

    Writer's thread only, but for `recent`, which any thread may call: it knows what the last
    `show` after a commit knew, never half a transaction.
    """

    def __init__(self) -> None:
        self._minute = -1
        self._first_id = 0
        self._last_id = 0
        self._count = 0
        self._recent: dict[int, int] = {}
        self._shown: dict[int, int] = {}

    def copy(self) -> Minutes:
        """Return a snapshot to go back to when a transaction fails."""
        twin = Minutes()
        twin._minute, twin._first_id = self._minute, self._first_id
        twin._last_id, twin._count = self._last_id, self._count
        twin._recent, twin._shown = dict(self._recent), self._shown
        return twin

    def show(self) -> None:
        """Let `recent` see what was counted: the transaction is committed."""
        self._shown = dict(self._recent)

    def recover(self, connection: sqlite3.Connection, now_us: int) -> None:
        """Read the last hour's counts, and count the rows that an unclean end left uncounted."""
        connection.execute(
            "INSERT INTO minute SELECT timestamp_us / 60000000, min(id), max(id), count(*)"
            " FROM message WHERE id > (SELECT coalesce(max(last_id), 0) FROM minute) GROUP BY 1"
            " ON CONFLICT DO UPDATE SET last_id = max(last_id, excluded.last_id),"
            " message_count = message_count + excluded.message_count"
        )
        since = now_us // MINUTE_US - RECENT_MINUTES
        self._recent = dict(
            connection.execute(
                "SELECT minute, message_count FROM minute WHERE minute >= ?", (since,)
            ).fetchall()
        )

    def add(self, connection: sqlite3.Connection, moments_us: Sequence[int], first_id: int) -> None:
        """Count rows that arrived at these moments, with the ids from `first_id` on."""
        if not moments_us:
            return
        minute = min(moments_us) // MINUTE_US
        if max(moments_us) // MINUTE_US == minute:  # nearly always
            self._add(connection, minute, first_id, len(moments_us))
            return
        for message_id, moment_us in enumerate(moments_us, first_id):
            self._add(connection, moment_us // MINUTE_US, message_id, 1)

    def _add(self, connection: sqlite3.Connection, minute: int, first_id: int, count: int) -> None:
        if minute != self._minute:
            self.flush(connection)
            self._minute, self._first_id = minute, first_id
        elif not self._count:
            self._first_id = first_id
        self._last_id = first_id + count - 1
        self._count += count
        self._recent[minute] = self._recent.get(minute, 0) + count

    def flush_when_large(self, connection: sqlite3.Connection) -> None:
        """Write the open minute if many rows wait for it."""
        if self._count >= FLUSH_ROWS:
            self.flush(connection)

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the open minute into the table."""
        if self._count:
            connection.execute(_MERGE, (self._minute, self._first_id, self._last_id, self._count))
            self._count = 0
        oldest = self._minute - RECENT_MINUTES
        for minute in [minute for minute in self._recent if minute < oldest]:
            del self._recent[minute]

    def remove(self, connection: sqlite3.Connection, removed: dict[int, int]) -> None:
        """Uncount deleted rows: minute -> rows."""
        self.flush(connection)
        connection.executemany(
            "UPDATE minute SET message_count = message_count - ? WHERE minute = ?",
            [(count, minute) for minute, count in removed.items()],
        )
        connection.executemany(
            "DELETE FROM minute WHERE minute = ? AND message_count <= 0",
            [(minute,) for minute in removed],
        )
        for minute, count in removed.items():
            if minute in self._recent:
                self._recent[minute] -= count

    def recent(self, now_us: int) -> int:
        """Return how many rows arrived within the last hour, to the minute."""
        oldest = now_us // MINUTE_US - RECENT_MINUTES
        return sum(count for minute, count in self._shown.items() if minute > oldest)


def id_range(
    connection: sqlite3.Connection, since_us: int | None, until_us: int | None
) -> tuple[int, int | None]:
    """Return (first id, last id or None) outside which no row lies in [since_us, until_us).

    Rows of the open minute are not in the table yet: they are the newest, so a `since` never
    excludes them, and an `until` in the past may still scan them.
    """
    newest = connection.execute("SELECT coalesce(max(last_id), 0) FROM minute").fetchone()[0]
    first, last = 0, None
    if since_us is not None:
        first = connection.execute(
            "SELECT coalesce(min(first_id), ?) FROM minute WHERE minute >= ?",
            (newest + 1, since_us // MINUTE_US),
        ).fetchone()[0]
    if until_us is not None:
        later = connection.execute(
            "SELECT 1 FROM message WHERE id > ? LIMIT 1", (newest,)
        ).fetchone()
        if later is None:
            last = connection.execute(
                "SELECT coalesce(max(last_id), 0) FROM minute WHERE minute <= ?",
                (until_us // MINUTE_US,),
            ).fetchone()[0]
    return first, last
