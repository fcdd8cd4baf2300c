"""A write-ahead log that grows: commits are gathered for longer, so that it grows more slowly.

Answers for: how long. Does not: cut the log back (upkeep.py), or wait.
"""

from __future__ import annotations

from collections.abc import Callable

# A log that cannot be cut back, since somebody reads for long, grows by each commit: above the
# first size commits are gathered for longer, up to RELIEF_S at the second.
RELIEF_FROM_BYTES = 8 * 1024 * 1024
RELIEF_FULL_BYTES = 32 * 1024 * 1024
RELIEF_S = 1.0
# How often the size is asked for: to ask is a system call, and a lone message would pay for it.
LOOK_S = 0.1


class Relief:
    """Looks at the size of the log now and then. Lives on the event loop."""

    def __init__(self, wal_bytes: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._wal_bytes = wal_bytes
        self._monotonic = monotonic
        self._seconds = 0.0
        self._look_at = 0.0

    def seconds(self) -> float:
        """Return for how long to gather before a commit."""
        now = self._monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_S
            over = self._wal_bytes() - RELIEF_FROM_BYTES
            share = over / (RELIEF_FULL_BYTES - RELIEF_FROM_BYTES)
            self._seconds = RELIEF_S * min(1.0, max(0.0, share))
        return self._seconds
