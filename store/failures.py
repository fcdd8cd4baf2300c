"""What an error of SQLite means for us: who caused it, and whether trying again can help.

Answers for: turning error codes into our named errors. Does not: act on them.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from store.errors import (
    DatabaseHeld,
    DatabaseRefused,
    DatabaseUnready,
    HistoryDamaged,
    HistoryUnavailable,
)

# The lowest byte of SQLite's extended codes is the kind of the failure.
KIND = 0xFF
CAUSES = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_CANTOPEN: "io",
    sqlite3.SQLITE_READONLY: "readonly",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}


def cause_of(error: sqlite3.Error) -> str:
    """Return one word: full, locked, io, readonly, damaged or other."""
    code = getattr(error, "sqlite_errorcode", None)
    return "other" if code is None else CAUSES.get(code & KIND, "other")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the content of the file is at fault, asked when it is opened.

    Then a missing table counts: every file of ours that has a version has all tables of it.
    """
    return cause_of(error) == "damaged" or str(error).startswith("no such table")


def unavailable(error: sqlite3.Error, what: str) -> HistoryUnavailable:
    """Return what to raise when a statement fails while the service runs."""
    if cause_of(error) == "damaged":
        return HistoryDamaged(f"the history is damaged: {error}")
    return HistoryUnavailable(f"{what}: {error}", cause_of(error))


def could_not_open(path: Path, error: sqlite3.Error) -> DatabaseUnready | DatabaseRefused:
    """Return what to raise when the start fails: whether somebody has to look, or only time."""
    match cause_of(error):
        case "locked":
            return DatabaseHeld(f"another program has the database {path} locked")
        case "full":
            return DatabaseUnready(f"the disk of the database {path} is full")
        case "io" if error.sqlite_errorcode & KIND == sqlite3.SQLITE_IOERR:
            return DatabaseUnready(f"the disk of the database {path} fails: {error}")
        case _:
            return DatabaseRefused(f"the database {path} cannot be opened: {error}")
