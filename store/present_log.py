"""The log that is written now: another one, once a damaged file was replaced.

Answers for: which log writer a piece of work gets, asked on the writer's thread at the moment when
the work is done, and how many rows one step of retention removes. Does not: hop threads.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from store import retention
from store.log_writer import LogWriter, Totals
from store.message import Message
from store.minutes import HOUR_US, Minutes
from store.purge import Purge

# A step of retention is to take about so long, as messages wait for it: some 400 rows where the
# disk is quick. One that took longer than twice as long is followed by one of half the rows.
STEP_S = 0.001
MIN_STEP_ROWS = 100


class PresentLog:
    """Hands work on to the present log writer. Writer's thread, but for `totals` and `minutes`."""

    def __init__(self, cap_rows: int, retention_hours: float, cap_bytes: int) -> None:
        self._cap_rows = cap_rows
        self._retention_hours = retention_hours
        self._cap_bytes = cap_bytes
        self._writer = LogWriter(cap_rows, cap_bytes)
        self._step_rows = MIN_STEP_ROWS

    @property
    def totals(self) -> Totals:
        """What the log holds."""
        return self._writer.totals

    @property
    def minutes(self) -> Minutes:
        """How many rows arrived in which minute."""
        return self._writer.minutes

    def open(self, connection: sqlite3.Connection, now_us: int, noted: str) -> None:
        """Read the state of the log."""
        self._writer.open(connection, now_us, noted)

    def open_another(self, connection: sqlite3.Connection, now_us: int) -> None:
        """Begin a log in a new file, with ids behind those of the one before."""
        another = LogWriter(self._cap_rows, self._cap_bytes, self._writer.newest_given_id)
        another.open(connection, now_us)
        self._writer = another

    def append(
        self,
        connection: sqlite3.Connection,
        messages: Sequence[Message],
        new_window: dict[int, int] | None,
        copies: Sequence[tuple[int, Message]],
    ) -> list[Message]:
        """Store messages; see LogWriter.append."""
        return self._writer.append(connection, messages, new_window, copies)

    def purge(
        self, connection: sqlite3.Connection, purge: Purge, after_id: int
    ) -> tuple[int, int | None]:
        """Remove one step of what is meant; see LogWriter.purge."""
        return self._writer.purge(connection, purge, after_id)

    def make_room(self, connection: sqlite3.Connection) -> bool:
        """Remove the oldest rows where the file may not grow; return whether there were some."""
        rows = min(retention.STEP_ROWS, self.totals.message_count // 2) if self._cap_bytes else 0
        if rows:
            self._writer.trim(connection, rows)
        return rows > 0

    def prune(self, connection: sqlite3.Connection, now_us: int | None, at_most: int) -> int:
        """Remove one step of what is too old, if the time is known, or too much."""
        began, rows = time.monotonic(), 0
        step = min(self._step_rows, at_most)
        if self._retention_hours and now_us is not None:
            before_us = now_us - int(self._retention_hours * HOUR_US)
            rows = retention.expired_rows(connection, before_us, now_us, step)
        if self._cap_bytes and not rows and retention.used_bytes(connection) > self._cap_bytes:
            rows = min(step, self.totals.message_count)
        if rows:
            self._writer.trim(connection, rows)
            connection.execute("PRAGMA incremental_vacuum(256)").fetchall()
            self._adapt(time.monotonic() - began)
        return rows

    def _adapt(self, took_s: float) -> None:
        """Remove more rows at once, or fewer, so that a step takes about STEP_S."""
        if took_s < STEP_S:
            self._step_rows = min(2 * self._step_rows, retention.STEP_ROWS)
        elif took_s > 2 * STEP_S:
            self._step_rows = max(self._step_rows // 2, MIN_STEP_ROWS)

    def close(self, connection: sqlite3.Connection) -> None:
        """Leave the log in order."""
        self._writer.close(connection)
