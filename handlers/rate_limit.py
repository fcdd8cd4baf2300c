"""How many requests a caller may make: a sliding window over a bounded table.

Answers for: counting by caller and forgetting. Does not: know who a caller is. Our own rather
than a library's because every timer here is monotonic (docs/decisions/0009-rate-limits.md).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# Callers remembered; beyond it the one that was quiet longest is forgotten.
MAX_CALLERS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The outcome of one hit. `reset_s` is when a full allowance is there again."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_s: int


class SlidingWindow:
    """At most `limit` in any `window_s` seconds, for each caller. Lives on the event loop.

    Two counters a caller: this window's, and the last one's in proportion to what of it still
    lies within the sliding window. What was refused costs nothing.
    """

    def __init__(self, limit: int, window_s: float, monotonic: Callable[[], float]) -> None:
        self.limit = limit
        self._window_s = window_s
        self._monotonic = monotonic
        self._counts: OrderedDict[str, tuple[int, float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def hit(self, caller: str, cost: int = 1) -> Allowance:
        """Count `cost` requests if they fit. With a cost of 0 it only looks."""
        position = self._monotonic() / self._window_s
        window = math.floor(position)
        before, last, current = self._counts.get(caller, (window, 0.0, 0.0))
        if before != window:
            last = current if before == window - 1 else 0.0
            current = 0.0
        share = 1.0 - (position - window)
        used = last * share + current
        allowed = used + cost <= self.limit
        if allowed:
            current += cost
            used += cost
        self._counts[caller] = (window, last, current)
        self._counts.move_to_end(caller)
        if len(self._counts) > MAX_CALLERS:
            self._counts.popitem(last=False)
        reset_s = math.ceil(share * self._window_s + (self._window_s if current else 0))
        return Allowance(
            allowed,
            self.limit,
            max(0, math.floor(self.limit - used)),
            reset_s,
            self._retry_s(last, current, share, cost),
        )

    def _retry_s(self, last: float, current: float, share: float, cost: int) -> int:
        """Return in how many seconds `cost` requests will fit."""
        room = self.limit - cost - current
        if last and room >= 0:  # when enough of the last window has slid out
            wait = (share - room / last) * self._window_s
        else:  # when this window is the last one and enough of it has slid out
            over = 1 - max(0.0, self.limit - cost) / current if current else 0.0
            wait = (share + over) * self._window_s
        return max(1, math.ceil(wait))
