"""The counters of the log are what counting would give, after anything that may happen."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.database import Database
from store.errors import HistoryUnavailable
from store.history import History
from store.message import Message
from store.purge import Purge
from store.topics import TopicFilter
from tests.recordings import MINUTE_US, NOW_US, message, open_history
from tests.store.outside import assert_counters_are_real

TOPICS = st.sampled_from(["a", "b", "b/c", "$d"])

BATCHES = st.lists(st.tuples(TOPICS, st.sampled_from(["0", "1"]), st.booleans()), max_size=6)

STEPS = st.one_of(
    st.tuples(st.just("append"), BATCHES),
    st.tuples(st.just("prune"), st.just(None)),
    st.tuples(st.just("fail"), BATCHES),
    st.tuples(st.just("reopen"), st.booleans()),
    st.tuples(st.just("clock"), st.integers(0, 300)),
    st.tuples(st.just("purge"), TOPICS),
)


async def run_steps(path: Path, steps: list[tuple[str, object]]) -> None:
    """Do the steps on one log, and compare the counters after each."""
    now_us, used = NOW_US, 0
    limits = {"cap_rows": 8, "retention_hours": 1.0}
    database = await Database.open(path)
    history = await History.open(database, now_us=now_us, **limits)
    try:
        for verb, value in steps:
            if verb == "clock":
                now_us += value * MINUTE_US
            elif verb in ("append", "fail"):
                batch = [message(t, p, now_us, retain=r) for t, p, r in value]
                if verb == "fail":
                    batch.append(Message("a", {}, now_us))  # SQLite cannot store a dict
                    with pytest.raises(HistoryUnavailable):
                        await history.append(batch)
                else:
                    for one in await history.append(batch):
                        assert one.id > used
                        used = one.id
            elif verb == "prune":
                await history.prune(now_us)
            elif verb == "purge":
                purge = Purge(TopicFilter([value]))
                before = await history.topic_counts()
                assert await history.purge(purge) == before[1].get(value, 0)
            else:
                if value:
                    await history.close()
                await database.close()
                database = await Database.open(path)
                history = await History.open(database, now_us=now_us, **limits)
            assert_counters_are_real(path, history, now_us)
    finally:
        await database.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_counters_equal_counts_after_any_sequence(steps: list[tuple[str, object]]) -> None:
    """Whatever is appended, pruned, failed, reopened or killed: counters are counts, ids grow."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run_steps(Path(directory) / "history.db", steps))


async def test_topics_are_those_with_rows(path: Path) -> None:
    """Names come sorted, by filter and by prefix; a topic without rows is not named."""
    async with open_history(path, cap_rows=4) as history:
        for topic in ("gone", "b/x", "a", "b/x", "b"):
            await history.append([message(topic)])
        assert await history.topics() == ["a", "b", "b/x"]
        assert await history.topics(TopicFilter(["b/#"])) == ["b", "b/x"]
        assert await history.topics(prefix="b/") == ["b/x"]
        assert await history.topics(TopicFilter(["+"]), "b") == ["b"]
        assert await history.topic_counts() == (3, {"b/x": 2, "a": 1, "b": 1})
