"""The SQLite file: its lock, its schema, its connections."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

import store.schema as module
from store import hop
from store.connections import READERS
from store.copies import passing_copy_prefix
from store.database import Database
from store.errors import DatabaseHeld, DatabaseRefused, HistoryUnavailable, QueryTimeout
from store.schema import migrations

ENDLESS = (
    "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
)
OUTSIDER = "import asyncio, sys; from pathlib import Path; from store.database import Database; {}"


def number(connection: sqlite3.Connection, sql: str) -> int:
    """Return the one number that a statement gives."""
    found: int = connection.execute(sql).fetchone()[0]
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A place for a database, in a directory that is not there yet."""
    return tmp_path / "made on demand" / "history.db"


async def test_a_fresh_file_has_the_newest_schema(path: Path) -> None:
    """Opening creates directory and file, applies every migration and sets the pragmas."""
    database = await Database.open(path)
    assert await database.write(number, "PRAGMA user_version") == migrations()[-1][0]
    assert await database.write(number, "PRAGMA auto_vacuum") == 2
    assert await database.write(number, "PRAGMA synchronous") == 1
    assert await database.read(number, "SELECT count(*) FROM history") == 0
    database_bytes, _ = database.sizes()
    assert database_bytes == path.stat().st_size > 0
    await database.close()
    await database.close()
    assert not Path(f"{path}-wal").exists(), "an orderly end leaves nothing in the log"


async def test_full_sync_is_what_a_power_cut_needs(path: Path) -> None:
    """`full_sync` makes every commit wait for the disk."""
    database = await Database.open(path, full_sync=True)
    assert await database.write(number, "PRAGMA synchronous") == 2
    await database.close()


async def test_the_file_is_held_against_a_second_opener(path: Path) -> None:
    """Who opens the file second is told so, whether in this process or another; it works after."""
    database = await Database.open(path)
    with pytest.raises(DatabaseHeld, match="another process has the database"):
        await Database.open(path)
    code = OUTSIDER.format("asyncio.run(Database.open(Path(sys.argv[1])))")
    outside = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(path)], capture_output=True, text=True
    )
    assert "DatabaseHeld" in outside.stderr
    assert await database.write(number, "SELECT 1") == 1
    await database.close()
    await (await Database.open(path)).close()


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
async def test_a_file_from_a_newer_version_is_refused_untouched(path: Path, journal: str) -> None:
    """A newer schema is named in a sentence, and no byte of the file changes."""
    path.parent.mkdir()
    newer = migrations()[-1][0] + 1
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute("CREATE TABLE future (x)")
        connection.execute(f"PRAGMA user_version = {newer}")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused, match=f"schema version {newer}.*newer release"):
        await Database.open(path)
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as connection:
        assert number(connection, "PRAGMA user_version") == newer


async def test_a_place_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be is a sentence, not a traceback."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseRefused, match=r"directory of the database .* cannot be written"):
        await Database.open(tmp_path / "file" / "history.db")
    (tmp_path / "history.db").mkdir()
    with pytest.raises(DatabaseRefused, match="HISTORY_DB is the directory"):
        await Database.open(tmp_path / "history.db")


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A directory of root's, seen by a process that is not root while the test runs."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    else:
        directory.chmod(0o555)
    yield directory
    os.seteuid(was)
    directory.chmod(0o755)
    shutil.rmtree(directory)


async def test_a_read_only_directory_is_refused(unprivileged: Path) -> None:
    """Where nothing may be written the start ends with a sentence and leaves nothing behind."""
    with pytest.raises(DatabaseRefused, match="cannot be written: Permission denied"):
        await Database.open(unprivileged / "history.db")
    assert list(unprivileged.iterdir()) == []


async def test_a_migration_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken migration is rolled back as a whole; the earlier version is still served."""
    await (await Database.open(path)).close()
    good = migrations()
    newer = good[-1][0] + 1
    bad = (newer, "CREATE TABLE half (x);\nCREATE TABLE broken (")
    monkeypatch.setattr(module, "migrations", lambda: [*good, bad])
    with pytest.raises(DatabaseRefused):
        await Database.open(path)
    monkeypatch.undo()
    database = await Database.open(path)
    assert await database.read(number, "PRAGMA user_version") == newer - 1
    assert await database.read(number, "SELECT count(*) FROM sqlite_master WHERE name='half'") == 0
    await database.close()


async def test_a_migration_is_applied_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the earlier version gets only the steps it lacks."""
    await (await Database.open(path)).close()
    good = migrations()
    step = (good[-1][0] + 1, "CREATE TABLE added (x); INSERT INTO added VALUES (1);")
    monkeypatch.setattr(module, "migrations", lambda: [*good, step])
    for _ in range(2):
        database = await Database.open(path)
        assert await database.read(number, "SELECT count(*) FROM added") == 1
        await database.close()


async def test_a_question_over_its_time_is_interrupted(path: Path) -> None:
    """An endless query ends with QueryTimeout, and its connection answers the next question."""
    database = await Database.open(path, query_timeout_s=0.05)
    for _ in range(READERS + 1):
        with pytest.raises(QueryTimeout, match=r"longer than 0\.05 s"):
            await database.read(number, ENDLESS)
    assert await database.read(number, "SELECT 7") == 7
    await database.close()


async def test_waiting_for_a_reader_is_bounded(path: Path) -> None:
    """When all readers are busy a question ends with QueryTimeout instead of waiting on."""
    database = await Database.open(path, query_timeout_s=0.05)
    release, begun = threading.Event(), threading.Semaphore(0)

    def hold(_: sqlite3.Connection) -> None:
        begun.release()
        release.wait(5)

    busy = [asyncio.create_task(database.read(hold)) for _ in range(READERS)]
    for _ in busy:
        await asyncio.to_thread(begun.acquire)
    with pytest.raises(QueryTimeout, match="busy"):
        await database.read(number, "SELECT 1")
    release.set()
    await asyncio.gather(*busy)
    assert await database.read(number, "SELECT 1") == 1
    await database.close()


async def test_a_cancelled_question_gives_its_reader_back(path: Path) -> None:
    """A caller that leaves does not take a connection along."""
    database = await Database.open(path, query_timeout_s=5)
    release, begun = threading.Event(), threading.Semaphore(0)

    def hold(_: sqlite3.Connection) -> None:
        begun.release()
        release.wait(5)

    for _ in range(READERS):
        task = asyncio.create_task(database.read(hold))
        await asyncio.to_thread(begun.acquire)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    release.set()
    answers = await asyncio.gather(*(database.read(number, "SELECT 1") for _ in range(READERS)))
    assert answers == [1] * READERS
    await database.close()


async def test_readers_cannot_write(path: Path) -> None:
    """A question that would change the database is refused by SQLite itself."""
    database = await Database.open(path)
    with pytest.raises(HistoryUnavailable, match="the file may not be written"):
        await database.read(number, "DELETE FROM message RETURNING id")
    await database.close()


async def test_a_mistake_in_a_question_is_not_taken_for_damage(path: Path) -> None:
    """SQL that is wrong is our own fault: it is raised as it is, and the file stays in place."""
    database = await Database.open(path)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.read(number, "SELECT 1 FROM elsewhere")
    await database.tidy()
    assert not database.damage
    await database.close()


async def test_a_question_sees_one_instant(path: Path) -> None:
    """What is committed while a question runs does not show in it."""
    database = await Database.open(path)
    counted, written = threading.Event(), threading.Event()

    def twice(connection: sqlite3.Connection) -> tuple[int, int]:
        first = number(connection, "SELECT count(*) FROM setting")
        counted.set()
        written.wait(5)
        return first, number(connection, "SELECT count(*) FROM setting")

    asking = asyncio.create_task(database.read(twice))
    await asyncio.to_thread(counted.wait)
    await database.write(lambda c: c.execute("INSERT INTO setting VALUES ('a', 'b')").rowcount)
    written.set()
    assert await asking == (0, 0)
    assert await database.read(number, "SELECT count(*) FROM setting") == 1
    await database.close()


async def test_an_error_in_a_write_reaches_the_caller(path: Path) -> None:
    """The exception of the function is raised where it was asked for."""
    database = await Database.open(path)
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda _: 1 // 0)
    assert await database.write(number, "SELECT 1") == 1
    await database.close()


async def test_a_file_that_cannot_be_opened_leaves_no_thread(tmp_path: Path) -> None:
    """When the start is refused no thread of the database is left to die with a traceback."""
    (tmp_path / "history.db").mkdir()
    for _ in range(5):
        with pytest.raises(DatabaseRefused):
            await Database.open(tmp_path / "history.db")
        names = [thread.name for thread in threading.enumerate()]
        assert not [name for name in names if "_connection_worker_thread" in name]


async def test_a_file_that_another_program_locks_is_held(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger with the lock at the start is no broken file: it may be tried again."""
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 10)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseHeld, match="another program"):
            await Database.open(path)
    await (await Database.open(path)).close()


async def test_a_connection_that_was_closed_is_an_error_of_the_database() -> None:
    """A question that comes while a damaged file is replaced is told so: it is no fault of ours."""
    connection = await hop.connect(":memory:")
    await connection.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed meanwhile"):
        await hop.run(connection, number, "SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError, match="closed meanwhile"):
        await hop.read_within(connection, 1.0, lambda raw: number(raw, "SELECT 1"))


async def test_aiosqlite_still_has_what_we_stand_on() -> None:
    """The private names of aiosqlite that the one-hop write and a failed start need are there."""
    connection = await aiosqlite.connect(":memory:")
    assert isinstance(connection._thread, threading.Thread)
    assert isinstance(connection._connection, sqlite3.Connection)
    assert connection._running is True
    assert inspect.iscoroutinefunction(connection._execute)
    assert await connection._execute(lambda a, b: a + b, 1, b=2) == 3
    await connection.close()


def test_migrations_are_numbered_without_a_gap() -> None:
    """Versions begin at 1 and go up by one, each with its SQL."""
    steps = migrations()
    assert [version for version, _ in steps] == list(range(1, len(steps) + 1))
    assert all("CREATE" in script or "ALTER" in script for _, script in steps)


async def test_what_was_left_of_a_copy_is_removed(tmp_path: Path) -> None:
    """A process killed while it sent a copy leaves none behind for good; others' files stay."""
    path = tmp_path / "history.db"
    left = tmp_path / f"{passing_copy_prefix(path)}abc.db"
    other = tmp_path / f"{passing_copy_prefix(tmp_path / 'other.db')}abc.db"
    left.touch()
    other.touch()
    database = await Database.open(path)
    try:
        assert not left.exists()
        assert other.exists()
    finally:
        await database.close()
