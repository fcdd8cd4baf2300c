"""The SQLite file: opening it, changing and asking it, and what threatens it.

Answers for: one write after the other, the lock that keeps a second process away, room on a full
disk, and a damaged file. Does not: know what the tables mean.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from store import quarantine, schema, wal
from store.ballast import Ballast
from store.connections import Connections
from store.copies import remove_passing_copies
from store.errors import DatabaseRefused, HistoryDamaged, HistoryUnavailable
from store.failures import cause_of, could_not_open, is_damage, not_begun, unavailable
from store.lock_file import LockFile
from store.presence import Presence

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# A log that grew beyond this, since somebody read for long, is cut back by `tidy`.
WAL_TOO_LARGE_BYTES = 7 * 1024 * 1024


class Database:
    """One open database file. Made by `open`; call from the event loop's thread only.

    `write` runs functions one after the other on the single writing connection; `read` runs
    them on read-only connections with a time budget. Both take a plain function whose first
    argument is the sqlite3 connection and make one hop to the database thread and back. Errors of
    SQLite come out as HistoryUnavailable, those of the file's content as HistoryDamaged.
    """

    def __init__(self, path: Path, query_timeout_s: float, full_sync: bool, cap_bytes: int) -> None:
        self.path = path
        self._connections = Connections(path, query_timeout_s)
        self._full_sync = full_sync
        self._cap_bytes = cap_bytes
        self._wal_path = Path(f"{path}-wal")
        self.quarantined = ""
        """Where a damaged file was moved since the start, or the empty text."""
        self.damage = ""
        """What is wrong with the present file, for the log, once somebody has run into it."""
        self._is_aside = False
        self._lock: LockFile | None = None
        self._ballast = Ballast(Path(f"{path}.ballast"))
        self.is_short = False
        """Whether the disk is so full that the ballast was given back, or could not be taken."""
        self._turn = asyncio.Lock()
        self.writing_since: float | None = None
        """When the writer began what it is at (monotonic s), or None while it has nothing to do."""
        self._presence = Presence(path, self._wal_path)
        self._saved = quarantine.Salvage()
        # Where each commit is synced there is nothing left to be done early.
        self._early_sync = None if full_sync else wal.EarlySync(self._wal_path)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        full_sync: bool = False,
        query_timeout_s: float = 1.0,
        now_us: int = 0,
        cap_bytes: int = 0,
    ) -> Database:
        """Open or create the file, bring its schema up to date, and hold its lock.

        Raises DatabaseHeld when another process has it, DatabaseRefused when it is from a newer
        version or cannot be written, and in both cases nothing was touched; DatabaseUnready when
        the disk is full or fails.
        """
        self = cls(path, query_timeout_s, full_sync, cap_bytes)
        try:
            self._lock = LockFile.take(path)
            remove_passing_copies(path)
            try:
                await self._open_file()
            except (sqlite3.Error, HistoryDamaged) as error:
                if isinstance(error, HistoryDamaged) or is_damage(error):
                    await self._quarantine(getattr(error, "said", str(error)), now_us)
                elif not self._gave_back(error):
                    raise
                await self._connections.close()
                await self._open_file()
            self.is_short = not self._ballast.take()
        except sqlite3.Error as error:
            await self.close()
            raise could_not_open(path, error) from error
        except OSError as error:
            await self.close()
            raise DatabaseRefused(f"{path} cannot be moved aside: {error.strerror}") from error
        except BaseException:
            await self.close()
            raise
        return self

    @property
    def noted(self) -> str:
        """What the process before noted, to be dealt with by whoever opened the database."""
        return self._lock.noted if self._lock else ""

    def note(self, text: str) -> None:
        """Write one short line where it needs no room on the disk."""
        if self._lock is not None:
            self._lock.note(text)

    # -- asking and changing ----------------------------------------------------------------------

    async def write(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function(connection, ...)` on the writing connection, in one hop.

        On a full disk once more, with the ballast's room: the function must bear that.
        """
        async with self._turn:
            self.writing_since = time.monotonic()
            try:
                try:
                    return await self._connections.write(function, *args, **kwargs)
                except sqlite3.Error as error:
                    if not await self._made_room(error):
                        raise
                return await self._connections.write(function, *args, **kwargs)
            except sqlite3.Error as error:
                raise self._explained(error, "the history cannot be written") from error
            finally:
                self.writing_since = None
                if self._early_sync is not None:
                    self._early_sync.written()

    async def read(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function(connection, ...)` in one read transaction on a read-only connection.

        Raises QueryTimeout when waiting for a connection or the query itself takes too long.
        """
        try:
            return await self._connections.read(
                lambda connection: function(connection, *args, **kwargs)
            )
        except sqlite3.Error as error:
            if cause_of(error) == "other":  # a mistake of ours is no trouble of the file
                raise
            failure = self._explained(error, "the history cannot be read")
            log.warning("%s", failure.in_full)  # the caller is told without SQLite's words
            raise failure from error

    async def backup(self, path: Path, mark: Callable[[sqlite3.Connection], None]) -> None:
        """Copy the database to a new file, consistently, on a connection of its own.

        `mark` is called with the copy, to change in it what must not be there twice.
        One step: a copy in several would begin anew at each commit. Writers go on meanwhile.
        """
        try:
            await self._connections.copy(path, mark)
        except sqlite3.Error as error:
            failure = self._explained(error, "the copy could not be written")
            log.warning("%s", failure.in_full)
            raise failure from error

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the database file and of its write-ahead log."""
        return wal.size_of(self.path), self.wal_bytes

    @property
    def wal_bytes(self) -> int:
        """The bytes of the write-ahead log."""
        return wal.size_of(self._wal_path)

    # -- keeping it well --------------------------------------------------------------------------

    async def tidy(self) -> None:
        """Cut back a log that grew, and take the ballast again: call every few seconds.

        Raises HistoryDamaged once somebody ran into damage, or when the file was taken away.
        """
        if missed := self._presence.missed():
            self.damage = self.damage or f"{missed} was removed or replaced"
        if self.damage:
            raise HistoryDamaged(self.damage)
        if wal.size_of(self._wal_path) > WAL_TOO_LARGE_BYTES:
            await self.write(wal.cut_back)
        if self.is_short:
            self.is_short = not await asyncio.to_thread(self._ballast.take)

    async def begin_afresh(
        self, now_us: int, prepare: Callable[[sqlite3.Connection], None]
    ) -> bool:
        """Move the damaged file aside, and go on with a new one that `prepare` has been run on.

        Returns whether that was needed. Raises HistoryUnavailable where that does not work yet;
        then it may be called again.
        """
        async with self._turn:
            if not self.damage:  # another caller, for whom we waited, has seen to it
                return False
            try:
                if not self._is_aside:
                    await self._quarantine(self.damage, now_us)
                    self._is_aside = True
                await self._open_file(prepare)
            except (sqlite3.Error, OSError) as error:
                await self._connections.close()
                raise not_begun(error) from error
            self._is_aside = False
            self.damage = ""
            return True

    async def close(self) -> None:
        """Close every connection; the writer last, so that it checkpoints. Safe to repeat."""
        if self._early_sync is not None:
            await self._early_sync.finish()
        await self._connections.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _open_file(
        self, prepare: Callable[[sqlite3.Connection], None] = lambda _: None
    ) -> None:
        def make_ready(connection: sqlite3.Connection) -> None:
            schema.prepare_writer(connection, self._full_sync, self._cap_bytes)
            quarantine.carry_over(connection, self._saved)
            prepare(connection)

        await self._connections.open(make_ready)
        self._presence.forget()

    async def _quarantine(self, why: str, now_us: int) -> None:
        aside = quarantine.move_aside(self.path, now_us)
        await self._connections.close()
        self.quarantined = str(aside)
        self._saved = await asyncio.to_thread(quarantine.salvage, aside)
        log.error("the database %s is damaged (%s); it was moved to %s", self.path, why, aside)

    async def _made_room(self, error: sqlite3.Error) -> bool:
        write = self._connections.write
        if cause_of(error) == "full" and await write(schema.is_at_cap):
            return False
        if not self._gave_back(error):
            return False
        self.is_short = True
        try:
            await write(wal.checkpoint)
        except sqlite3.Error:
            pass  # it needs more room than that; the write may still fit
        return True

    def _gave_back(self, error: sqlite3.Error) -> bool:
        cause = cause_of(error)
        is_full = cause == "full" or (cause == "io" and self._ballast.is_missed())
        return is_full and self._ballast.give_back()

    def _explained(self, error: sqlite3.Error, what: str) -> HistoryUnavailable:
        failure = unavailable(error, what)
        if isinstance(failure, HistoryDamaged):
            self.damage = str(error)
        return failure
