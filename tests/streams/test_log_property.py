"""Any interleaving of what may happen to a log and its readers: each stream is exactly the log."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gateway.reader
import store.scan
from store.history import History
from store.message import Message
from store.topics import TopicFilter
from tests.recordings import NOW_US, open_history
from tests.streams.log_model import RETENTION_HOURS, RETENTION_US, SECOND_US, Log

EXAMPLES = 1_000
CAP_ROWS = 8

TOPICS = st.lists(st.sampled_from(["a", "b/1", "b/2"]), min_size=1, max_size=7)
FILTERS = st.sampled_from([["#"], ["a"], ["b/+"], ["a", "b/1"], ["none"]]).map(TopicFilter)
NUMBER = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("append"), TOPICS),
    st.tuples(st.just("append and publish"), TOPICS),
    st.tuples(st.just("append and publish"), TOPICS),
    st.tuples(st.just("publish")),
    st.tuples(
        st.just("connect"),
        FILTERS,
        st.sampled_from(["head", "after", "bare", "bare", "all", "epoch", "ahead"]),
        st.integers(-6, 12),
    ),
    st.tuples(st.just("cut"), NUMBER),
    st.tuples(st.just("resume"), NUMBER),
    st.tuples(st.just("stall"), NUMBER),
    st.tuples(st.just("stall"), NUMBER),
    st.tuples(st.just("drain"), NUMBER, st.sampled_from([30, 100, 1 << 30])),
    st.tuples(st.just("read"), NUMBER),
    st.tuples(st.just("answer"), NUMBER),
    st.tuples(st.just("answer"), NUMBER),
    st.tuples(st.just("prune"), st.integers(1, 6)),
    st.tuples(st.just("purge"), st.sampled_from(["a", "b/1", "#"])),
    st.tuples(st.just("filter"), NUMBER, FILTERS),
    st.tuples(st.just("filter"), NUMBER, FILTERS),
    st.tuples(st.just("show unstored"), TOPICS),
    st.tuples(st.just("store late")),
)


async def take(log: Log, step: tuple[Any, ...]) -> None:
    """Take one step."""
    kind, *values = step
    if kind == "append":
        await log.append(*values)
    elif kind == "append and publish":
        await log.append(*values)
        log.publish()
    elif kind == "publish":
        log.publish()
    elif kind == "connect":
        log.connect(*values)
    elif kind == "read":
        await log.held.read(*values)
    elif kind == "answer":
        await log.held.answer(*values)
    elif kind == "prune":
        await log.prune(*values)
    elif kind == "purge":
        await log.purge(*values)
    elif kind == "show unstored":
        log.show_unstored(*values)
    elif kind == "store late":
        await log.store_late()
    elif log.open:
        connection = log.open[values[0] % len(log.open)]
        if kind == "cut":
            log.cut(connection)
        elif kind == "resume":
            log.resume(connection)
        elif kind == "stall":
            connection.peer.reads = False
        elif kind == "drain":
            connection.peer.read(values[1])
            connection.peer.reads = connection.peer.unsent_bytes == 0
        elif kind == "filter":
            log.change_topics(connection, values[1])
    await log.settle()


class Bench:
    """Two databases, one with a cap and one without, that all examples use one after the other."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._starts_us = itertools.count(NOW_US, 2 * RETENTION_US)
        self._histories = {
            capped: self._loop.run_until_complete(
                self._stack.enter_async_context(
                    open_history(
                        directory / f"{name}.db",
                        cap_rows=CAP_ROWS if capped else 0,
                        retention_hours=RETENTION_HOURS,
                    )
                )
            )
            for capped, name in ((True, "capped"), (False, "uncapped"))
        }

    def run(self, capped: bool, steps: list[tuple[Any, ...]]) -> None:
        """Run one example."""
        self._loop.run_until_complete(self._example(self._histories[capped], steps))

    async def _example(self, history: History, steps: list[tuple[Any, ...]]) -> None:
        start_us = next(self._starts_us)
        # Each example begins with an empty log from which something has been pruned.
        await history.append([Message("before", "0", start_us - RETENTION_US)])
        while await history.prune(start_us + SECOND_US):
            pass
        log = Log(history, start_us)
        log.connect(TopicFilter(), "head", 0)
        try:
            for step in steps:
                await take(log, step)
            await log.finish()
        finally:
            for connection in log.open:
                connection.reader.close()

    def close(self) -> None:
        """End it."""
        self._loop.run_until_complete(self._stack.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """What the examples run on; pages are small, so that few messages make many."""
    with (
        patch.object(gateway.reader, "PAGE", 3),
        patch.object(gateway.reader, "TICK_S", 0),
        patch.object(store.scan, "SCAN_IDS", 5),
    ):
        made = Bench(tmp_path_factory.mktemp("log"))
        yield made
        made.close()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(capped=st.booleans(), steps=st.lists(STEPS, min_size=8, max_size=30))
def test_each_stream_is_exactly_the_log_from_its_position(
    bench: Bench, capped: bool, steps: list[tuple[Any, ...]]
) -> None:
    """Whatever happens meanwhile, a reader gets every message it wants after its position, once
    and in order, or is told by a gap exactly what is gone."""
    bench.run(capped, steps)


async def test_a_command_that_comes_after_the_end_changes_nothing(tmp_path: Path) -> None:
    """A filter that was asked for just before the connection closed brings nobody back."""
    async with open_history(tmp_path / "log.db", retention_hours=RETENTION_HOURS) as history:
        log = Log(history, NOW_US)
        log.connect(TopicFilter(), "head", 0)
        (connection,) = log.open
        log.cut(connection)
        connection.reader.change_topics(TopicFilter(["a"]))
        connection.reader.start_at(None)
        connection.reader.start_after(0)
        await log.append(["a"])
        log.publish()  # the peer would say that something was written after the end
        await log.settle()
        assert not log.hub._channels
