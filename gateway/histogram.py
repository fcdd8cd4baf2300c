"""Counts of values by size, as Prometheus wants them.

Answers for: a few additions for each value. Does not: know what is measured, or any text format.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """How many values were at most each bound. Call from one thread.

    One `observe` is a search among some ten numbers: about half a microsecond. It is meant for
    what happens once a commit or once a request, never once a message.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return (upper bound, values up to it), ending with +Inf and so with all."""
        found, count = [], 0
        for bound, here in zip((*self._bounds, float("inf")), self._counts, strict=True):
            count += here
            found.append(("+Inf" if bound == float("inf") else f"{bound:g}", float(count)))
        return found
