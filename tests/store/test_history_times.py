"""The log by time: bounds are exact, though clocks jump and processes end."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from store.selection import Selection
from tests.recordings import MINUTE_US, NOW_US, everything, ids_of, message, messages, open_history

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
