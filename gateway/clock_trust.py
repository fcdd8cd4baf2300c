"""Whether the wall clock can be believed: a Pi without a battery wakes up in another year.

Answers for: noticing that the clock was set while we ran, or that it does not go with what was
kept before the start. Does not: set it, or know the true time.
"""

from __future__ import annotations

from collections.abc import Callable

# A clock that drifts or is slewed stays within this between two looks; one that is set does not.
JUMP_US = 60_000_000
# After a jump nothing is pruned by age for so long: time to set it right.
DISTRUST_S = 3_600.0
# At the start the newest message may be so old: a night, during which nothing came. After a longer
# pause nobody can tell a clock gone wrong from a service that was switched off, and an hour is
# waited, too: nothing is lost by it.
PAUSE_US = 24 * 3_600_000_000


class ClockTrust:
    """Compares the wall clock with the monotonic one. Lives on the event loop."""

    def __init__(self, now_us: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now_us = now_us
        self._monotonic = monotonic
        self._offset_us = self._offset()
        self._distrusted_until = 0.0
        self._newest_us = 0

    def compare_with(self, newest_us: int | None) -> None:
        """Look at when the newest message arrived by the clock of that time, at the start."""
        if newest_us is None:
            return
        self._newest_us = newest_us
        if self._now_us() > newest_us + PAUSE_US:
            self._distrusted_until = self._monotonic() + DISTRUST_S

    def is_believable(self) -> bool:
        """Look at both clocks; return False for an hour after they disagreed.

        And for as long as it is before the newest message that was there at the start.
        """
        offset_us = self._offset()
        if abs(offset_us - self._offset_us) > JUMP_US or self._now_us() < self._newest_us - JUMP_US:
            self._distrusted_until = self._monotonic() + DISTRUST_S
        self._offset_us = offset_us
        return self._monotonic() >= self._distrusted_until

    def _offset(self) -> int:
        return self._now_us() - int(self._monotonic() * 1_000_000)
