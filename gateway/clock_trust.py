"""Whether the wall clock can be believed: a Pi without a battery wakes up in another year.

Answers for: noticing that the clock was set while we ran. Does not: set it, or know the time
before the start.
"""

from __future__ import annotations

from collections.abc import Callable

# A clock that drifts or is slewed stays within this between two looks; one that is set does not.
JUMP_US = 60_000_000
# After a jump nothing is pruned by age for so long: time to set it right.
DISTRUST_S = 3_600.0


class ClockTrust:
    """Compares the wall clock with the monotonic one. Lives on the event loop."""

    def __init__(self, now_us: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._now_us = now_us
        self._monotonic = monotonic
        self._offset_us = self._offset()
        self._distrusted_until = 0.0

    def is_believable(self) -> bool:
        """Look at both clocks; return False for an hour after they disagreed."""
        offset_us = self._offset()
        if abs(offset_us - self._offset_us) > JUMP_US:
            self._distrusted_until = self._monotonic() + DISTRUST_S
        self._offset_us = offset_us
        return self._monotonic() >= self._distrusted_until

    def _offset(self) -> int:
        return self._now_us() - int(self._monotonic() * 1_000_000)
