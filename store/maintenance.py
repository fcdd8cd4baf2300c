"""Looking at a database file and tidying it up, from a program of its own.

Answers for: check, figures and vacuum of a file that a service may have open: what only reads
works beside it, what writes takes the lock first. Does not: print, or know the service.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from store.counted import counted
from store.errors import DatabaseDamaged, DatabaseRefused
from store.failures import WORDS, cause_of, could_not_read
from store.lock_file import LockFile
from store.message import Message
from store.reading import forward
from store.schema import migrations, newer
from store.selection import Selection

# "Still at it" is told each so many virtual-machine steps: some times a second.
TICK_STEPS = 2_000_000
MAX_PROBLEMS = 20
# A page of an export: bounded in messages, in ids looked at and in bytes.
PAGE_MESSAGES = 5_000
SCAN_IDS = 50_000
PAGE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Figures:
    """What a file holds, counted. Times are microseconds since 1970, None where nothing is."""

    schema_version: int
    epoch: str
    messages: int
    topics: int
    oldest_id: int | None
    newest_id: int | None
    oldest_us: int | None
    newest_us: int | None
    database_bytes: int
    wal_bytes: int
    free_bytes: int
    """Inside the file: what is used again before it grows."""
    busiest: list[tuple[str, int]]


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file of ours to read only; DatabaseRefused when there is none, or another one, and
    DatabaseDamaged also for what is found out later."""
    if not path.exists():
        raise DatabaseRefused(f"there is no database {path}")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            connection.isolation_level = None
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            newest = migrations()[-1][0]
            if version > newest:
                raise newer(version, newest)
            if not version:
                raise DatabaseRefused(f"{path} is empty, or a database of another program")
            yield connection
    except sqlite3.Error as error:
        raise could_not_read(path, error) from error


def check(path: Path, tick: Callable[[], None]) -> list[str]:
    """Return what is wrong with the file, in sentences: the pages, and the counters beside them.

    `tick` is called while it works, which takes seconds for each million messages. Beside a
    running service the write-ahead log cannot be cut back meanwhile.
    """
    try:
        with reading(path) as connection:
            connection.set_progress_handler(tick, TICK_STEPS)
            connection.execute("BEGIN")
            found = [
                str(row[0]).replace("\n", ": ")
                for row in connection.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")
            ]
            return _miscounted(connection) if found == ["ok"] else found
    except DatabaseDamaged as error:
        return [str(error)]


def _miscounted(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name, message_count, coalesce(n, 0) FROM topic"
        " LEFT JOIN (SELECT topic_id, count(*) AS n FROM message GROUP BY topic_id)"
        f" ON topic_id = topic.id WHERE message_count <> coalesce(n, 0) LIMIT {MAX_PROBLEMS}"
    )
    return [
        f"topic {name!r} counts {counted(said, 'message')} and has {there}"
        for name, said, there in rows
    ]


def figures(path: Path) -> Figures:
    """Count what the file holds. DatabaseRefused."""
    with reading(path) as connection:

        def one(sql: str) -> tuple[int | None, ...]:
            found: tuple[int | None, ...] = connection.execute(sql).fetchone()
            return found

        connection.execute("BEGIN")
        wal = Path(f"{path}-wal")
        edge = "SELECT id, timestamp_us FROM message ORDER BY id {} LIMIT 1"
        oldest = connection.execute(edge.format("ASC")).fetchone() or (None, None)
        newest = connection.execute(edge.format("DESC")).fetchone() or (None, None)
        row = connection.execute("SELECT epoch FROM log").fetchone()
        return Figures(
            schema_version=one("PRAGMA user_version")[0] or 0,
            epoch=row[0] if row else "",
            messages=one("SELECT sum(message_count) FROM topic")[0] or 0,
            topics=one("SELECT count(*) FROM topic WHERE message_count > 0")[0] or 0,
            oldest_id=oldest[0],
            newest_id=newest[0],
            oldest_us=oldest[1],
            newest_us=newest[1],
            database_bytes=path.stat().st_size,
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            free_bytes=(one("PRAGMA freelist_count")[0] or 0) * (one("PRAGMA page_size")[0] or 0),
            busiest=connection.execute(
                "SELECT name, message_count FROM topic ORDER BY message_count DESC, name LIMIT 5"
            ).fetchall(),
        )


def walk(path: Path, selection: Selection) -> Iterator[tuple[list[Message], float]]:
    """Yield the messages of a selection, oldest first and page by page, with the part of the log
    that has been read. Each page is a read transaction of its own; what arrives after the first
    is left out. DatabaseRefused when the file is of an older schema."""
    with reading(path) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version != migrations()[-1][0]:
            raise DatabaseRefused(
                f"{path} is of schema version {version}: start the service once, which brings it"
                f" to version {migrations()[-1][0]}"
            )
        newest_id = connection.execute("SELECT max(id) FROM message").fetchone()[0] or 0
        selection = replace(selection, before_id=newest_id + 1)
        complete = not newest_id
        while not complete:
            connection.execute("BEGIN")
            page = forward(
                connection, selection, limit=PAGE_MESSAGES, scan_ids=SCAN_IDS, max_bytes=PAGE_BYTES
            )
            connection.execute("ROLLBACK")
            yield page.messages, page.scanned_id / newest_id
            complete = page.complete
            selection = replace(selection, after_id=page.scanned_id)


def vacuum(path: Path, tick: Callable[[], None]) -> tuple[int, int]:
    """Write the file anew without its holes; return its bytes before and after.

    Raises DatabaseHeld while a service has it, DatabaseRefused when the disk has no room for it:
    at the worst the file is there three times.
    """
    with reading(path):
        before = path.stat().st_size
    lock = LockFile.take(path)
    try:
        free = shutil.disk_usage(path.parent).free
        if free < 2 * before:
            raise DatabaseRefused(
                f"vacuum needs up to {2 * before:,} bytes, and the disk has {free:,} left"
            )
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.set_progress_handler(tick, TICK_STEPS)
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, path.stat().st_size
    except sqlite3.Error as error:
        raise DatabaseRefused(
            f"{path} could not be written anew: {WORDS[cause_of(error)]} ({error}); it is as it was"
        ) from error
    finally:
        lock.release()
