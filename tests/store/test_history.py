"""The log: ids, limits, counters, and what survives a bad end."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import retention
from store.database import Database
from store.errors import HistoryUnavailable
from store.history import History
from store.log_writer import ID_BLOCK
from store.message import Message
from store.purge import Purge
from store.selection import Selection
from store.topics import TopicFilter
from tests.recordings import (
    HOUR_US,
    MINUTE_US,
    NOW_US,
    everything,
    ids,
    ids_of,
    message,
    messages,
    open_history,
    payloads,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "history.db"


@contextmanager
def stranger(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that has the file open for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


# -- appending ---------------------------------------------------------------------------------


async def test_messages_get_ids_in_order_of_arrival(path: Path) -> None:
    """Ids begin at 1, grow by one, and what is read is what was appended."""
    async with open_history(path) as history:
        given_ones = [
            message("a", "1"),
            message("b", b"\xff\x00", qos=1, packet_id=7),
            message("a", "", retain=True, properties='{"content_type":"x"}'),
        ]
        stored = await history.append(given_ones)
        assert ids_of(stored) == [1, 2, 3]
        stored[1].packet_id = None  # how it was delivered is not part of what is read
        assert await everything(history) == stored
        assert ids_of(await history.append(messages(2))) == [4, 5]
        totals = history.totals()
        assert (totals.message_count, totals.newest_id, totals.oldest_id) == (5, 5, 1)


async def test_an_empty_append_is_no_event(path: Path) -> None:
    """Appending nothing stores nothing and uses no id."""
    async with open_history(path) as history:
        before = history.totals()
        assert await history.append([]) == []
        assert history.totals() == before
        assert ids_of(await history.append(messages(1))) == [1]


async def test_payloads_are_text_or_blob_for_people(path: Path) -> None:
    """The view shows UTF-8 as TEXT and anything else as BLOB, with the time as text."""
    async with open_history(path) as history:
        await history.append([message("a", "ü\x00"), message("b", b"\xff")])
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute(
                "SELECT id, time, topic, typeof(payload), qos, retain FROM history"
            ).fetchall()
    time = "2026-11-23T10:04:05.123456Z"
    assert rows == [(1, time, "a", "text", 0, 0), (2, time, "b", "blob", 0, 0)]


# -- the cap -----------------------------------------------------------------------------------


async def test_no_reader_ever_sees_more_than_the_cap(path: Path) -> None:
    """The oldest rows go in the very transaction that brings new ones."""
    async with open_history(path, cap_rows=5) as history:
        with stranger(path) as connection:
            for batch in (messages(4), messages(3), messages(12), messages(1)):
                stored = await history.append(batch)
                count, newest = connection.execute(
                    "SELECT count(*), max(id) FROM message"
                ).fetchone()
                assert count == history.totals().message_count <= 5
                assert newest == stored[-1].id
        totals = history.totals()
        assert (totals.newest_id, totals.oldest_id, totals.pruned_id) == (20, 16, 15)


async def test_a_lowered_cap_holds_from_the_start(path: Path) -> None:
    """Reopened with a smaller cap the log is cut at once, in steps, and says up to where."""
    rows = retention.STEP_ROWS + 500
    async with open_history(path) as history:
        await history.append(messages(rows))
    async with open_history(path, cap_rows=10) as history:
        assert await ids(history) == list(range(rows - 9, rows + 1))
        assert history.totals().pruned_id == rows - 10


# -- counters ----------------------------------------------------------------------------------

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


def assert_counters_are_real(path: Path, history: History, now_us: int) -> None:
    """Compare every counter with a count."""
    with closing(sqlite3.connect(path)) as connection:
        real = connection.execute(
            "SELECT name, count(*), max(message.id) FROM message"
            " JOIN topic ON topic.id = topic_id GROUP BY name ORDER BY name"
        ).fetchall()
        counted = connection.execute(
            "SELECT name, message_count, last_id FROM topic WHERE message_count <> 0 ORDER BY name"
        ).fetchall()
        times = connection.execute("SELECT id, timestamp_us FROM message ORDER BY id").fetchall()
    assert counted == real
    totals = history.totals()
    assert totals.message_count == len(times)
    assert totals.oldest_id == (times[0][0] if times else None)
    by_minute = Counter(at_us // MINUTE_US for _, at_us in times)
    ahead = [minute for minute in by_minute if minute > now_us // MINUTE_US - 60]
    assert history.recent_count(now_us) == sum(by_minute[minute] for minute in ahead)


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


# -- retained messages -------------------------------------------------------------------------


async def test_a_replay_that_says_nothing_new_is_not_stored(path: Path) -> None:
    """A retained replay equal to the topic's last payload is left out; a different one is kept."""
    async with open_history(path) as history:
        await history.append([message("a", "1"), message("b", "x")])
        assert await history.append([message("a", "1", retain=True)]) == []
        assert ids_of(await history.append([message("a", "2", retain=True)])) == [3]
        assert ids_of(await history.append([message("a", "1", retain=True)])) == [4]
        assert ids_of(await history.append([message("c", "1", retain=True)])) == [5]
        assert ids_of(await history.append([message("a", "1")])) == [6], "not a replay"


async def test_text_and_bytes_are_different_payloads(path: Path) -> None:
    """A replay is compared by value and kind, so that no byte is taken for another."""
    async with open_history(path) as history:
        await history.append([message("a", b"\xff")])
        assert await history.append([message("a", b"\xff", retain=True)]) == []
        assert ids_of(await history.append([message("a", "\xff", retain=True)])) == [2]


async def test_replays_within_one_batch_are_compared_with_what_came_just_before(path: Path) -> None:
    """The topic's last payload may be in the same transaction."""
    async with open_history(path) as history:
        batch = [message("a", "1"), message("b", "2"), message("a", "1", retain=True)]
        batch += [message("a", "3"), message("a", "1", retain=True)]
        assert payloads(await history.append(batch)) == ["1", "2", "3", "1"]


async def test_the_last_value_survives_pruning(path: Path) -> None:
    """A replay is recognised even when retention has removed every row of its topic."""
    async with open_history(path, cap_rows=1) as history:
        await history.append([message("a", "1")])
        await history.append([message("b", "2")])
        assert await history.topics() == ["b"]
        assert await history.append([message("a", "1", retain=True)]) == []
        assert ids_of(await history.append([message("a", "9", retain=True)])) == [3]
    async with open_history(path, cap_rows=1) as history:
        assert await history.append([message("b", "2", retain=True)]) == []


async def test_a_stale_last_value_is_not_believed(path: Path) -> None:
    """After new rows the value kept at an earlier pruning no longer counts."""
    async with open_history(path, cap_rows=1) as history:
        for topic, payload in (("a", "old"), ("b", "x"), ("a", "new")):
            await history.append([message(topic, payload)])
        assert await history.append([message("a", "new", retain=True)]) == []
        assert ids_of(await history.append([message("a", "old", retain=True)])) == [4]


# -- ids across ends and starts ----------------------------------------------------------------


async def test_a_clean_restart_goes_on_with_the_very_next_id(path: Path) -> None:
    """After an orderly end no id is skipped, even when all rows have been pruned."""
    async with open_history(path) as history:
        await history.append(messages(3))
        epoch = history.totals().epoch
    async with open_history(path, retention_hours=1) as history:
        assert history.totals().newest_id == 3
        assert await history.prune(NOW_US + 2 * HOUR_US) == 3
    async with open_history(path) as history:
        assert ids_of(await history.append(messages(2))) == [4, 5]
        assert history.totals().epoch == epoch


async def test_an_unclean_restart_goes_on_at_the_next_block(path: Path) -> None:
    """After a kill the first id is beyond everything that was ever reserved."""
    async with open_history(path, clean=False) as history:
        await history.append(messages(3))
        with closing(sqlite3.connect(path)) as connection:
            reserved = connection.execute("SELECT reserved_id FROM log").fetchone()[0]
    assert reserved >= 3 + ID_BLOCK
    async with open_history(path) as history:
        assert history.totals().newest_id == reserved
        assert ids_of(await history.append(messages(1))) == [reserved + 1]
        assert await ids(history) == [1, 2, 3, reserved + 1]


async def test_no_id_names_two_messages_after_lost_commits(path: Path, tmp_path: Path) -> None:
    """What a power cut takes back (here: an older copy of the file) never frees an id."""
    given_ids: list[int | None] = []
    async with open_history(path, clean=False) as history:
        given_ids += ids_of(await history.append(messages(1)))
        with closing(sqlite3.connect(path)) as source:  # the state of the last synced commit
            source.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
        given_ids += ids_of(await history.append(messages(5)))
    (tmp_path / "copy.db").replace(path)
    async with open_history(path, clean=False) as history:
        given_ids += ids_of(await history.append(messages(2)))
    async with open_history(path) as history:
        given_ids += ids_of(await history.append(messages(2)))
    assert len(given_ids) == 10
    assert given_ids == sorted(set(given_ids))


async def test_ids_are_reserved_before_they_are_used(path: Path) -> None:
    """At no commit is there a row above what the file itself says is reserved."""
    async with open_history(path, cap_rows=10) as history:
        with stranger(path) as connection:
            for count in (1, ID_BLOCK + 5, 1, 20_000):
                await history.append(messages(count))
                newest, reserved = connection.execute(
                    "SELECT max(id), (SELECT reserved_id FROM log) FROM message"
                ).fetchone()
                assert newest <= reserved


async def test_the_epoch_is_made_once_with_the_file(tmp_path: Path) -> None:
    """A file keeps its epoch, two files have two, and it begins with a letter."""
    epochs = []
    for name in ("a.db", "a.db", "b.db"):
        async with open_history(tmp_path / name) as history:
            epochs.append(history.totals().epoch)
    assert epochs[0] == epochs[1] != epochs[2]
    assert all(epoch[0].isalpha() and epoch.isalnum() and epoch.islower() for epoch in epochs)


# -- times -------------------------------------------------------------------------------------

OFFSETS = st.lists(
    st.lists(st.integers(-4 * 60, 4 * 60), min_size=1, max_size=4), min_size=1, max_size=5
)


async def compare_times(path: Path, batches: list[list[int]], since: int, until: int) -> None:
    """Compare time bounds with a plain comparison of every row, open and after a restart."""
    since_us, until_us = NOW_US + since * 1_000_000, NOW_US + until * 1_000_000
    for clean in (False, True):
        async with open_history(path, clean=clean) as history:
            if not clean:
                for offsets in batches:
                    await history.append(
                        [message(at_us=NOW_US + offset * 1_000_000) for offset in offsets]
                    )
            whole = await everything(history)
            for low, high in ((since_us, None), (None, until_us), (since_us, until_us)):
                found = await everything(history, Selection(since_us=low, until_us=high))
                assert ids_of(found) == [
                    one.id
                    for one in whole
                    if (low is None or one.timestamp_us >= low)
                    and (high is None or one.timestamp_us < high)
                ]
            first = next((one.id for one in whole if one.timestamp_us >= since_us), None)
            position = await history.position_before(since_us)
            assert position == (whole[-1].id if first is None else first - 1)


@settings(max_examples=60, deadline=None)
@given(OFFSETS, st.integers(-300, 300), st.integers(-300, 300))
def test_time_bounds_are_exact_though_the_clock_jumps(
    batches: list[list[int]], since: int, until: int
) -> None:
    """`since` is inclusive and `until` exclusive for any order of timestamps, also after a kill."""
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(compare_times(Path(directory) / "history.db", batches, since, until))


async def test_minutes_survive_a_clean_restart(path: Path) -> None:
    """The count of the last hour is the same after a restart, and shrinks as time goes by."""
    async with open_history(path) as history:
        await history.append([*messages(5), message(at_us=NOW_US + 30 * MINUTE_US)])
        assert history.recent_count(NOW_US + 30 * MINUTE_US) == 6
        assert history.recent_count(NOW_US + 70 * MINUTE_US) == 1
    async with open_history(path, now_us=NOW_US + 30 * MINUTE_US) as history:
        assert history.recent_count(NOW_US + 30 * MINUTE_US) == 6
        assert history.recent_count(NOW_US + 70 * MINUTE_US) == 1


# -- pruning -----------------------------------------------------------------------------------


async def test_age_pruning_goes_in_bounded_steps(path: Path) -> None:
    """Each step removes at most STEP_ROWS; together they remove exactly what is too old."""
    rows = 2 * retention.STEP_ROWS + 100
    async with open_history(path, retention_hours=1) as history:
        await history.append([message(at_us=NOW_US) for _ in range(rows)])
        await history.append([message(at_us=NOW_US + 1), message(at_us=NOW_US + HOUR_US)])
        assert await history.prune(NOW_US + HOUR_US) == 0, "exactly one hour is not too old"
        removed = []
        while step := await history.prune(NOW_US + HOUR_US + 1):
            removed.append(step)
        assert max(removed) <= retention.STEP_ROWS
        assert sum(removed) == rows
        assert await ids(history) == [rows + 1, rows + 2]
        assert history.totals().pruned_id == rows


async def test_no_limit_prunes_nothing(path: Path) -> None:
    """Limits of 0 are no limits."""
    async with open_history(path) as history:
        await history.append(messages(10))
        assert await history.prune(NOW_US + 10**6 * HOUR_US) == 0
        assert len(await ids(history)) == 10


async def test_age_pruning_stops_at_the_first_row_that_is_young_enough(path: Path) -> None:
    """Rows go from the old end without a gap, so a jumping clock punches no hole."""
    async with open_history(path, retention_hours=1) as history:
        old, young = NOW_US, NOW_US + 3 * HOUR_US
        await history.append([message(at_us=at_us) for at_us in (old, young, old, young)])
        assert await history.prune(NOW_US + 3 * HOUR_US) == 1
        assert await ids(history) == [2, 3, 4]


async def test_the_size_limit_removes_the_oldest_until_it_holds(path: Path) -> None:
    """With MAX_HISTORY_BYTES the oldest rows go until the used pages fit, the newest stay."""
    limit = 400_000
    async with open_history(path, cap_bytes=limit) as history:
        for _ in range(10):
            await history.append([message(payload="x" * 200) for _ in range(500)])
        while await history.prune(NOW_US):
            pass
        left = await ids(history)
        assert left
        assert left == list(range(5001 - len(left), 5001))
        with stranger(path) as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        assert (pages - free) * size <= limit


# -- the redelivery window on the disk ----------------------------------------------------------


async def test_the_window_is_what_came_since_it_began(path: Path) -> None:
    """Rows with a packet number count from the window's beginning on, and survive a kill."""
    async with open_history(path, clean=False) as history:
        await history.append([message("a", "1", qos=1, packet_id=1), message("a", "2")])
        assert await history.window() == [(1, "a", "1", 1)]
        await history.append([message("b", b"\xff", qos=1, packet_id=2)])
        await history.append([message("c", "4", qos=1, packet_id=3)], new_window={1: 1})
        expected = [(1, "a", "1", 1), (3, "c", "4", 4)]
        assert await history.window() == expected
    async with open_history(path) as history:
        assert await history.window() == expected
        await history.append([], new_window={})
        assert await history.window() == []


# -- trouble -----------------------------------------------------------------------------------


async def assert_recovers(history: History, path: Path) -> None:
    """Nothing of the failed append is there, and the next one takes the next id."""
    assert ids_of(await history.append([message("new/topic", "after")])) == [3]
    assert await ids(history) == [1, 2, 3]
    assert await history.topics() == ["a/b", "new/topic"]
    assert_counters_are_real(path, history, NOW_US)


async def test_a_stranger_with_the_write_lock_costs_nothing(path: Path) -> None:
    """While another program holds the lock an append fails as a whole, and then recovers."""
    async with open_history(path) as history:
        await history.append(messages(2))
        await history._database.write(lambda c: c.execute("PRAGMA busy_timeout = 10").fetchone())
        before, failed = history.totals(), [message("new/topic", "lost")]
        with stranger(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryUnavailable, match=r"cannot be written: .*locked"):
                await history.append(failed, new_window={})
            with pytest.raises(HistoryUnavailable, match="locked"):
                await history.append(messages(ID_BLOCK + 10))  # fails when ids are reserved
            assert await ids(history) == [1, 2], "reading goes on"
            connection.execute("ROLLBACK")
        assert history.totals() == before
        assert failed[0].id is None
        await assert_recovers(history, path)


async def test_a_full_disk_costs_nothing(path: Path) -> None:
    """An append that does not fit fails as a whole; when there is room it works again."""
    async with open_history(path) as history:
        await history.append(messages(2))
        before = history.totals()

        def limit(connection: sqlite3.Connection, more: int) -> None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages + more}").fetchone()

        await history._database.write(limit, 1)
        big = [message(f"new/{number}", "x" * 5000) for number in range(20)]
        with pytest.raises(HistoryUnavailable, match="full"):
            await history.append(big)
        assert history.totals() == before
        assert all(one.id is None for one in big)
        await history._database.write(limit, 1000)
        await assert_recovers(history, path)


async def test_a_prune_that_fails_changes_nothing(path: Path) -> None:
    """Pruning under a stranger's lock raises, and prunes the same rows afterwards."""
    async with open_history(path, retention_hours=1) as history:
        await history.append(messages(3))
        await history._database.write(lambda c: c.execute("PRAGMA busy_timeout = 10").fetchone())
        with stranger(path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(HistoryUnavailable):
                await history.prune(NOW_US + 2 * HOUR_US)
            connection.execute("ROLLBACK")
        assert_counters_are_real(path, history, NOW_US)
        assert await history.prune(NOW_US + 2 * HOUR_US) == 3
        assert_counters_are_real(path, history, NOW_US)


# -- topics ------------------------------------------------------------------------------------


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


async def test_further_packet_numbers_of_a_message_are_remembered(tmp_path: Path) -> None:
    """A copy for another subscription counts for the message that it is a copy of, in the file."""
    path = tmp_path / "history.db"
    async with open_history(path, clean=False) as history:
        first = message("a", "1", qos=1, packet_id=1)
        await history.append([first], {}, [(2, first)])
        await history.append([], None, [(3, first), (9, message("never", "stored"))])
    async with open_history(path) as history:
        assert sorted(await history.window()) == [
            (packet_id, "a", "1", first.id) for packet_id in (1, 2, 3)
        ]
