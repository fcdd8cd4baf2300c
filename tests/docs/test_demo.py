"""The demonstration: a factory that is worth looking at, and a program that behaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from demo.factory import Factory, Publication
from tests.mosquitto import EmbeddedStandIn, free_port
from tests.service_process import ROOT, ServiceProcess

ROUND = 24  # readings: two lines, three machines, four signals


def day(steps: int = 100 * ROUND) -> list[Publication]:
    """Return everything that a factory says in so many steps."""
    factory = Factory(Random(7))
    return [one for _ in range(steps) for one in factory.step()]


class DemoProcess(ServiceProcess):
    """`python -m demo`, with the service as its child."""

    def begin(self) -> None:
        """Start it, and wait until the service inside listens."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with (self.directory / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "demo"],
                cwd=ROOT,
                env={**kept, **self._variables},
                stdout=log,
                stderr=log,
            )
        self.wait_for(self.answers)

    def answers(self) -> bool:
        """Whether the service inside answers."""
        try:
            return self.get("/health/live").status == 200
        except OSError:
            return False

    def topics(self, topic: str) -> list[str]:
        """Return the topics that have arrived, of those that match."""
        found: list[str] = self.get(f"/topics?topic={topic}").json()
        return found

    def count(self) -> int:
        """Return how many messages have arrived."""
        number: int = self.get("/health").json()["message_count"]
        return number


@contextmanager
def running_demo(directory: Path, broker_port: int) -> Iterator[DemoProcess]:
    demo = DemoProcess(directory, MQTT_BROKER_PORT=str(broker_port), **EmbeddedStandIn.settings)
    demo.begin()
    try:
        yield demo
    finally:
        if demo.process is not None and demo.process.poll() is None:
            demo.terminate(20)


@pytest.fixture
def embedded() -> Iterator[EmbeddedStandIn]:
    """The embedded broker on a free port; not started yet."""
    broker = EmbeddedStandIn()
    yield broker
    broker.stop()


def test_the_factory_has_two_lines_of_three_machines_with_four_signals() -> None:
    """Each machine reports each signal, as a number or an object, under factory/."""
    said = day()
    assert len({one.topic for one in said if one.topic.startswith("factory/")}) == ROUND
    for one in said:
        if one.topic.startswith("factory/"):
            assert re.fullmatch(r"factory/line[12]/(press|oven|robot)[12]/[a-z]+", one.topic)
            assert not one.retain
            value = one.payload["value"] if isinstance(one.payload, dict) else one.payload
            assert isinstance(value, float) and 0 < value < 100
    assert {type(one.payload) for one in said if one.topic.startswith("factory/")} == {float, dict}


def test_values_drift_and_do_not_jump_about() -> None:
    """Two readings of an undisturbed signal are near each other, and not all the same."""
    said = day(3 * ROUND)
    values = [one.payload for one in said if one.topic == "factory/line2/robot2/temperature"]
    assert len(set(values)) > 1
    assert all(abs(later - earlier) < 5 for earlier, later in pairwise(values))


def test_an_alert_comes_when_a_threshold_is_crossed_and_the_state_follows() -> None:
    """Every alert follows a reading over its limit, and changes the machine's retained state."""
    said = day()
    alerts = [index for index, one in enumerate(said) if one.topic.startswith("alerts/")]
    assert len(alerts) > 3
    for index in alerts:
        reading, alert, state = said[index - 1 : index + 2]
        _, machine, signal_name = alert.topic.split("/")
        assert reading.topic.endswith(f"/{machine}/{signal_name}")
        assert isinstance(alert.payload, dict) and alert.payload["value"] > alert.payload["limit"]
        assert (state.topic, state.payload, state.retain) == (f"state/{machine}", "fault", True)
    states = [one.payload for one in said if one.topic.startswith("state/")]
    assert "running" in states  # and some machine was repaired
    assert len(alerts) < len(said) / 50


def test_messages_of_all_three_kinds_arrive_and_it_ends_cleanly(
    embedded: EmbeddedStandIn, tmp_path: Path
) -> None:
    """Readings, alerts and states come through the broker; SIGTERM ends it all with status 0."""
    embedded.start()
    with running_demo(tmp_path, embedded.port) as demo:
        demo.wait_for(lambda: len(demo.topics("factory/%23")) == ROUND)
        assert len(demo.topics("state/%2B")) == 6
        assert "alerts/press1/temperature" in demo.topics("alerts/%23")
        (alert,) = demo.get("/messages?topic=alerts/press1/temperature").json()
        assert json.loads(alert["payload"])["limit"] == 60
        kept = demo.get("/stats").json()["retention"]
        assert 100_000 in kept.values(), "a chart of five minutes would be empty"
        assert demo.terminate(20) == 0
        assert not demo.answers(), "the service outlived the demonstration"
    assert "A small factory is talking now" in demo.log()
    assert "Traceback" not in demo.log()


def test_it_survives_a_broker_that_goes_away(embedded: EmbeddedStandIn, tmp_path: Path) -> None:
    """Without a broker it says so once, waits, and goes on; Ctrl-C ends it even then."""
    with running_demo(tmp_path, embedded.port) as demo:
        demo.wait_for(lambda: "no broker yet" in demo.log())
        embedded.start()
        demo.wait_for(lambda: demo.count() > 10)
        embedded.stop()
        demo.wait_for(lambda: "Nothing can be published" in demo.log())
        before = demo.count()
        embedded.start()
        demo.wait_for(lambda: demo.count() > before + 10)
        assert demo.log().count("Nothing can be published") == 1
        assert demo.log().count("back at work") == 1
        embedded.stop()
        assert demo.process is not None
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(20) == 0
    assert "Traceback" not in demo.log()


def test_it_says_what_the_service_says_when_it_cannot_start(tmp_path: Path) -> None:
    """A wrong variable ends the demonstration with the service's own sentence and status."""
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "API_PORT": str(free_port()),
            "HISTORY_DB": str(tmp_path / "history.db"),
            "API_WORKERS": "2",
        },
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 78
    assert "API_WORKERS" in done.stderr
