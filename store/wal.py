"""The write-ahead log: moving it into the database file, and cutting it back.

Answers for: what is run on the writing connection for that. Does not: decide when.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from store.schema import BUSY_TIMEOUT_MS


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
