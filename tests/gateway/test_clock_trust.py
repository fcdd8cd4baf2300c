"""When the wall clock is believed."""

from __future__ import annotations

from gateway.clock_trust import DISTRUST_S, ClockTrust


def test_a_clock_that_is_set_is_distrusted_for_an_hour() -> None:
    """After a jump in either direction nothing may be pruned by age until it had time to settle."""
    wall, monotonic = [10**15], [100.0]
    trust = ClockTrust(lambda: wall[0], lambda: monotonic[0])
    for jump_us in (30 * 86_400 * 10**6, -365 * 86_400 * 10**6):
        assert trust.is_believable()
        wall[0] += jump_us
        assert not trust.is_believable()
        for seconds in (30.0, DISTRUST_S - 31.0):
            monotonic[0] += seconds
            wall[0] += int(seconds * 1_000_000)
            assert not trust.is_believable()
        monotonic[0] += 1.0
        wall[0] += 1_000_000


def test_a_clock_that_drifts_is_believed() -> None:
    """A second a minute is drift, not a jump."""
    wall, monotonic = [10**15], [100.0]
    trust = ClockTrust(lambda: wall[0], lambda: monotonic[0])
    for _ in range(200):
        monotonic[0] += 60.0
        wall[0] += 61_000_000
        assert trust.is_believable()
