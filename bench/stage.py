"""Everything that a measurement needs to run: brokers, the service, references, load tools.

Answers for: starting each on a free port and on its cores, and ending only what it started.
Does not: measure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import load_side, measured_side
from tests.mosquitto import Mosquitto, free_port, wait_until_listening
from tests.service_process import ServiceProcess

SOURCES = Path(__file__).parent
BUILD = SOURCES / ".build"
# Durable history on; access log and rate limit off; no statistics of the broker beside the load.
SETTINGS = {
    "MQTT_BROKER_STATS": "off",
    "MAX_HISTORY_SIZE": "0",
    "RATE_LIMIT_ENABLED": "false",
    "LOG_LEVEL": "WARNING",
    "WS_MAX_CONNECTIONS": "1000",
}
TOOL_S = 300
START_S = 60


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for one round."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        yield Path(directory)


@contextmanager
def broker(directory: Path) -> Iterator[int]:
    """A mosquitto of its own, on the cores of the load; yields its port."""
    # A reader that is slower than the load may not lose anything, whichever side it is on.
    mosquitto = Mosquitto(directory / "mosquitto", "max_queued_messages 1000000")
    with load_side():
        mosquitto.start()
    try:
        yield mosquitto.port
    finally:
        mosquitto.stop()


@dataclass(frozen=True)
class Running:
    """A service under load: ours or a reference."""

    pid: int
    port: int
    service: ServiceProcess | None = None
    process: subprocess.Popen[str] | None = None


class SingleDrains(ServiceProcess):
    """The service with each message a drain of its own (bench/single_drains.py)."""

    script = "-m"

    def __init__(self, directory: Path, **variables: str) -> None:
        super().__init__(directory, "bench.single_drains", **variables)


@contextmanager
def service(
    directory: Path,
    broker_port: int,
    kind: type[ServiceProcess] = ServiceProcess,
    **settings: str,
) -> Iterator[Running]:
    """Our service, ready and subscribed to everything."""
    directory.mkdir(parents=True, exist_ok=True)
    ours = kind(directory, MQTT_BROKER_PORT=str(broker_port), **{**SETTINGS, **settings})
    with measured_side():
        ours.start(ready=True)
    assert ours.process is not None
    try:
        yield Running(ours.process.pid, ours.port, ours)
    finally:
        ours.kill()


@contextmanager
def reference(module: str, *arguments: object, port: int | None = None) -> Iterator[Running]:
    """A reference as a Python process of its own: listening on `port`, or having said `ready`."""
    with measured_side():
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=SOURCES.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
    try:
        if port is None:
            said(process)
        else:
            wait_until_listening(port, START_S)
        yield Running(process.pid, port or 0, process=process)
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def fastapi(broker_port: int, cap: int = 1_000) -> Iterator[Running]:
    """The FastAPI reference."""
    port = free_port()
    with reference("bench.fastapi_service", broker_port, port, cap, port=port) as running:
        yield running


@contextmanager
def naive(broker_port: int) -> Iterator[Running]:
    """The naive broadcast."""
    port = free_port()
    with reference("bench.naive_broadcast", port, broker_port, port=port) as running:
        yield running


class Tool:
    """One run of a load tool written in C; compiled when its source is newer."""

    def __init__(self, name: str, *arguments: object, measured: bool = False) -> None:
        program = compiled(name)
        with measured_side() if measured else load_side():
            self.process = subprocess.Popen(
                [str(program), *map(str, arguments)], stdout=subprocess.PIPE, text=True
            )
        said(self.process)  # "go" or "ready"

    def result(self) -> dict[str, Any]:
        """Wait for the end; return what it measured."""
        try:
            out, _ = self.process.communicate(timeout=TOOL_S)
        except subprocess.TimeoutExpired:
            self.end()
            raise
        if self.process.returncode:
            raise RuntimeError(f"{self.process.args} ended with {self.process.returncode}")
        found: dict[str, Any] = json.loads(out)
        return found

    def end(self) -> None:
        """End it without a result."""
        self.process.kill()
        self.process.communicate()


def compiled(name: str) -> Path:
    """Return the program of bench/`name`.c, compiled if need be."""
    program, newest = BUILD / name, max(f.stat().st_mtime for f in SOURCES.glob("*.[ch]"))
    if not program.exists() or program.stat().st_mtime < newest:
        BUILD.mkdir(exist_ok=True)
        compiler = os.environ.get("CC", "cc")
        command = [compiler, "-O2", "-o", str(program), str(SOURCES / f"{name}.c")]
        subprocess.run(command, check=True)
    return program


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{process.args} ended without a word")
    return line
