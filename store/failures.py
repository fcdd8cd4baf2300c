"""What an error of SQLite means for us: who caused it, and whether trying again can help.

Answers for: turning error codes into our named errors. Does not: act on them.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from store.errors import (
    DatabaseDamaged,
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
# The same for people. What SQLite says of it, and where, is for the log.
WORDS = {
    "full": "the disk is full",
    "locked": "another program holds the database locked",
    "io": "the disk fails",
    "readonly": "the file may not be written",
    "damaged": "the file is damaged",
    "other": "an unexpected error, which the log has",
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
        return HistoryDamaged(str(error))
    return HistoryUnavailable(f"{what}: {WORDS[cause_of(error)]}", cause_of(error), str(error))


def not_begun(error: sqlite3.Error | OSError) -> HistoryUnavailable:
    """Return what to raise when a damaged file could not be replaced yet."""
    what = "the history was damaged, and no new one can be begun"
    if isinstance(error, OSError):
        return HistoryUnavailable(f"{what}: {error.strerror}", said=str(error))
    return HistoryUnavailable(f"{what}: {WORDS[cause_of(error)]}", said=str(error))


def could_not_open(path: Path, error: sqlite3.Error) -> DatabaseUnready | DatabaseRefused:
    """Return what to raise when the start fails: whether somebody has to look, or only time."""
    match cause_of(error):
        case "locked":
            return DatabaseHeld(f"another program has the database {path} locked")
        case "full":
            return DatabaseUnready(f"the disk of the database {path} is full")
        case "io" if error.sqlite_errorcode & KIND == sqlite3.SQLITE_IOERR:
            return DatabaseUnready(f"the disk of the database {path} fails ({error})")
        case _ if path.is_dir():
            return DatabaseRefused(f"HISTORY_DB is the directory {path}: name a file in it")
        case "io" | "readonly":
            return DatabaseRefused(
                f"the database {path} may not be written by the user that this runs as"
            )
        case _:
            return DatabaseRefused(f"the database {path} cannot be opened ({error})")


def could_not_read(path: Path, error: sqlite3.Error) -> DatabaseRefused:
    """Return what to raise when a file cannot be looked at by a tool."""
    match cause_of(error):
        case "damaged":
            return DatabaseDamaged(f"{path} is no database, or a damaged one ({error})")
        case "locked":
            return DatabaseRefused(f"{path} cannot be read: {WORDS['locked']}; try again")
        case "io" if path.is_dir():
            return DatabaseRefused(f"{path} is a directory, not a database")
        case "io" | "readonly":
            return DatabaseRefused(f"{path} may not be read by the user that this runs as")
        case _:
            return DatabaseRefused(f"{path} cannot be read ({error})")
