"""The one consumer: store, acknowledge, show - in this order, and through a database in trouble."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

import gateway.recorder as module
from gateway.hub import Hub
from gateway.mailbox import Connected, Delivery, Mailbox
from gateway.metrics import Metrics
from gateway.reader import Reader
from gateway.recorder import Recorder
from store.history import History
from store.message import Message
from store.selection import Position
from store.topics import TopicFilter
from tests.gateway.listening import PlainLines, Wire
from tests.recordings import NOW_US, everything, message, open_history, payloads


class Desk:
    """A recorder with a real history behind it and one listener at the hub."""

    def __init__(self, history: History, path: Path) -> None:
        self.history, self.path = history, path
        self.mailbox = Mailbox(asyncio.get_running_loop())
        self.metrics = Metrics(lambda: 0.0)
        self.hub = Hub(history.totals().newest_id)
        self.wire = Wire()
        self.hub.join(self.wire, TopicFilter(), PlainLines())
        self.acknowledged: list[Delivery] = []
        self.events: list[tuple[str, int]] = []
        self.troubles: list[str | None] = []
        self.changed = asyncio.Event()
        self.recorder = Recorder(
            self.mailbox,
            history,
            self.metrics,
            acknowledge=self.acknowledge,
            begin_anew=lambda: self.events.append(("begin anew", 1)),
            hub=self.hub,
            now_us=lambda: NOW_US,
            monotonic=time.monotonic,
            on_change=self.on_change,
        )

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Note what is on the disk at the moment of the acknowledgement, and what was shown."""
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute("SELECT count(*) FROM message").fetchone()[0]
        self.events.append(("acknowledged with rows", rows))
        self.events.append(("acknowledged after writes", len(self.wire.writes)))
        self.acknowledged += deliveries
        self.changed.set()

    def on_change(self) -> None:
        """Note a change of state."""
        self.troubles.append(self.recorder.trouble)
        self.changed.set()

    def put(self, payload: str, packet_id: int | None = None, **marks: bool) -> Delivery:
        """Have a message arrive."""
        marks = {"redelivered": False, "extra_copy": False, **marks}
        one = message(payload=payload, qos=int(packet_id is not None), packet_id=packet_id)
        delivery = Delivery(one, 1, **marks)
        assert self.mailbox.put(delivery)
        return delivery

    async def until_stored(self, count: int) -> None:
        """Wait until so many deliveries have been acknowledged."""
        async with asyncio.timeout(10):
            while len(self.acknowledged) < count:
                self.changed.clear()
                await self.changed.wait()

    async def until_trouble(self, is_there: bool) -> None:
        """Wait until the history is in trouble, or no more."""
        async with asyncio.timeout(10):
            while (self.recorder.trouble is not None) is not is_there:
                self.changed.clear()
                await self.changed.wait()

    async def kept(self) -> list[Message]:
        """Return what is in the history."""
        return await everything(self.history)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """A stranger holds the write lock meanwhile."""
        await self.history._database.write(
            lambda connection: connection.execute("PRAGMA busy_timeout = 5").fetchone()
        )
        with closing(sqlite3.connect(self.path, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            yield
            stranger.execute("ROLLBACK")


@asynccontextmanager
async def desk_at(path: Path, *, clean: bool = True) -> AsyncIterator[Desk]:
    """Run a recorder on the history at `path`; not `clean` ends it as kill -9 does."""
    async with open_history(path, clean=clean) as history:
        desk = Desk(history, path)
        await desk.recorder.start()
        yield desk
        await desk.recorder.stop(5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "history.db"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database in trouble is tried again soon."""
    monkeypatch.setattr(module, "RETRY_S", 0.02)


async def test_a_message_is_stored_then_acknowledged_then_shown(path: Path) -> None:
    """The broker hears of it only after the commit, the readers only after the broker."""
    async with desk_at(path) as desk:
        desk.put("1", 7)
        await desk.wire.until(lambda: desk.wire.ids == [1])
        assert desk.events == [("acknowledged with rows", 1), ("acknowledged after writes", 0)]
        assert [one.message.packet_id for one in desk.acknowledged] == [7]
        assert (desk.mailbox.depth, desk.metrics.stored_total) == (0, 1)


async def test_what_waits_becomes_one_commit(path: Path) -> None:
    """A burst is stored in few transactions, all in order, and shown once."""
    async with desk_at(path) as desk:
        for number in range(1_000):
            desk.put(str(number), number + 1)
        await desk.wire.until(lambda: len(desk.wire.ids) == 1_000)
        assert desk.wire.ids == list(range(1, 1_001))
        assert len(desk.wire.writes) <= 2
        assert payloads(await desk.kept()) == [str(number) for number in range(1_000)]


async def test_a_redelivery_after_kill_9_is_acknowledged_and_not_repeated(path: Path) -> None:
    """Killed between commit and acknowledgement: one row, shown once, acknowledged the next time.

    A real message with an equal payload is kept, even under an equal number."""
    async with desk_at(path, clean=False) as desk:
        desk.mailbox.put(Connected(1, False))
        desk.put("same", 1)
        desk.put("same", 2)
        await desk.until_stored(2)
    async with desk_at(path) as desk:
        desk.mailbox.put(Connected(1, True))
        known = [desk.put("same", number, redelivered=True) for number in (1, 2)]
        real = desk.put("same", 1)
        await desk.until_stored(3)
        assert desk.acknowledged == [*known, real]
        assert payloads(await desk.kept()) == ["same"] * 3
        assert desk.metrics.dropped["redelivered"] == 2
        await desk.wire.until(lambda: len(desk.wire.ids) == 1)


async def test_an_extra_copy_is_acknowledged_and_not_stored(path: Path) -> None:
    """The second copy for an overlapping subscription costs no row."""
    async with desk_at(path) as desk:
        desk.put("1", 1)
        desk.put("1", 2, extra_copy=True)
        await desk.until_stored(2)
        assert payloads(await desk.kept()) == ["1"]
        assert desk.metrics.dropped["extra_copy"] == 1


async def test_a_history_that_cannot_be_written_costs_nothing(path: Path, quick: None) -> None:
    """Meanwhile each message is shown once without an id and not acknowledged; afterwards all are
    stored in order and acknowledged, and none is shown again."""
    async with desk_at(path) as desk:
        desk.put("before", 1)
        await desk.until_stored(1)
        async with desk.locked():
            desk.put("first", 2)
            await desk.until_trouble(True)
            assert "locked" in str(desk.recorder.trouble)
            desk.put("second", 3)
            desk.put("third", None)
            await desk.wire.until(lambda: len(desk.wire.ids) == 4)
            assert desk.wire.ids == [1, None, None, None]
            assert len(desk.acknowledged) == 1
            assert desk.mailbox.depth == 3, "what is kept counts against the bound"
        await desk.until_trouble(False)
        assert len(desk.acknowledged) == 4
        assert payloads(await desk.kept()) == ["before", "first", "second", "third"]
        assert [one.id for one in await desk.kept()] == [1, 2, 3, 4]
        desk.put("after", 4)
        await desk.wire.until(lambda: len(desk.wire.ids) == 5)
        assert desk.wire.ids == [1, None, None, None, 5]
        assert [frame["payload"] for frame in desk.wire.frames].count("second") == 1
        assert desk.mailbox.depth == 0
        assert [trouble is None for trouble in desk.troubles] == [False, True]


async def test_who_comes_while_the_history_is_in_trouble_misses_nothing(
    path: Path, quick: None
) -> None:
    """A reader that resumes after a message was shown without an id gets it when it is stored;
    what came later it has seen without an id, and does not see again."""
    async with desk_at(path) as desk:
        desk.put("before", 1)
        await desk.until_stored(1)
        wire = Wire()
        reader = Reader(
            desk.hub,
            desk.history,
            desk.metrics,
            wire,
            TopicFilter(),
            PlainLines(),
            max_unsent_bytes=1_000,
        )
        async with desk.locked():
            desk.put("missed", 2)
            await desk.wire.until(lambda: len(desk.wire.ids) == 2)
            reader.start_at(Position(1))
            desk.put("seen", 3)
            await wire.until(lambda: len(wire.ids) == 1)
        await desk.until_trouble(False)
        desk.put("after", 4)
        await wire.until(lambda: wire.ids[-1:] == [4])
        seen = [(frame["id"], frame["payload"]) for frame in wire.frames]
        assert seen == [(None, "seen"), (2, "missed"), (4, "after")]
        assert desk.wire.ids == [1, None, None, 4]
        reader.close()


async def test_a_redelivery_is_known_while_the_history_is_in_trouble(
    path: Path, quick: None
) -> None:
    """A reconnect meanwhile brings the unacknowledged again: one row, and both acknowledged."""
    async with desk_at(path) as desk:
        desk.mailbox.put(Connected(1, False))
        async with desk.locked():
            desk.put("kept", 1)
            await desk.until_trouble(True)
            desk.mailbox.put(Connected(2, True))
            desk.put("kept", 1, redelivered=True)
            desk.put("new", 2)
            await desk.wire.until(lambda: len(desk.wire.ids) == 2)
        await desk.until_trouble(False)
        assert payloads(await desk.kept()) == ["kept", "new"]
        assert len(desk.acknowledged) == 3


async def test_a_stop_in_trouble_is_bounded(path: Path, quick: None) -> None:
    """Stopping does not wait for a database that does not come back, and acknowledges nothing."""
    async with open_history(path) as history:
        desk = Desk(history, path)
        await desk.recorder.start()
        async with desk.locked():
            desk.put("1", 1)
            await desk.until_trouble(True)
            async with asyncio.timeout(5):
                await desk.recorder.stop(0.05)
        assert desk.acknowledged == []


async def test_a_stop_stores_what_waits(path: Path) -> None:
    """Everything in the mailbox is committed and acknowledged before the end."""
    async with open_history(path) as history:
        desk = Desk(history, path)
        await desk.recorder.start()
        for number in range(5_000):
            desk.put(str(number), number + 1)
        await desk.recorder.stop(10)
        assert len(desk.acknowledged) == history.totals().message_count == 5_000


async def test_a_retained_replay_that_is_known_is_acknowledged_and_not_shown(path: Path) -> None:
    """What is not stored because it says nothing new is not shown either."""
    async with desk_at(path) as desk:
        desk.put("1", 1)
        await desk.until_stored(1)
        replay = message(payload="1", qos=1, packet_id=2, retain=True)
        desk.mailbox.put(Delivery(replay, 1, False, False))
        desk.put("2", 3)
        await desk.wire.until(lambda: len(desk.wire.ids) == 2)
        assert desk.wire.ids == [1, 2]
        assert len(desk.acknowledged) == 3


async def test_old_messages_are_pruned_at_the_start(path: Path) -> None:
    """Retention by age is applied without anybody asking, and its time is remembered."""
    async with open_history(path) as history:
        await history.append([message(at_us=1), message(at_us=NOW_US)])
    async with open_history(path, retention_hours=1) as history:
        desk = Desk(history, path)
        await desk.recorder.start()
        async with asyncio.timeout(5):
            while desk.recorder.last_prune_us is None:
                await asyncio.sleep(0)  # there is no event for it: give the loop its turns
        assert desk.recorder.last_prune_us == NOW_US
        assert [one.id for one in await desk.kept()] == [2]
        await desk.recorder.stop(1)


async def test_a_prune_that_the_disk_refuses_has_a_cause_and_is_no_fault_of_ours(
    path: Path,
) -> None:
    """It counts once, by its cause, where a failed commit does; not among the exceptions that
    nobody expected, which raise an alert that speaks of a fault of the program."""
    async with open_history(path) as history:
        await history.append([message(at_us=1), message(at_us=NOW_US)])
    async with open_history(path, retention_hours=1) as history:
        desk = Desk(history, path)
        async with desk.locked():
            await desk.recorder.start()
            async with asyncio.timeout(5):
                while not desk.metrics.write_failures:
                    await asyncio.sleep(0)  # there is no event for it: give the loop its turns
        await desk.recorder.stop(1)
        assert desk.metrics.write_failures == {"locked": 1}
        assert desk.metrics.failures.counts.total() == 0
