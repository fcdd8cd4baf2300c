"""What a database file must be before it is used: pragmas, soundness, the newest schema.

Answers for: preparing a connection. Does not: know what the tables mean.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from importlib import resources

from store.errors import DatabaseRefused, HistoryDamaged

# A stranger with sqlite3 may hold the write lock for a moment; longer is reported and retried.
BUSY_TIMEOUT_MS = 2_000
# After a checkpoint the WAL file is cut back to this, the thousand pages after which SQLite makes
# one by itself; a long reader may let it grow meanwhile.
WAL_SIZE_LIMIT_BYTES = 4 * 1024 * 1024
# Page cache of the writer: the hot pages of the topic table and its index.
WRITER_CACHE_KIB = 16_384
# Looking for damage after an unclean end may hold up the start for so long. A kill does not damage
# a file, so a large one is looked at as far as that goes; what is found later is dealt with later.
CHECK_S = 2.0


def migrations() -> list[tuple[int, str]]:
    """Return (version, SQL) of every schema version, oldest first."""
    found = []
    for entry in resources.files("migrations").iterdir():
        number = re.match(r"(\d{4})_\w+\.sql$", entry.name)
        if number:
            found.append((int(number.group(1)), entry.read_text(encoding="utf-8")))
    return sorted(found)


def prepare_writer(connection: sqlite3.Connection, full_sync: bool, cap_bytes: int) -> None:
    """Set the pragmas, look for damage, bring the schema up to date.

    Raises DatabaseRefused, with nothing touched, or sqlite3.Error.
    """
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    steps = migrations()
    newest = steps[-1][0]
    if version > newest:
        raise newer(version, newest)
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
    if cap_bytes:  # what retention keeps to, with a tenth of room for it to work in
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {cap_bytes * 11 // 10 // page_bytes}")


def newer(version: int, newest: int) -> DatabaseRefused:
    """Return what to raise for a file that a release after this one has made."""
    return DatabaseRefused(
        f"the database is of schema version {version}, made by a newer release; this one knows"
        f" versions up to {newest}: install the newer one again, or put a backup in its place"
    )


def prepare_reader(connection: sqlite3.Connection) -> None:
    """See that a connection only reads."""
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def is_at_cap(connection: sqlite3.Connection) -> bool:
    """Whether the file may not grow any more, however much room the disk has."""
    pages, most = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "max_page_count")
    )
    return bool(pages >= most)


def _check(connection: sqlite3.Connection, version: int) -> None:
    """Look for damage after an unclean end; HistoryDamaged or sqlite3.Error when there is some."""
    if version == 0:
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            raise DatabaseRefused("the file is a database, but not one of this service")
        return
    row = connection.execute("SELECT closed_clean FROM log").fetchone()
    if row is None or row[0]:
        return
    enough = threading.Timer(CHECK_S, connection.interrupt)
    enough.start()
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        enough.cancel()
        enough.join()
    if found != "ok":  # SQLite reports damage as text
        raise HistoryDamaged(str(found).replace("\n", ": "))


def _migrate(connection: sqlite3.Connection, number: int, script: str) -> None:
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
    except sqlite3.Error as error:
        if connection.in_transaction:  # an aborted script leaves its transaction open
            connection.execute("ROLLBACK")
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # a fault of the step, not of the file
            raise DatabaseRefused(
                f"the database could not be brought to schema version {number} ({error});"
                " it is as it was: go back to the release before"
            ) from error
        raise
