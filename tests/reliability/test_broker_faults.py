"""The broker stops, freezes, resets connections or vanishes: QoS 1 loses nothing and comes back."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.relay import Relay, relay_to
from tests.reliability.findings import assert_nothing_missing, stored_numbers, wait_until_stored
from tests.reliability.publisher import Publisher
from tests.reliability.sabotage import SabotagedProcess
from tests.reliability.scale import Scale
from tests.service.talking import wait_until_subscribed

SETTINGS = {
    "MQTT_CLEAN_SESSION": "false",
    "MAX_HISTORY_SIZE": "0",
    "MQTT_KEEPALIVE": "5",
    "RATE_LIMIT_ENABLED": "false",
}
BACK_WITHIN_S = 3.0
LAG_AT_MOST_S = 0.05
STOP_WITHIN_S = 10


class Line:
    """A device, a broker, a network that may fail, and the service behind it."""

    def __init__(self, service: SabotagedProcess, publisher: Publisher, relay: Relay) -> None:
        self.service, self.publisher, self.relay = service, publisher, relay
        self.back_s: list[float] = []

    def count(self) -> int:
        """Return how many messages are stored."""
        found: int = self.service.get("/health").json()["message_count"]
        return found

    def wait_until_away(self, within_s: float = 30.0) -> None:
        """Wait until the service knows that the broker is away."""
        self.service.wait_for(
            lambda: not self.service.get("/health").json()["mqtt_connected"], within_s
        )

    def wait_until_back(self, healed: float | None = None) -> None:
        """Note how long the service needed since the moment of healing, which is now unless it is
        given, and check that its subscription works."""
        healed = healed or time.monotonic()
        self.service.wait_for(lambda: self.service.get("/health/ready").status == 200)
        self.back_s.append(time.monotonic() - healed)
        count = self.count()
        self.service.wait_for(lambda: self.count() > count + 20)

    def finish(self, scale: Scale) -> str:
        """Check that nothing is missing; return the figures. Times are held to the promise only
        in the full run, on a machine that has nothing else to do."""
        sent = self.publisher.finish()
        database, again = self.service.database, self.publisher.again
        try:
            wait_until_stored(self.service, sent, within_s=15)
        except AssertionError:  # say which
            assert_nothing_missing(stored_numbers(database), sent, may_be_twice=again)
            raise
        assert_nothing_missing(stored_numbers(database), sent, may_be_twice=again)
        assert [one["topic"] for one in self.service.get("/subscriptions").json()] == ["#"]
        lags = sorted(self.service.lags_s())
        lag_s = lags[int(0.99 * len(lags))]
        back_s = sorted(self.back_s)[max(0, -(-len(self.back_s) * 95 // 100) - 1)]
        figures = f"{sent} messages, back {back_s:.2f} s (p95), lag {1000 * lag_s:.1f} ms (p99)"
        if scale.is_full:
            assert back_s <= BACK_WITHIN_S, (figures, self.back_s)
            assert lag_s <= LAG_AT_MOST_S, figures
        return figures


@contextmanager
def line(tmp_path: Path, broker: Any, scale: Scale) -> Iterator[Line]:
    """Run everything."""
    with relay_to(broker.port) as relay:
        service = SabotagedProcess(tmp_path, MQTT_BROKER_PORT=str(relay.port))
        try:
            service.start(ready=True, **SETTINGS)
            wait_until_subscribed(service)
            with Publisher(broker.port, scale.fault_messages_per_s) as publisher:
                found = Line(service, publisher, relay)
                service.wait_for(lambda: found.count() > 0)
                service.lags_s()
                yield found
            assert "Traceback" not in service.log(), service.log()
        finally:
            service.kill()


@pytest.mark.needs_mosquitto
def test_the_broker_is_restarted(
    tmp_path: Path, broker: Any, scale: Scale, chance: random.Random
) -> None:
    """SIGTERM and a new start, with persistence: no QoS 1 message is lost."""
    with line(tmp_path, broker, scale) as one:
        for _ in range(scale.broker_stops):
            broker.stop()
            one.wait_until_away()
            time.sleep(chance.random() * scale.broker_away_s)  # the length of the fault
            broker.start()
            one.wait_until_back()
        print(f"{scale.broker_stops} restarts: {one.finish(scale)}")


@pytest.mark.needs_mosquitto
def test_connections_are_reset(tmp_path: Path, broker: Any, scale: Scale) -> None:
    """Connections are reset again and again: no QoS 1 message is lost or stored twice."""
    with line(tmp_path, broker, scale) as one:
        for _ in range(scale.resets):
            before, healed = one.relay.let_in, time.monotonic()
            one.relay.reset()
            one.service.wait_for(lambda before=before: one.relay.let_in > before)
            one.wait_until_back(healed)
        assert not one.publisher.again
        print(f"{scale.resets} resets: {one.finish(scale)}")


@pytest.mark.needs_mosquitto
def test_a_black_hole(tmp_path: Path, broker: Any, scale: Scale) -> None:
    """Nothing comes through any more, and nobody says so: the keepalive finds out."""
    with line(tmp_path, broker, scale) as one:
        for _ in range(scale.black_holes):
            one.relay.stall()
            time.sleep(scale.black_hole_s)  # the length of the fault: it is the experiment
            if scale.is_full:  # twice the keepalive is over
                one.wait_until_away(1)
            one.relay.flow()
            one.wait_until_back()
        print(f"{scale.black_holes} times {scale.black_hole_s:g} s: {one.finish(scale)}")


@pytest.mark.needs_mosquitto
def test_the_broker_freezes(tmp_path: Path, broker: Any, scale: Scale) -> None:
    """SIGSTOP for a minute: HTTP goes on, nothing is lost, and a stop meanwhile is soon over."""
    with line(tmp_path, broker, scale) as one:
        broker.signal(signal.SIGSTOP)
        time.sleep(scale.freeze_s)  # the length of the fault: it is the experiment
        assert one.service.get("/messages?limit=1").status == 200
        broker.signal(signal.SIGCONT)
        one.wait_until_back()
        figures = one.finish(scale)
        broker.signal(signal.SIGSTOP)
        began = time.monotonic()
        assert one.service.terminate(STOP_WITHIN_S) == 0
        stopped_s = time.monotonic() - began
        broker.signal(signal.SIGCONT)
        print(f"{scale.freeze_s:g} s: {figures}; a stop meanwhile took {stopped_s:.1f} s")
