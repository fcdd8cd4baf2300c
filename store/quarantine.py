"""A damaged file is kept aside, never removed: somebody may want to rescue what is in it.

Answers for: moving it, and carrying what must be subscribed again over into the new file.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from store.message import iso_time

PARTS = ("", "-wal", "-shm")


@dataclass(frozen=True)
class Salvage:
    """What could be read of a damaged file beside its messages."""

    subscriptions: list[tuple[str, int, int]] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)


def move_aside(path: Path, now_us: int) -> Path:
    """Move a database with its log to a name that holds the time; return the new path.

    While a connection is still open: SQLite sees that the file was moved, and so does not change it
    any more when the connection is closed.
    """
    moment = iso_time(now_us)[:19].replace(":", "").replace("-", "")
    aside, number = Path(f"{path}.damaged-{moment}Z"), 1
    while any(Path(f"{aside}{part}").exists() for part in PARTS):
        number += 1
        aside = Path(f"{path}.damaged-{moment}Z-{number}")
    for part in PARTS:
        if Path(f"{path}{part}").exists():
            Path(f"{path}{part}").rename(f"{aside}{part}")
    return aside


def salvage(aside: Path) -> Salvage:
    """Read the small tables of a damaged file, as far as they can be read."""
    found = Salvage()
    if not aside.exists():
        return found
    try:
        connection = sqlite3.connect(f"file:{quote(str(aside))}?mode=ro", uri=True)
        try:
            found.subscriptions.extend(connection.execute("SELECT * FROM subscription").fetchall())
            found.settings.extend(connection.execute("SELECT * FROM setting").fetchall())
        finally:
            connection.close()
    except sqlite3.Error:
        pass  # then they are made again from the configuration, or by hand
    return found


def carry_over(connection: sqlite3.Connection, saved: Salvage) -> None:
    """Write what was salvaged into the new file; nothing is nothing."""
    if not (saved.subscriptions or saved.settings):
        return
    connection.executemany(
        "INSERT OR IGNORE INTO subscription VALUES (?, ?, ?)", saved.subscriptions
    )
    connection.executemany("INSERT OR IGNORE INTO setting VALUES (?, ?)", saved.settings)
