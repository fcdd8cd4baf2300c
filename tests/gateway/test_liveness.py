"""What hangs is named within 45 s, and so is its end; what is only slow is left alone."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass

import pytest

import gateway.liveness as module
from gateway.liveness import Liveness
from store.database import Database


@dataclass
class Works:
    """The three, as their owners would tell of them, and the clock."""

    now: float = 1_000.0
    turned: float = 1_000.0
    connecting: bool = False
    writing_since: float | None = None

    def liveness(self) -> Liveness:
        return Liveness(
            lambda: self.now,
            turned=lambda: self.turned,
            connecting=lambda: self.connecting,
            writing_since=lambda: self.writing_since,
        )


def test_each_of_the_three_is_named() -> None:
    """The loop, the writer and the broker's thread each get their sentence when they hang."""
    works = Works()
    liveness = works.liveness()
    assert liveness.stalled() == []
    works.writing_since = works.now
    works.now += 31
    assert [sentence.partition(" has made")[0] for sentence in liveness.stalled()] == [
        "the event loop",
        "the writer of the history",
        "the broker's thread",
    ]
    works.turned, works.writing_since = works.now, None
    assert liveness.stalled() == ["the event loop has made no progress for 31 s"]


def test_connecting_may_take_longer() -> None:
    """A name server that is away is no reason to be ended; after two minutes it is a hang."""
    works = Works(connecting=True)
    liveness = works.liveness()
    liveness._beaten = 2_000.0
    works.now += 100
    assert liveness.stalled() == []
    works.now += 30
    assert liveness.stalled() == ["the broker's thread has made no progress for 130 s"]


async def test_a_stall_is_logged_once_with_the_place_and_so_is_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten looks at a thread that hangs give one line, which says where it is; its end one more."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    looks = threading.Semaphore(0)
    works = Works()

    def turned() -> float:
        looks.release()
        return works.turned

    liveness = Liveness(
        lambda: works.now, turned=turned, connecting=lambda: False, writing_since=lambda: None
    )
    caplog.set_level(logging.INFO, "gateway.liveness")

    async def ten_looks() -> None:
        for _ in range(10):
            await asyncio.to_thread(looks.acquire)

    liveness.start()
    try:
        await ten_looks()
        works.turned -= 60
        await ten_looks()
        works.turned = works.now
        await ten_looks()
    finally:
        await liveness.stop()
    begun, ended = [record.getMessage() for record in caplog.records]
    assert begun.startswith("the broker's thread hangs; the threads are at: ")
    assert "MainThread in " in begun
    assert ended == "the broker's thread goes on"


async def test_the_lag_of_the_loop_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop that was blocked shows it in the figure for /metrics."""
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    works = Works()
    liveness = works.liveness()
    liveness.start()
    try:
        await asyncio.sleep(0)  # the task has noted when it is due
        works.now += 0.5
        while not liveness.lag_s:
            await asyncio.sleep(0)
        assert liveness.lag_s == pytest.approx(0.49)
    finally:
        await liveness.stop()


async def test_the_writer_tells_since_when_it_works(tmp_path: object) -> None:
    """A piece of work that does not end is seen from its beginning, and from its own."""
    database = await Database.open(tmp_path / "history.db")  # type: ignore[operator]
    try:
        assert database.writing_since is None
        begun, go_on = threading.Event(), threading.Event()

        def hang(_connection: object) -> None:
            begun.set()
            go_on.wait(10)

        work = [asyncio.create_task(database.write(hang)) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 10)
        first = database.writing_since
        assert first is not None
        go_on.set()
        await work[0]
        assert database.writing_since is None or database.writing_since >= first
        await work[1]
        assert database.writing_since is None
    finally:
        await database.close()
