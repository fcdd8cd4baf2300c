"""The write-ahead log: moving it into the database file, cutting it back, and syncing it early.

Answers for: what is run on the writing connection for that, and when the log is synced beside it
(docs/decisions/0022-the-log-is-synced-early.md). Does not: decide when it is moved.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from pathlib import Path

from store.schema import BUSY_TIMEOUT_MS

# The log goes to the disk after so many transactions (some 200 KB of it), and not more often than
# this: a busy plant gains by it, and a card of a quiet one is spared.
SYNC_AFTER_WRITES = 16
SYNC_INTERVAL_S = 0.04


class EarlySync:
    """Has the log go to the disk while messages are stored, on a thread of its own.

    Else all of its 4 MB go at once when a checkpoint begins, and who commits then waits some
    milliseconds for it. Nothing depends on it: a checkpoint syncs the log in any case. Lives on
    the event loop.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writes = 0
        self._began = 0.0
        self._syncing: asyncio.Future[None] | None = None

    def written(self) -> None:
        """Take note of a transaction; begin to sync when it is time."""
        self._writes += 1
        if self._writes < SYNC_AFTER_WRITES or self._syncing is not None:
            return
        now = time.monotonic()
        if now - self._began >= SYNC_INTERVAL_S:
            self._writes, self._began = 0, now
            loop = asyncio.get_running_loop()
            self._syncing = loop.run_in_executor(None, _sync, self._path)
            self._syncing.add_done_callback(self._done)

    def _done(self, _syncing: asyncio.Future[None]) -> None:
        self._syncing = None

    async def finish(self) -> None:
        """Wait until nothing is on its way any more."""
        if self._syncing is not None:
            await asyncio.wait([self._syncing])


def _sync(path: Path) -> None:
    """Sync the log, on a descriptor of our own: SQLite locks other files than this one."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return  # no log yet, or no more
    try:
        os.fdatasync(descriptor)
    except OSError:
        pass  # a disk that fails is noticed by who writes
    finally:
        os.close(descriptor)


def checkpoint(connection: sqlite3.Connection, kind: str = "PASSIVE") -> bool:
    """Move the log into the file; return whether all of it could be moved."""
    busy, frames, moved = connection.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
    return not busy and frames == moved


def cut_back(connection: sqlite3.Connection) -> None:
    """Empty the log file, unless somebody still reads in it."""
    if checkpoint(connection):
        connection.execute("PRAGMA busy_timeout = 0")  # waiting would hold up messages
        try:
            checkpoint(connection, "TRUNCATE")
        finally:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def size_of(path: Path) -> int:
    """Return the bytes of a file; none when it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
