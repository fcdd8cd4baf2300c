"""The limits of the log: by number, by age, by size, and what a lowered one does."""

from __future__ import annotations

from pathlib import Path

from store import retention
from tests.recordings import HOUR_US, NOW_US, ids, message, messages, open_history
from tests.store.outside import stranger


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
