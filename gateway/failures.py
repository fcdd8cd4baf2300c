"""Exceptions that nobody expected, caught at a boundary: counted, and logged once.

Answers for: a figure for each place, and a log that a fault which repeats a thousand times does
not fill. Does not: decide what goes on after it; the boundary that caught it does.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import Counter
from collections.abc import Callable

log = logging.getLogger(__name__)

# The same fault at the same place is written down in full once in so long.
QUIET_S = 60.0


class Failures:
    """Counts by place. `caught` may be called from any thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._logged: dict[tuple[str, type | None], float] = {}
        self._unlogged: Counter[tuple[str, type | None]] = Counter()
        self.counts: Counter[str] = Counter()

    def caught(self, place: str, sentence: str, error: BaseException | None = None) -> None:
        """Take note of the exception that is being handled, or of the one given."""
        error = error or sys.exception()
        with self._lock:
            self.counts[place] += 1
            key, now = (place, type(error)), self._monotonic()
            if now - self._logged.get(key, -QUIET_S) < QUIET_S:
                self._unlogged[key] += 1
                return
            self._logged[key] = now
            more = self._unlogged.pop(key, 0)
        since = f" ({more} more since the last such line)" if more else ""
        log.error("%s%s", sentence, since, exc_info=error)
