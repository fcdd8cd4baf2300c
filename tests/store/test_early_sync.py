"""The write-ahead log goes to the disk while messages are stored, not all at once."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from store import wal
from store.database import Database


def add_row(connection: sqlite3.Connection) -> None:
    """Change something."""
    connection.execute("INSERT INTO setting SELECT count(*), '' FROM setting")


async def writes(path: Path, count: int, *, full_sync: bool = False) -> Path:
    """Make so many transactions, and end in order; return the path of the log."""
    database = await Database.open(path, full_sync=full_sync)
    for _ in range(count):
        await database.write(add_row)
    await database.close()
    return path.with_name(f"{path.name}-wal")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were synced by us; SQLite's own syncs are not seen."""
    names: list[str] = []
    really = os.fdatasync

    def sync(descriptor: int) -> None:
        names.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        really(descriptor)

    monkeypatch.setattr(wal.os, "fdatasync", sync)
    return names


async def test_it_is_synced_after_some_transactions(
    synced: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with each, and only once at a time."""
    monkeypatch.setattr(wal, "SYNC_INTERVAL_S", float("inf"))
    await writes(tmp_path / "few.db", wal.SYNC_AFTER_WRITES - 1)
    assert synced == []
    monkeypatch.setattr(wal, "SYNC_INTERVAL_S", 0.0)
    log = await writes(tmp_path / "some.db", 20 * wal.SYNC_AFTER_WRITES)
    assert 0 < len(synced) <= 20
    assert set(synced) == {str(log)}


async def test_it_is_left_alone_where_each_commit_is_synced(
    synced: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HISTORY_SYNCHRONOUS=full leaves nothing to be done early."""
    monkeypatch.setattr(wal, "SYNC_INTERVAL_S", 0.0)
    await writes(tmp_path / "full.db", 4 * wal.SYNC_AFTER_WRITES, full_sync=True)
    assert synced == []


@pytest.mark.parametrize("fault", ["open", "fdatasync"])
async def test_a_sync_that_fails_costs_nobody_anything(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing goes on; what is wrong with the disk is noticed by who writes."""
    failed: list[str] = []
    really: Callable[..., int] = os.open

    def failing(target: object, *rest: object) -> int:
        if fault == "open" and not str(target).endswith("-wal"):
            return really(target, *rest)
        failed.append(fault)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(wal, "SYNC_INTERVAL_S", 0.0)
    monkeypatch.setattr(wal.os, fault, failing)
    await writes(tmp_path / "history.db", 4 * wal.SYNC_AFTER_WRITES)
    assert failed
    with sqlite3.connect(tmp_path / "history.db") as connection:
        found = connection.execute("SELECT count(*) FROM setting").fetchone()[0]
    connection.close()
    assert found == 4 * wal.SYNC_AFTER_WRITES
