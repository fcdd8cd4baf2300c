"""Room: a disk that is full, a file that may not grow, and a log that a stranger's reader pins."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store import ballast, retention
from store.ballast import BALLAST_BYTES, Ballast
from store.database import WAL_TOO_LARGE_BYTES, Database
from store.errors import HistoryUnavailable
from store.history import History
from tests.recordings import HOUR_US, NOW_US, everything, message, messages, open_history, payloads


class FullDisk(sqlite3.OperationalError):
    """What SQLite raises when there is no room."""

    sqlite_errorcode = sqlite3.SQLITE_FULL


class Refusal:
    """A write that finds no room so many times, and then some."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self, _: sqlite3.Connection) -> str:
        if self.times:
            self.times -= 1
            raise FullDisk("database or disk is full")
        return "written"


def test_the_ballast_is_given_back_once_and_taken_again(tmp_path: Path) -> None:
    """It takes its room on the disk, not only its size."""
    weight = Ballast(tmp_path / "ballast")
    assert not weight.give_back()
    assert weight.take()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= BALLAST_BYTES
    assert weight.give_back()
    assert not weight.is_there
    assert weight.take() and weight.take()


def test_a_disk_that_is_nearly_full_is_not_filled_by_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the ballast would take most of what is free, there is none."""
    monkeypatch.setattr(ballast, "FREE_FACTOR", 1 << 40)
    assert not Ballast(tmp_path / "ballast").take()
    assert list(tmp_path.iterdir()) == []


async def test_a_write_without_room_gets_that_of_the_ballast(tmp_path: Path) -> None:
    """Once; when that is used up, too, it fails, and `tidy` takes the ballast again."""
    database = await Database.open(tmp_path / "history.db")
    weight = tmp_path / "history.db.ballast"
    try:
        assert await database.write(Refusal(1)) == "written"
        assert not weight.exists() and database.is_short
        with pytest.raises(HistoryUnavailable, match="full") as caught:
            await database.write(Refusal(1))
        assert caught.value.cause == "full"
        await database.tidy()
        assert weight.exists() and not database.is_short
    finally:
        await database.close()


async def test_the_file_keeps_to_its_size(tmp_path: Path) -> None:
    """MAX_HISTORY_BYTES holds at each commit, not only when retention next comes round."""
    cap_bytes = 400_000
    path = tmp_path / "history.db"
    database = await Database.open(path, cap_bytes=cap_bytes)
    history = await History.open(database, now_us=NOW_US, cap_bytes=cap_bytes)
    try:
        for number in range(60):
            await history.append([message(payload=f"{number:05}" * 100) for _ in range(50)])
            used = await database.write(retention.used_bytes)
            assert used <= 1.1 * cap_bytes
        kept = payloads(await everything(history))
        assert 200 < len(kept) < 1_000
        assert (
            kept == [f"{number:05}" * 100 for number in range(60) for _ in range(50)][-len(kept) :]
        )
        assert path.stat().st_size <= 1.1 * cap_bytes
        assert (tmp_path / "history.db.ballast").exists(), "the disk has room"
    finally:
        await history.close()
        await database.close()


async def test_one_commit_larger_than_what_is_left_makes_room(tmp_path: Path) -> None:
    """A burst that does not fit behind what is there pushes the oldest out."""
    cap_bytes = 400_000
    database = await Database.open(tmp_path / "history.db", cap_bytes=cap_bytes)
    history = await History.open(database, now_us=NOW_US, cap_bytes=cap_bytes)
    try:
        await history.append([message(payload="x" * 500) for _ in range(600)])
        stored = await history.append([message(payload="y" * 500) for _ in range(300)])
        assert len(stored) == 300
        assert payloads(await everything(history))[-300:] == ["y" * 500] * 300
    finally:
        await history.close()
        await database.close()


async def test_a_log_that_a_stranger_pinned_is_cut_back(tmp_path: Path) -> None:
    """While he reads it grows; once he has gone the next look empties it."""
    path = tmp_path / "history.db"
    wal = Path(f"{path}-wal")
    async with open_history(path) as history:
        await history.append(messages(1))
        with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN")
            stranger.execute("SELECT count(*) FROM message").fetchone()
            await history.append([message(payload="x" * 5_000) for _ in range(2_000)])
            assert wal.stat().st_size > WAL_TOO_LARGE_BYTES
            await history.tidy()
            assert wal.stat().st_size > WAL_TOO_LARGE_BYTES
            stranger.execute("ROLLBACK")
        await history.tidy()
        assert wal.stat().st_size == 0


async def test_rows_from_the_future_go_with_what_came_after_them(tmp_path: Path) -> None:
    """They neither stay until their time has come, nor take along what is not old yet."""
    ahead_us = NOW_US + 1_000 * HOUR_US
    async with open_history(tmp_path / "history.db", retention_hours=24) as history:
        await history.append([message(payload="old", at_us=NOW_US - 30 * HOUR_US)])
        await history.append([message(payload="wrong", at_us=ahead_us) for _ in range(5)])
        await history.append([message(payload="old too", at_us=NOW_US - 25 * HOUR_US)])
        await history.append([message(payload="wrong again", at_us=ahead_us)])
        await history.append([message(payload="young", at_us=NOW_US - HOUR_US)])
        while await history.prune(NOW_US, at_most=3):
            pass
        assert payloads(await everything(history)) == ["wrong again", "young"]
