"""What must not be touched is not touched: one sentence, and a status that a supervisor knows."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store.database import Database
from store.history import History
from store.message import Message
from tests.mosquitto import free_port
from tests.service_process import ServiceProcess

CANNOT_WORK, HELD = 78, 75
# Root may write everywhere, unless it is started without the right to.
AS_ANYBODY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")


async def _make(path: Path) -> None:
    database = await Database.open(path)
    history = await History.open(database, now_us=1)
    await history.append([Message("a", "1", 1)])
    await history.close()
    await database.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service with a history that an earlier one left; it is not running."""
    path = tmp_path / "state" / "history.db"
    process = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(free_port()), HISTORY_DB=str(path))
    process.database = path
    asyncio.run(_make(path))
    yield process
    process.kill()


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file, with its content."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def refused(service: ServiceProcess) -> tuple[int, str]:
    """Start it; return its exit status and all that it said."""
    before = contents(service.database.parent)
    service.start(wait=False)
    assert service.process is not None
    status = service.process.wait(20)
    assert contents(service.database.parent) == before, "nothing may be touched"
    (sentence,) = service.log().splitlines()
    return status, sentence


def test_a_database_of_a_newer_version(service: ServiceProcess) -> None:
    """An older program does not guess at a newer file."""
    with closing(sqlite3.connect(service.database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    status, sentence = refused(service)
    assert status == CANNOT_WORK
    assert "schema version 99, made by a newer release" in sentence


def test_a_directory_that_cannot_be_written(service: ServiceProcess) -> None:
    """Nothing is begun that could not be finished."""
    directory = service.database.parent
    modes = {path: path.stat().st_mode for path in (directory, *directory.iterdir())}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if not os.geteuid():
        service.before = AS_ANYBODY
    try:
        status, sentence = refused(service)
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert status == CANNOT_WORK
    assert "cannot be written: Permission denied" in sentence


def test_another_process_on_the_same_file(service: ServiceProcess, tmp_path: Path) -> None:
    """The second one leaves; the first one does not notice."""
    service.start()
    service.wait_for(lambda: service.get("/health").status == 200)
    (tmp_path / "second").mkdir()
    second = ServiceProcess(tmp_path / "second", HISTORY_DB=str(service.database))
    second.start(wait=False)
    assert second.process is not None
    assert second.process.wait(20) == HELD
    (sentence,) = second.log().splitlines()
    assert sentence.startswith(f"another process has the database {service.database} open")
    assert service.get("/messages").status == 200
    assert service.terminate() == 0


def test_a_stranger_has_it_locked_at_the_start(service: ServiceProcess) -> None:
    """A lock is let go some time: the supervisor may try again."""
    with closing(sqlite3.connect(service.database, isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        service.start(wait=False)
        assert service.process is not None
        assert service.process.wait(30) == HELD
        (sentence,) = service.log().splitlines()
        assert sentence == f"another program has the database {service.database} locked"
    service.start()
    service.wait_for(lambda: service.get("/health").status == 200)
