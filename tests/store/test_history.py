"""The log: what is appended, which ids it gets, and what survives a bad end."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from store.log_writer import ID_BLOCK
from tests.recordings import (
    HOUR_US,
    NOW_US,
    everything,
    ids,
    ids_of,
    message,
    messages,
    open_history,
    payloads,
)
from tests.store.outside import stranger


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
