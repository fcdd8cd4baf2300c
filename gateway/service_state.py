"""What works and what does not, asked of those who know.

Answers for: the sentences of /health. Does not: measure; each collaborator knows its own state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.arrivals import Arrivals
from gateway.audience import Audience
from gateway.broker.broker import Broker
from gateway.holdings import Holdings
from gateway.liveness import Liveness
from gateway.lobby import Guest, Lobby
from gateway.mailbox import Mailbox
from gateway.metrics import Metrics
from gateway.recorder import Recorder
from store.counted import counted
from store.history import History


@dataclass(frozen=True)
class ServiceState:
    """The parts of a running service, and the questions asked of them together."""

    version: str
    broker: Broker
    holdings: Holdings
    arrivals: Arrivals
    mailbox: Mailbox
    recorder: Recorder
    history: History
    audience: Audience
    lobby: Lobby[Guest]
    liveness: Liveness
    metrics: Metrics
    retention: dict[str, float]
    now_us: Callable[[], int]
    monotonic: Callable[[], float]
    started: float

    @property
    def mqtt_connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return bool(self.broker.connection)

    def uptime_s(self) -> float:
        """Return seconds since the start."""
        return round(self.monotonic() - self.started, 3)

    def summary(self) -> str:
        """Return how things are, in one line."""
        faults = self.reasons()
        if faults:
            return f"degraded: {'; '.join(faults)}"
        count = self.history.totals().message_count
        return f"healthy: {counted(count, 'message')}, {counted(self.audience.count, 'reader')}"

    def unready(self) -> list[str]:
        """Return why the service cannot do its main job now."""
        reasons = []
        if not self.mqtt_connected:
            reasons.append(f"not connected to the MQTT broker: {self.broker.why}")
        if self.recorder.trouble:
            reasons.append(self.recorder.trouble)
        return reasons

    def reasons(self) -> list[str]:
        """Return everything that is not as it should be."""
        refused = [
            f"the subscription to {text} is not held: {why}"
            for text, why in sorted(self.holdings.refused.items())
        ]
        damaged = self.history.quarantined
        moved = [f"the database was damaged and moved to {Path(damaged).name}"] if damaged else []
        short = ["the disk of the history has hardly any room left"]
        return [
            *self.unready(),
            *self.liveness.stalled(),
            *refused,
            *moved,
            *(short if self.history.is_short_of_room else []),
        ]
