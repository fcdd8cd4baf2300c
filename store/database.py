"""The SQLite file: opening it, its schema, one writer and a few read-only readers.

Answers for: the lock that keeps a second process away, pragmas, migrations, and running a
function on a database thread in one hop. Does not: know what the tables mean.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite

from store.errors import DatabaseHeld, DatabaseRefused, HistoryUnavailable, QueryTimeout
from store.message import iso_time

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# A stranger with sqlite3 may hold the write lock for a moment; longer is reported and retried.
BUSY_TIMEOUT_MS = 2_000
# Read-only connections. SQLite releases the GIL while it works, so a few run beside the writer.
READERS = 3
# SQLite asks "go on?" each so many virtual-machine steps: well under a millisecond.
PROGRESS_STEPS = 2_000
# Room for one note in the lock file.
NOTE_BYTES = 64
# After a checkpoint the WAL file is cut back to this; a long reader may let it grow meanwhile.
WAL_SIZE_LIMIT_BYTES = 8 * 1024 * 1024
# Page cache of the writer: the hot pages of the topic table and its index.
WRITER_CACHE_KIB = 16_384


def migrations() -> list[tuple[int, str]]:
    """Return (version, SQL) of every schema version, oldest first."""
    found = []
    for entry in resources.files("migrations").iterdir():
        number = re.match(r"(\d{4})_\w+\.sql$", entry.name)
        if number:
            found.append((int(number.group(1)), entry.read_text(encoding="utf-8")))
    return sorted(found)


class Database:
    """One open database file. Made by `open`; call from the event loop's thread only.

    `write` runs functions one after the other on the single writing connection; `read` runs
    them on read-only connections with a time budget. Both take a plain function whose first
    argument is the sqlite3 connection and make one hop to the database thread and back.
    """

    def __init__(self, path: Path, query_timeout_s: float) -> None:
        self.path = path
        self._query_timeout_s = query_timeout_s
        self.noted = ""
        """What the process before noted, to be dealt with by whoever opened the database."""
        self.quarantined = ""
        """Where a damaged file was moved at the start, or the empty text."""
        self._lock_file: int | None = None
        self._writer: aiosqlite.Connection | None = None
        self._readers: list[aiosqlite.Connection] = []
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        self._writes = 0  # begun and not over
        self.writing_since: float | None = None
        """When the writer began what it is at (monotonic s), or None while it has nothing to do."""

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        full_sync: bool = False,
        query_timeout_s: float = 1.0,
        now_us: int = 0,
    ) -> Database:
        """Open or create the file, bring its schema up to date, and hold its lock.

        Raises DatabaseHeld when another process has it, DatabaseRefused when it is from a newer
        version or cannot be written; in both cases nothing was touched.
        """
        self = cls(path, query_timeout_s)
        try:
            self._take_lock()
            try:
                await self._open_writer(full_sync)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:  # damaged: keep it aside, begin afresh
                await self._quarantine(str(error), now_us)
                await self._open_writer(full_sync)
            for _ in range(READERS):
                uri = f"file:{quote(str(path))}?mode=ro"
                reader = await _connect(uri)
                self._readers.append(reader)
                await _run(reader, _prepare_reader)
                self._idle.put_nowait(reader)
        except sqlite3.OperationalError as error:
            await self.close()
            raise could_not_open(path, error) from error
        except BaseException:
            await self.close()
            raise
        return self

    async def _open_writer(self, full_sync: bool) -> None:
        self._writer = await _connect(self.path)
        await self.write(_prepare_writer, full_sync)

    async def _quarantine(self, why: str, now_us: int) -> None:
        """Move a damaged file aside, with its log: nobody may lose what could be rescued."""
        if self._writer is not None:
            await self._writer.close()
            self._writer = None
        moment = iso_time(now_us)[:19].replace(":", "").replace("-", "")
        aside, number = Path(f"{self.path}.damaged-{moment}Z"), 1
        while aside.exists():
            number += 1
            aside = Path(f"{self.path}.damaged-{moment}Z-{number}")
        for suffix in ("", "-wal", "-shm"):
            part = Path(f"{self.path}{suffix}")
            if part.exists():
                part.rename(f"{aside}{suffix}")
        self.quarantined = str(aside)
        log.error("the database %s is damaged (%s); it was moved to %s", self.path, why, aside)

    def note(self, text: str) -> None:
        """Write one short line where it needs no room on the disk: into the lock file.

        For what must be known after a crash while the database cannot be written.
        """
        if self._lock_file is not None:
            try:
                os.pwrite(self._lock_file, text.encode("ascii").ljust(NOTE_BYTES), 0)
            except OSError as error:
                log.warning("a note for the next start could not be written: %s", error)

    def _take_lock(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DatabaseRefused(
                f"the directory of the database {self.path} cannot be written: {error.strerror}"
            ) from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatabaseHeld(f"another process has the database {self.path} open") from None
        noted = os.pread(self._lock_file, NOTE_BYTES, 0)
        self.noted = noted.decode("ascii", "replace").strip()
        if len(noted) < NOTE_BYTES:
            self.note(self.noted)  # take the room now: later the disk may be full

    async def write(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `function(connection, ...)` on the writing connection, in one hop."""
        assert self._writer is not None
        if not self._writes:
            self.writing_since = time.monotonic()
        self._writes += 1
        try:
            return await _run(self._writer, function, *args, **kwargs)
        finally:
            self._writes -= 1
            self.writing_since = time.monotonic() if self._writes else None

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
            reader = await asyncio.wait_for(self._idle.get(), self._query_timeout_s)
        except TimeoutError:
            raise QueryTimeout("all readers of the history are busy") from None
        work = asyncio.ensure_future(
            _run(
                reader,
                _read_within,
                self._query_timeout_s,
                lambda connection: function(connection, *args, **kwargs),
            )
        )
        # A cancelled caller does not stop the SQL: the connection is free when the work is done.
        work.add_done_callback(functools.partial(self._give_back, reader))
        return await asyncio.shield(work)

    def _give_back(self, reader: aiosqlite.Connection, work: asyncio.Future[object]) -> None:
        self._idle.put_nowait(reader)
        if not work.cancelled():
            work.exception()  # seen by the caller, or by nobody when the caller was cancelled

    async def backup(self, path: Path, mark: Callable[[sqlite3.Connection], None]) -> None:
        """Copy the database to a new file, consistently, on a connection of its own.

        `mark` is called with the copy, to change in it what must not be there twice.
        One step: a copy in several would begin anew at each commit. Writers go on meanwhile.
        """
        uri = f"file:{quote(str(self.path))}?mode=ro"
        source = await _connect(uri)
        try:
            await _run(source, _copy, path, mark)
        except sqlite3.Error as error:
            raise HistoryUnavailable(f"the copy could not be written: {error}") from error
        finally:
            await source.close()

    def sizes(self) -> tuple[int, int]:
        """Return the bytes of the database file and of its write-ahead log."""
        return _size(self.path), _size(Path(f"{self.path}-wal"))

    async def close(self) -> None:
        """Close every connection; the writer last, so that it checkpoints. Safe to repeat."""
        readers, self._readers = self._readers, []
        for reader in readers:
            await reader.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


def could_not_open(path: Path, error: sqlite3.OperationalError) -> DatabaseHeld | DatabaseRefused:
    """Return what to raise when the start fails: held by another program, or not usable at all."""
    if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseHeld(f"another program has the database {path} locked")
    return DatabaseRefused(f"the database {path} cannot be opened: {error}")


async def _connect(target: Path | str) -> aiosqlite.Connection:
    """Open a connection; a text is a URI. What cannot be opened leaves no thread behind."""
    connection = aiosqlite.connect(target, uri=isinstance(target, str), isolation_level=None)
    try:
        return await connection
    except BaseException:
        # aiosqlite tells its thread to end, but does not wait: on a loop that is closed meanwhile,
        # as by a start that fails, the thread would die with a traceback.
        await asyncio.to_thread(connection._thread.join)
        raise


async def _run(
    connection: aiosqlite.Connection,
    function: Callable[Concatenate[sqlite3.Connection, P], T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """One hop to the connection's thread: see docs/decisions/0002-one-hop-transactions.md."""
    raw = connection._conn
    return await connection._execute(  # type: ignore[no-any-return, no-untyped-call]
        function, raw, *args, **kwargs
    )


def _read_within(
    connection: sqlite3.Connection, budget_s: float, function: Callable[[sqlite3.Connection], T]
) -> T:
    deadline = time.monotonic() + budget_s
    connection.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
    try:
        connection.execute("BEGIN")
        return function(connection)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise QueryTimeout(f"the query ran longer than {budget_s:g} s") from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _copy(
    connection: sqlite3.Connection, path: Path, mark: Callable[[sqlite3.Connection], None]
) -> None:
    target = sqlite3.connect(path, isolation_level=None)
    try:
        connection.backup(target)
        mark(target)
    finally:
        target.close()


def _prepare_writer(connection: sqlite3.Connection, full_sync: bool) -> None:
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    steps = migrations()
    newest = steps[-1][0]
    if version > newest:
        raise DatabaseRefused(
            f"the database is of schema version {version}, made by a newer release; "
            f"this one knows versions up to {newest}"
        )
    _check(connection, version)
    if version == 0:  # only an empty file can still choose
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    for number, script in steps:
        if number > version:
            _migrate(connection, number, script)


def _check(connection: sqlite3.Connection, version: int) -> None:
    """Look for damage after an unclean end; sqlite3.DatabaseError when there is some."""
    if version == 0:
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise DatabaseRefused("the file is a database, but not one of this service")
        return
    row = connection.execute("SELECT closed_clean FROM log").fetchone()
    if row is None or row[0]:
        return
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":  # SQLite reports damage as text
        raise sqlite3.DatabaseError(found)


def _migrate(connection: sqlite3.Connection, number: int, script: str) -> None:
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
    except sqlite3.Error:
        if connection.in_transaction:  # an aborted script leaves its transaction open
            connection.execute("ROLLBACK")
        raise


def _prepare_reader(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
