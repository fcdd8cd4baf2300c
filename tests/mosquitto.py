"""Real brokers for tests: mosquitto with a configuration of its own, on a port that was free."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any, ClassVar

START_S = 10.0
# Below the range that the kernel takes the near ends of connections from, so that a port is not
# somebody's before it is used.
FIRST_PORT, PORTS_EACH, MOST_WORKERS = 15_000, 2_000, 8


def _own_ports() -> Iterator[int]:
    """Yield ports that no other worker of this run takes, and we ourselves not soon again: between
    asking for a free port and listening on it a second may pass. Where we begin is by chance, so
    that two runs on one machine hardly meet."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + worker % MOST_WORKERS * PORTS_EACH
    place = SystemRandom().randrange(PORTS_EACH)
    while True:
        yield first + place
        place = (place + 1) % PORTS_EACH


_PORTS = _own_ports()


def mosquitto_path() -> str | None:
    """Return where mosquitto is (Debian keeps it in /usr/sbin), or None."""
    return shutil.which("mosquitto", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin")


def free_port() -> int:
    """Return a port on 127.0.0.1 that was free a moment ago, and that nobody else is given."""
    while True:
        port = next(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def wait_until_listening(port: int, within_s: float = START_S) -> None:
    """Block until something accepts connections on the port; TimeoutError otherwise."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise TimeoutError(f"nothing listens on port {port}")


class Mosquitto:
    """One mosquitto process. `lines` are added to its configuration."""

    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, directory: Path, *lines: str, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        path = mosquitto_path()
        assert path is not None
        self.directory.mkdir(parents=True, exist_ok=True)
        own_access = any(line.startswith(("allow_anonymous", "listener")) for line in self._lines)
        config = [
            *([] if own_access else [f"listener {self.port} 127.0.0.1", "allow_anonymous true"]),
            "user root",
            "persistence true",
            f"persistence_location {self.directory}/",
            "max_queued_messages 100000",
            "sys_interval 1",
            *[line.format(port=self.port) for line in self._lines],
        ]
        file = self.directory / "mosquitto.conf"
        file.write_text("\n".join(config) + "\n")
        log = (self.directory / "mosquitto.log").open("ab")
        self._process = subprocess.Popen([path, "-c", str(file)], stdout=log, stderr=log)
        log.close()
        wait_until_listening(self.port)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it and wait; safe to repeat."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def log(self) -> str:
        """Return what it logged."""
        return (self.directory / "mosquitto.log").read_text()


class EmbeddedStandIn:
    """The embedded broker, where mosquitto cannot be had."""

    settings: ClassVar[dict[str, str]] = {"MQTT_BROKER_STATS": "off"}

    def __init__(self) -> None:
        self.port = free_port()
        self._broker: Any = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        from gateway.embedded import start_embedded_broker

        self._broker = start_embedded_broker(self.port)
        assert self._broker is not None, "neither mosquitto nor the embedded broker is installed"

    def stop(self) -> None:
        """End it; safe to repeat."""
        if self._broker is not None:
            self._broker.stop()
            self._broker = None


def make_broker(directory: Path) -> Mosquitto | EmbeddedStandIn:
    """Return mosquitto, or the embedded broker where that cannot be had; not started yet."""
    return Mosquitto(directory) if mosquitto_path() else EmbeddedStandIn()
