"""How many requests a caller may make: a sliding window over a bounded table.

Answers for: counting by caller and forgetting. Does not: know who a caller is. Our own rather
than a library's because every timer here is monotonic (docs/decisions/0009-rate-limits.md).
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

# Callers remembered; beyond it the one that was quiet longest is forgotten.
MAX_CALLERS = 10_000
# A window is counted in so many parts. A request is forgotten with its part, so much of the window
# late at most: never too many pass, and at ten times the limit 1 % too few.
PARTS = 1_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The outcome of one hit. `reset_s` is when a full allowance is there again."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_s: int


@dataclass(slots=True)
class _Count:
    """What one caller did lately: (number of the part, requests in it), oldest first."""

    parts: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0

    def add(self, part: int, cost: int) -> None:
        if self.parts and self.parts[-1][0] == part:
            cost_before = self.parts.pop()[1]
            self.parts.append((part, cost_before + cost))
        else:
            self.parts.append((part, cost))
        self.total += cost

    def forget(self, before: int) -> None:
        while self.parts and self.parts[0][0] < before:
            self.total -= self.parts.popleft()[1]

    def part_that_frees(self, wanted: int) -> int:
        """Return the part with whose end so many requests are forgotten."""
        for part, cost in self.parts:
            wanted -= cost
            if wanted <= 0:
                return part
        return self.parts[-1][0]


class SlidingWindow:
    """At most `limit` in any `window_s` seconds, for each caller. Lives on the event loop.

    What was refused costs nothing.
    """

    def __init__(self, limit: int, window_s: float, monotonic: Callable[[], float]) -> None:
        self.limit = limit
        self._part_s = window_s / PARTS
        self._monotonic = monotonic
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def hit(self, caller: str, cost: int = 1) -> Allowance:
        """Count `cost` requests if they fit."""
        count = self._counts.setdefault(caller, _Count())
        self._counts.move_to_end(caller)
        if len(self._counts) > MAX_CALLERS:
            self._counts.popitem(last=False)
        now = self._monotonic() / self._part_s
        count.forget(math.floor(now) - PARTS)
        allowed = count.total + cost <= self.limit
        if allowed and cost:
            count.add(math.floor(now), cost)
        return self._allowance(count, now, cost, allowed)

    def look(self, caller: str, cost: int = 1) -> Allowance:
        """Return what `hit` would, and count nothing."""
        count = self._counts.get(caller, _Count())
        now = self._monotonic() / self._part_s
        count.forget(math.floor(now) - PARTS)
        return self._allowance(count, now, cost, count.total + cost <= self.limit)

    def _allowance(self, count: _Count, now: float, cost: int, allowed: bool) -> Allowance:
        def seconds_until_forgotten(part: int) -> int:
            return math.ceil((part + PARTS + 1 - now) * self._part_s)

        retry_s = 0
        if not allowed and count.parts:
            part = count.part_that_frees(count.total + cost - self.limit)
            retry_s = max(1, seconds_until_forgotten(part))
        return Allowance(
            allowed,
            self.limit,
            self.limit - count.total,
            seconds_until_forgotten(count.parts[-1][0]) if count.parts else 0,
            retry_s,
        )
