"""The counters of one running service. One instance, passed in; plain numbers, no registry.

Answers for: counting. Does not: know how the numbers are shown. Increments come from the event
loop; `dropped` also from the broker's thread, each cause from one place.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from gateway.failures import Failures
from gateway.histogram import Histogram
from store.message import Message

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


# Bounds of the histograms: a commit takes 0.2 ms on a fast disk, 100 ms on a slow card; a lag
# may be anything between that and the minutes of a full disk.
COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
BATCH_MESSAGES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2000)
REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


# What a count may be counted under, so that each is shown as 0 before the first time: Prometheus
# sees no increase in a count that begins to exist at 1, and no alert would come.
DROP_CAUSES = (
    *("redelivered", "extra_copy", "retained_repeat", "unreadable", "error"),
    *("mailbox_full_qos0", "mailbox_full_unacknowledged"),
)
WRITE_FAILURE_CAUSES = ("full", "locked", "io", "readonly", "damaged", "other")
FAILURE_PLACES = (
    *("on_connect", "on_disconnect", "on_publish", "on_subscribe", "on_message", "news"),
    *("broker_thread", "renewal", "recorder", "prune", "tidy", "memory", "event_loop", "http"),
    *("command",),
    *("encoder", "reader", "watcher", "stream", "audience"),
)


class HttpCounts:
    """Answers by handler, method and status, and how long they took by handler."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, str, int]] = Counter()
        self.seconds: dict[str, Histogram] = {}

    def add(self, handler: str, method: str, status: int, seconds: float | None) -> None:
        """Count one answer; `seconds` is None for a stream, which takes as long as it is read."""
        self.answers[handler, method, status] += 1
        if seconds is not None:
            if handler not in self.seconds:
                self.seconds[handler] = Histogram(REQUEST_S)
            self.seconds[handler].observe(seconds)


class Metrics:
    """Every counter of the service, by name."""

    def __init__(
        self, monotonic: Callable[[], float], now_us: Callable[[], int] = lambda: 0
    ) -> None:
        self._now_us = now_us
        self.commit_seconds = Histogram(COMMIT_S)
        self.batch_messages = Histogram(BATCH_MESSAGES)
        self.commit_lag_seconds = Histogram(LAG_S)
        """From the arrival of the oldest message of a commit until it was acknowledged."""
        self.show_lag_seconds = Histogram(LAG_S)
        """From the same moment until the live readers' sockets had it."""
        self.http = HttpCounts()
        self.received_total = 0
        self.stored_total = 0
        self.published_total = 0
        self.fell_behind_total = 0
        """Times a live reader fell behind and was fed from the log."""
        self.dropped: Counter[str] = Counter()
        self.write_failures: Counter[str] = Counter()
        """Attempts to store or prune that failed, by cause: full, locked, io, damaged, readonly,
        other."""
        self.failures = Failures(monotonic)
        self.rate = Rate(monotonic)
        self.topic_rates = TopicRates(monotonic)

    def committed(self, stored: Sequence[Message], seconds: float) -> None:
        """Count what one commit stored, and how long that took."""
        self.stored_total += len(stored)
        self.rate.add(len(stored))
        self.topic_rates.add(message.topic for message in stored)
        self.commit_seconds.observe(seconds)
        self.batch_messages.observe(len(stored))
        self._observe_lag(self.commit_lag_seconds, stored)

    def shown(self, messages: Sequence[Message]) -> None:
        """Note that the live readers have the messages of one commit."""
        self._observe_lag(self.show_lag_seconds, messages)

    def _observe_lag(self, lags: Histogram, messages: Sequence[Message]) -> None:
        if messages:  # a clock that was set back meanwhile makes no negative lag
            lags.observe(max(0, self._now_us() - messages[0].timestamp_us) / 1e6)
