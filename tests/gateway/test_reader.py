"""One reader of the log: replay, then live, without a seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import gateway.reader as module
from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.reader import Reader
from store.errors import QueryTimeout
from store.history import History
from store.selection import Position
from store.topics import TopicFilter
from tests.gateway.listening import PlainLines, Wire
from tests.recordings import message, messages, open_history


class Stage:
    """A log, a hub, and readers at will."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.hub = Hub(history.totals().newest_id)
        self.metrics = Metrics(lambda: 0.0)
        self.lines = PlainLines()
        self.readers: list[Reader] = []
        self.ended = asyncio.Event()

    async def publish(self, count: int, topic: str = "a/b") -> None:
        """Store and show, as the recorder does."""
        self.hub.publish(await self.history.append(messages(count, topic)))

    def reader(self, *texts: str, max_unsent_bytes: int = 1_000) -> tuple[Reader, Wire]:
        """Return a new reader and its wire."""
        wire = Wire()
        reader = Reader(
            self.hub,
            self.history,
            self.metrics,
            wire,
            TopicFilter(texts or ("#",)),
            self.lines,
            max_unsent_bytes=max_unsent_bytes,
            on_end=self.ended.set,
        )
        self.readers.append(reader)
        return reader, wire


@asynccontextmanager
async def stage_at(path: Path, **limits: int) -> AsyncIterator[Stage]:
    """Open a log at `path`."""
    async with open_history(path, **limits) as history:
        stage = Stage(history)
        yield stage
        for reader in stage.readers:
            reader.close()
        assert not stage.hub._channels


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "history.db"


def follows(first: int, last: int) -> list[int]:
    """Return the ids from first to last."""
    return list(range(first, last + 1))


async def test_a_reader_at_the_head_sees_what_comes(path: Path) -> None:
    """Without a position a reader is live at once, and sees nothing old."""
    async with stage_at(path) as stage:
        await stage.publish(5)
        reader, wire = stage.reader()
        reader.start_at(None)
        assert not reader.is_behind
        await stage.publish(3)
        assert wire.ids == [6, 7, 8]


@pytest.mark.parametrize("with_epoch", [True, False])
async def test_a_reader_goes_on_where_it_stopped(path: Path, with_epoch: bool) -> None:
    """After a position it gets everything since, once and in order, and then what is live."""
    async with stage_at(path) as stage:
        await stage.publish(1_200)
        reader, wire = stage.reader()
        epoch = stage.history.totals().epoch if with_epoch else None
        reader.start_at(Position(100, epoch))
        assert reader.is_behind
        await wire.until(lambda: len(wire.ids) == 1_100)
        await stage.publish(5)
        await wire.until(lambda: len(wire.ids) == 1_105)
        assert wire.ids == follows(101, 1_205)


async def test_replay_joins_live_exactly_under_traffic(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many readers begin wherever they like while messages come: each gets every id after
    its position exactly once, in order."""
    monkeypatch.setattr(module, "PAGE", 7)
    async with stage_at(path) as stage:
        await stage.publish(50)
        begun: list[tuple[int, Wire]] = []
        for turn in range(60):
            for back in (0, 1, 13, 40):
                reader, wire = stage.reader()
                position = max(0, stage.history.totals().newest_id - back)
                reader.start_at(Position(position))
                begun.append((position, wire))
            await stage.publish(1 + turn % 4)
        newest = stage.history.totals().newest_id
        for position, wire in begun:
            await wire.until(lambda wire=wire: wire.ids[-1:] == [newest])
            assert wire.ids == follows(position + 1, newest)


async def test_a_filter_holds_in_replay_and_live(path: Path) -> None:
    """A reader sees only its topics, across pages that match nothing, and then live."""
    async with stage_at(path) as stage:
        await stage.publish(3, "a")
        await stage.publish(1_500, "b")
        await stage.publish(3, "a")
        reader, wire = stage.reader("a")
        reader.start_at(Position(0))
        await wire.until(lambda: len(wire.ids) == 6)
        await stage.publish(2, "b")
        await stage.publish(1, "a")
        await wire.until(lambda: len(wire.ids) == 7)
        assert wire.ids == [1, 2, 3, 1504, 1505, 1506, 1509]


async def test_a_slow_peer_falls_behind_and_is_fed_to_the_last_message(path: Path) -> None:
    """While the peer does not read little is kept for it; when it reads on it misses nothing."""
    async with stage_at(path) as stage:
        reader, wire = stage.reader(max_unsent_bytes=1_000)
        quick, quick_wire = stage.reader()
        for each in (reader, quick):
            each.start_at(None)
        await stage.publish(3)
        wire.stall()
        for _ in range(200):
            await stage.publish(5)
        assert reader.is_behind
        assert stage.metrics.fell_behind_total == 1
        assert wire.most_unsent_bytes < 1_500
        assert quick_wire.ids == follows(1, 1_003), "others are not held up"
        wire.go_on()
        await wire.until(lambda: wire.ids[-1:] == [1_003])
        await stage.publish(1)
        await wire.until(lambda: wire.ids[-1:] == [1_004])
        assert wire.ids == follows(1, 1_004)
        assert not reader.is_behind


async def test_a_reader_is_fed_at_the_speed_of_its_peer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay writes one page, and the next only when the first has left."""
    monkeypatch.setattr(module, "PAGE", 10)
    async with stage_at(path) as stage:
        await stage.publish(100)
        reader, wire = stage.reader()
        reader.start_at(Position(0))
        wire.stall()
        await wire.until(lambda: wire.ids == follows(1, 10))
        assert await stage.history.position_before(0) == 0  # a question later, still one page
        assert len(wire.ids) == 10
        wire.go_on()
        await wire.until(lambda: len(wire.ids) == 100)
        assert wire.ids == follows(1, 100)


async def test_what_retention_took_is_a_gap(path: Path) -> None:
    """A reader from before the oldest row is told from where to where, then gets the rest."""
    async with stage_at(path, cap_rows=10) as stage:
        await stage.publish(50)
        reader, wire = stage.reader()
        reader.start_at(Position(5))
        await wire.until(lambda: wire.ids[-1:] == [50])
        assert wire.frames[0] == {"type": "gap", "reason": "pruned", "after": 5, "next": 41}
        assert wire.ids == follows(41, 50)


async def test_what_retention_takes_from_a_slow_peer_is_a_gap(path: Path) -> None:
    """A reader that falls behind further than the log reaches is told, never silently short."""
    async with stage_at(path, cap_rows=10) as stage:
        reader, wire = stage.reader(max_unsent_bytes=100)
        reader.start_at(None)
        wire.stall()
        for _ in range(100):
            await stage.publish(1)
        shown = len(wire.ids)
        wire.go_on()
        await wire.until(lambda: wire.ids[-1:] == [100])
        gap = {"type": "gap", "reason": "pruned", "after": shown, "next": 91}
        assert wire.frames[shown] == gap
        assert wire.ids == follows(1, shown) + follows(91, 100)


async def test_a_reader_right_behind_what_was_taken_has_no_gap(path: Path) -> None:
    """Nothing is missing for a reader that has seen all that retention took."""
    async with stage_at(path, cap_rows=10) as stage:
        await stage.publish(50)
        reader, wire = stage.reader()
        reader.start_at(Position(40))
        await wire.until(lambda: wire.ids[-1:] == [50])
        assert wire.frames[0]["id"] == 41
        assert len(wire.frames) == 10


@pytest.mark.parametrize("cap_rows", [0, 10])
async def test_a_position_of_another_log_is_a_gap_and_begins_anew(
    path: Path, cap_rows: int
) -> None:
    """The answer names what was asked and the oldest message, and everything there is follows."""
    async with stage_at(path, cap_rows=cap_rows) as stage:
        await stage.publish(30)
        oldest = 21 if cap_rows else 1
        reader, wire = stage.reader()
        reader.start_at(Position(12, "other"))
        await wire.until(lambda: wire.ids[-1:] == [30])
        gap = {"type": "gap", "reason": "epoch", "after": "other.12", "next": oldest}
        assert wire.frames[0] == gap
        assert wire.ids == follows(oldest, 30)


async def test_a_position_ahead_of_the_log_is_a_gap_and_begins_at_the_head(path: Path) -> None:
    """An id that was never given out gets a gap, and then what is live."""
    async with stage_at(path) as stage:
        await stage.publish(3)
        reader, wire = stage.reader()
        reader.start_at(Position(999))
        assert wire.frames == [{"type": "gap", "reason": "ahead", "after": 999, "next": 4}]
        await stage.publish(1)
        assert wire.ids == [4]


async def test_who_claims_nothing_misses_nothing(path: Path) -> None:
    """`start_after`, for `since`, tells of no gap where retention has been."""
    async with stage_at(path, cap_rows=10) as stage:
        await stage.publish(30)
        reader, wire = stage.reader()
        reader.start_after(0)
        await wire.until(lambda: wire.ids[-1:] == [30])
        assert len(wire.frames) == 10


async def test_topics_can_change_while_live_and_while_behind(path: Path) -> None:
    """From the change on a reader sees the new topics, and no message twice."""
    async with stage_at(path) as stage:
        reader, wire = stage.reader("a")
        reader.start_at(None)
        await stage.publish(1, "a")
        reader.change_topics(TopicFilter(["b"]))
        await stage.publish(1, "a")
        await stage.publish(1, "b")
        assert wire.ids == [1, 3]
        behind, wire = stage.reader("a")
        behind.start_at(Position(0))
        behind.change_topics(TopicFilter(["b"]))
        await wire.until(lambda: wire.ids == [3])
        await stage.publish(1, "b")
        await wire.until(lambda: wire.ids == [3, 4])


@pytest.mark.parametrize("is_behind", [True, False])
async def test_a_closed_reader_is_silent(path: Path, is_behind: bool) -> None:
    """Closing ends feeding and listening for good, and may be repeated."""
    async with stage_at(path) as stage:
        await stage.publish(5)
        reader, wire = stage.reader()
        if is_behind:
            wire.stall()
        reader.start_at(Position(0) if is_behind else None)
        reader.close()
        reader.close()
        wire.go_on()
        await stage.publish(5)
        reader.start_at(Position(0))
        assert wire.writes == []
        assert not reader.is_behind


async def test_a_closed_reader_is_silent_though_its_cancellation_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the history answers after the close is written nowhere: a close frame went before."""
    async with stage_at(path) as stage:
        await stage.publish(5)
        usual, asked, answered = stage.history.forward, asyncio.Event(), asyncio.Event()

        async def forward(*given: object, **more: object) -> object:
            asked.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:  # as asyncio.wait_for of Python 3.11 now and then does
                answered.set()
            return await usual(*given, **more)

        monkeypatch.setattr(stage.history, "forward", forward)
        reader, wire = stage.reader()
        reader.start_at(Position(0))
        await asked.wait()
        feeding = reader._feeding
        assert feeding is not None
        reader.close()
        await feeding
        assert answered.is_set()
        assert wire.writes == []


async def test_a_busy_history_is_asked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that ran out of time does not end the reader: it asks again, and misses nothing"""
    monkeypatch.setattr(module, "RETRY_S", 0.001)
    async with stage_at(path) as stage:
        await stage.publish(20)
        usual, failures = stage.history.forward, iter([True, True])

        async def forward(*given: object, **more: object) -> object:
            if next(failures, False):
                raise QueryTimeout("too long")
            return await usual(*given, **more)

        monkeypatch.setattr(stage.history, "forward", forward)
        reader, wire = stage.reader()
        reader.start_at(Position(0))
        await wire.until(lambda: len(wire.ids) == 20)
        assert wire.ids == follows(1, 20)
        assert next(failures, "both were used") == "both were used"


async def test_a_reader_that_cannot_be_fed_is_ended_and_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error closes this reader, is counted, and harms nobody else."""
    async with stage_at(path) as stage:
        await stage.publish(5)

        async def forward(*_given: object, **_more: object) -> object:
            raise RuntimeError("a bug")

        monkeypatch.setattr(stage.history, "forward", forward)
        reader, _ = stage.reader()
        reader.start_at(Position(0))
        async with asyncio.timeout(5):
            await stage.ended.wait()
        assert stage.metrics.failures.counts["reader"] == 1
        assert not reader.is_behind


async def test_a_position_in_ids_that_a_crash_skipped_is_not_ahead(path: Path) -> None:
    """After an unclean end the skipped ids are no gap: the reader is live and gets the next."""
    async with open_history(path, clean=False) as history:
        await history.append([message()])
    async with stage_at(path) as stage:
        reader, wire = stage.reader()
        reader.start_at(Position(1))
        await stage.publish(1)
        await wire.until(lambda: len(wire.ids) == 1)
        assert wire.ids == [stage.history.totals().newest_id]
        assert len(wire.frames) == 1


async def test_news_told_before_it_began_are_not_missed(path: Path) -> None:
    """While its beginning is looked up a reader is not with the hub yet; it is told then."""
    async with stage_at(path) as stage:
        reader, wire = stage.reader()
        stage.hub.tell({"type": "status", "history": "degraded"})
        reader.start_at(None)
        assert wire.frames == [{"type": "status", "history": "degraded"}]
