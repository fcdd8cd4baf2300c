"""The log when it cannot be written, and what is remembered for redeliveries."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from store.errors import HistoryUnavailable
from store.history import History
from store.log_writer import ID_BLOCK
from tests.recordings import HOUR_US, NOW_US, ids, ids_of, message, messages, open_history
from tests.store.outside import assert_counters_are_real, stranger


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
