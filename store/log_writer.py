"""The writing side of the log: number, append, count and trim, each in one transaction.

Answers for: ids that never name two messages, the counters beside the rows, the cap.
Does not: decide when to write, or read for anybody.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from store import redeliveries, retention
from store.message import Message
from store.minutes import Minutes
from store.purge import Purge, purge_last_values, purge_step
from store.row_writer import RowWriter
from store.transaction import transaction

# Ids are reserved in blocks by a fully synced commit: one extra commit in so many messages, and
# so many ids skipped by each power cut. JavaScript counts to 2^53: enough for 10^11 cuts.
ID_BLOCK = 65_536

# Removed at least, where something must go: a row alone seldom frees a page.
MIN_STEP_ROWS = 100

UNSTORED_NOTE = re.compile(r"unstored after (\d{1,18})")


@dataclass(frozen=True, slots=True)
class Totals:
    """What the log holds. Replaced as a whole after each commit, so any thread may read it."""

    epoch: str
    message_count: int = 0
    newest_id: int = 0
    oldest_id: int | None = None
    pruned_id: int = 0
    pruned_total: int = 0
    """Rows that retention has removed since the start."""


class LogWriter:
    """Owns the numbering and the counters. All its methods run on the writer's thread."""

    def __init__(self, cap_rows: int, cap_bytes: int = 0, after_id: int = 0) -> None:
        self.totals = Totals(epoch="")
        self.minutes = Minutes()
        self._cap_rows = cap_rows
        self._cap_bytes = cap_bytes
        self._next_id = after_id + 1
        self._reserved_id = 0
        self._rows = RowWriter()

    def open(self, connection: sqlite3.Connection, now_us: int, noted: str = "") -> None:
        """Read the state of the log; after an unclean end go on at the next block of ids.

        `noted` is what the process before wrote down when it could write nothing else.
        """
        with transaction(connection):
            epoch = _new_epoch()
            connection.execute(
                "INSERT OR IGNORE INTO log (only_row, epoch, created_us) VALUES (1, ?, ?)",
                (epoch, now_us),
            )
            epoch, self._reserved_id, pruned_id, clean = connection.execute(
                "SELECT epoch, reserved_id, pruned_id, closed_clean FROM log"
            ).fetchone()
            given = self._last_given(connection, bool(clean), noted)
            if given < self._next_id - 1:  # a new file goes on with the numbers of a damaged one
                given = pruned_id = self._next_id - 1
                connection.execute("UPDATE log SET pruned_id = ?1, lost_id = ?1", (given,))
            # Readers are told positions up to here: no later start may go back behind them.
            self._reserved_id = max(self._reserved_id, given)
            connection.execute(
                "UPDATE log SET closed_clean = 0, reserved_id = ?", (self._reserved_id,)
            )
            self._next_id = given + 1
            self.minutes.recover(connection, now_us)
            count = connection.execute("SELECT sum(message_count) FROM topic").fetchone()[0] or 0
        self.totals = Totals(epoch, count, given, retention.oldest_id(connection), pruned_id)
        self.minutes.show()
        while self._excess():  # the cap was lowered
            self.trim(connection, min(retention.STEP_ROWS, self._excess()))

    def _last_given(self, connection: sqlite3.Connection, clean: bool, noted: str) -> int:
        stored: int = connection.execute(
            "SELECT coalesce(max(seq), 0) FROM sqlite_sequence"
        ).fetchone()[0]
        given = stored if clean else max(stored, self._reserved_id)
        lost = UNSTORED_NOTE.fullmatch(noted)
        if lost:  # an id of its own, so that a reader at the head passes the place, too
            after_id = max(stored, int(lost.group(1)))  # some may have been stored since
            given = max(given, after_id) + 1
            connection.execute(
                "INSERT OR REPLACE INTO unstored VALUES (?, ?)", (after_id, given + 1)
            )
        return given

    @property
    def newest_given_id(self) -> int:
        """The highest id that has named a message."""
        return self._next_id - 1

    def close(self, connection: sqlite3.Connection) -> None:
        """Leave the log so that the next start goes on with the very next id."""
        with transaction(connection):
            self.minutes.flush(connection)
            connection.execute(
                "UPDATE log SET closed_clean = 1, reserved_id = ?", (self._next_id - 1,)
            )
            if self._next_id > 1:
                connection.execute("DELETE FROM sqlite_sequence WHERE name = 'message'")
                connection.execute(
                    "INSERT INTO sqlite_sequence VALUES ('message', ?)", (self._next_id - 1,)
                )

    def append(
        self,
        connection: sqlite3.Connection,
        messages: Sequence[Message],
        new_window: dict[int, int] | None = None,
        copies: Sequence[tuple[int, Message]] = (),
    ) -> list[Message]:
        """Store the messages in one transaction; return those stored, in order, with their ids.

        Not stored: a retained replay that equals the topic's last value. `new_window` not None
        says that what came before can no longer be redelivered, but for the rows it names
        (packet_id -> message id). `copies` are further packet numbers under which messages of this
        append or an earlier one came. On an error nothing is stored and no id is used up.
        """
        self._reserve(connection, len(messages))
        kept_minutes = self.minutes.copy()
        try:
            with transaction(connection):
                stored = self._rows.insert(connection, messages, self._next_id, self.minutes)
                if new_window is not None:
                    redeliveries.begin_window(connection, self._next_id, new_window)
                if copies:
                    redeliveries.add_copies(connection, copies, stored, self._next_id)
                totals = replace(
                    self.totals,
                    message_count=self.totals.message_count + len(stored),
                    newest_id=self._next_id + len(stored) - 1 if stored else self.totals.newest_id,
                    oldest_id=self.totals.oldest_id or (self._next_id if stored else None),
                )
                excess = max(self._excess(totals), self._overweight(connection, len(stored)))
                totals = self._trimmed(connection, totals, excess)
        except BaseException:
            self.minutes = kept_minutes
            self._rows.forget()
            raise
        for message_id, message in enumerate(stored, self._next_id):
            message.id = message_id
        self._next_id += len(stored)
        self.totals = totals
        self.minutes.show()
        return stored

    def trim(self, connection: sqlite3.Connection, rows: int) -> None:
        """Remove the oldest `rows` messages in one transaction, as retention does."""
        kept_minutes = self.minutes.copy()
        try:
            with transaction(connection):
                totals = self._trimmed(connection, self.totals, rows)
        except BaseException:
            self.minutes = kept_minutes
            raise
        self.totals = totals
        self.minutes.show()

    def purge(
        self, connection: sqlite3.Connection, purge: Purge, after_id: int
    ) -> tuple[int, int | None]:
        """Remove one step of what an administrator wants gone; see purge.purge_step."""
        kept_minutes = self.minutes.copy()
        try:
            with transaction(connection):
                removed, go_on = purge_step(connection, purge, after_id, self.minutes)
                if go_on is None:
                    purge_last_values(connection, purge)
                totals = replace(
                    self.totals,
                    message_count=self.totals.message_count - removed,
                    oldest_id=retention.oldest_id(connection),
                )
        except BaseException:
            self.minutes = kept_minutes
            raise
        self.totals = totals
        self.minutes.show()
        return removed, go_on

    # -- the parts of an append -------------------------------------------------------------------

    def _excess(self, totals: Totals | None = None) -> int:
        count = (totals or self.totals).message_count
        return max(0, count - self._cap_rows) if self._cap_rows else 0

    def _overweight(self, connection: sqlite3.Connection, added: int) -> int:
        """How many rows go because the file has more bytes than it may: twice what came, so that
        it shrinks as fast as it grew, and never all at once."""
        if not self._cap_bytes or retention.used_bytes(connection) <= self._cap_bytes:
            return 0
        return min(max(2 * added, MIN_STEP_ROWS), self.totals.message_count // 2)

    def _reserve(self, connection: sqlite3.Connection, count: int) -> None:
        """See that `count` more ids are reserved on the disk, synced, before any is used."""
        needed = self._next_id + count - 1
        if needed <= self._reserved_id:
            return
        usual = connection.execute("PRAGMA synchronous").fetchone()[0]
        connection.execute("PRAGMA synchronous = FULL")
        try:
            with transaction(connection):
                connection.execute("UPDATE log SET reserved_id = ?", (needed + ID_BLOCK,))
        finally:
            connection.execute(f"PRAGMA synchronous = {usual}")
        self._reserved_id = needed + ID_BLOCK

    def _trimmed(self, connection: sqlite3.Connection, totals: Totals, rows: int) -> Totals:
        if rows <= 0:
            return totals
        removed, through = retention.remove_oldest(connection, rows, self.minutes)
        return replace(
            totals,
            message_count=totals.message_count - removed,
            oldest_id=retention.oldest_id(connection),
            pruned_id=max(totals.pruned_id, through),
            pruned_total=totals.pruned_total + removed,
        )


def renew_epoch(connection: sqlite3.Connection) -> None:
    """Make a copy of a log a log of its own, closed in order."""
    connection.execute("UPDATE log SET epoch = ?, closed_clean = 1", (_new_epoch(),))


def _new_epoch() -> str:
    """Return a short random word that begins with a letter."""
    return secrets.choice("abcdefghijklmnop") + secrets.token_hex(3)
