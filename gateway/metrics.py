"""The counters of one running service. One instance, passed in; plain numbers, no registry.

Answers for: counting. Does not: know how the numbers are shown. Increments come from the event
loop; `dropped` also from the broker's thread, each cause from one place.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from gateway.failures import Failures

RATE_SECONDS = 60
SLOT_SECONDS = 10
RATE_SLOTS = RATE_SECONDS // SLOT_SECONDS
# Topics counted in one slot: a plant that puts a serial number in each topic may not fill the
# memory.
MAX_RATED_TOPICS = 50_000


class Rate:
    """Events a second, averaged over the last minute."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._counts: Counter[int] = Counter()

    def add(self, count: int) -> None:
        """Count events that happen now."""
        second = int(self._monotonic())
        if second not in self._counts and len(self._counts) > RATE_SECONDS:
            for old in [old for old in self._counts if old < second - RATE_SECONDS]:
                del self._counts[old]
        self._counts[second] += count

    def per_second(self) -> float:
        """Return the mean of the last minute, or of the time since the start if shorter."""
        now = self._monotonic()
        recent = sum(count for second, count in self._counts.items() if second > now - RATE_SECONDS)
        return round(recent / max(1.0, min(RATE_SECONDS, now - self._started)), 3)


class TopicRates:
    """Messages a second of each topic over the last minute, to ten seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._slots: deque[tuple[int, Counter[str]]] = deque(maxlen=RATE_SLOTS)

    def add(self, topics: Iterable[str]) -> None:
        """Count messages that arrive now, by topic."""
        slot = int(self._monotonic()) // SLOT_SECONDS
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append((slot, Counter()))
        counts = self._slots[-1][1]
        if len(counts) < MAX_RATED_TOPICS:
            counts.update(topics)

    def per_second(self, topic: str) -> float:
        """Return the rate of one topic."""
        oldest = int(self._monotonic()) // SLOT_SECONDS - RATE_SLOTS
        total = sum(counts[topic] for slot, counts in self._slots if slot > oldest)
        return round(total / RATE_SECONDS, 3)


class Metrics:
    """Every counter of the service, by name."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.received_total = 0
        self.stored_total = 0
        self.published_total = 0
        self.fell_behind_total = 0
        """Times a live reader fell behind and was fed from the log."""
        self.dropped: Counter[str] = Counter()
        self.write_failures: Counter[str] = Counter()
        """Attempts to store that failed, by cause: full, locked, io, damaged, readonly, other."""
        self.failures = Failures(monotonic)
        self.rate = Rate(monotonic)
        self.topic_rates = TopicRates(monotonic)
