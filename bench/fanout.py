"""Deliveries to 100 WebSocket readers, beside the naive broadcast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.ingest import TOPICS, rate
from bench.report import Row, collect
from bench.stage import Running, SingleDrains, Tool, broker, naive, scratch, service

READERS = 100
FULL_COUNT, SINGLE_COUNT, NAIVE_COUNT = 20_000, 1_500, 500


def _full(running: Running, port: int, count: int) -> float:
    receiver = Tool("ws_receive", running.port, "/ws", READERS, count)
    Tool("blast", port, count, TOPICS, 1, 0).result()
    found = receiver.result()
    return rate(found["count"], found["first_ns"], found["last_ns"])


def of_service(directory: Path) -> dict[str, float]:
    """Deliveries a second at full load: as they come, and one message a drain."""
    with broker(directory) as port:
        with service(directory, port) as running:
            full = _full(running, port, FULL_COUNT)
        with service(directory / "single", port, SingleDrains) as running:
            return {"full": full, "single": _full(running, port, SINGLE_COUNT)}


def of_naive(directory: Path) -> dict[str, float]:
    """The same of the naive broadcast, which knows no other drain than of one message."""
    with broker(directory) as port, naive(port) as running:
        return {"naive": _full(running, port, NAIVE_COUNT)}


SIDES: list[Callable[[Path], dict[str, float]]] = [of_service, of_naive]


def measure(rounds: int) -> list[Row]:
    """Return the rows of the fan-out."""
    found = collect(SIDES, rounds, scratch)
    return [
        Row(
            "fan-out to 100 readers, one message a drain",
            "deliveries/s",
            found["single"],
            2.3,
            reference=found["naive"],
            reference_name="naive",
        ),
        Row(
            "fan-out to 100 readers, as they come at full load",
            "deliveries/s",
            found["full"],
            20,
            reference=found["naive"],
            reference_name="naive",
        ),
    ]
