"""Deliveries to 100 WebSocket readers, beside the naive broadcast."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.ingest import TOPICS, rate
from bench.machine import cpu_seconds
from bench.report import Row, collect
from bench.stage import Running, Tool, broker, naive, scratch, service

READERS = 100
FULL_COUNT, NAIVE_COUNT = 20_000, 500
# Ten milliseconds lie between two messages: each is a drain, and on its way, alone.
SLOW_RATE, SLOW_COUNT = 100, 200


def _full(running: Running, port: int, count: int) -> float:
    receiver = Tool("ws_receive", running.port, "/ws", READERS, count)
    Tool("blast", port, count, TOPICS, 1, 0).result()
    found = receiver.result()
    return rate(found["count"], found["first_ns"], found["last_ns"])


def _alone(running: Running, port: int) -> float:
    receiver = Tool("ws_receive", running.port, "/ws", READERS, SLOW_COUNT)
    before = cpu_seconds(running.pid)
    Tool("blast", port, SLOW_COUNT, TOPICS, 1, SLOW_RATE).result()
    found = receiver.result()
    return float(found["count"] / (cpu_seconds(running.pid) - before))


def of_service(directory: Path) -> dict[str, float]:
    """Deliveries a second at full load, as they come; a CPU second, one message a drain."""
    with broker(directory) as port, service(directory, port) as running:
        return {"alone": _alone(running, port), "full": _full(running, port, FULL_COUNT)}


def of_naive(directory: Path) -> dict[str, float]:
    """The same of the naive broadcast."""
    with broker(directory) as port, naive(port) as running:
        return {
            "naive alone": _alone(running, port),
            "naive full": _full(running, port, NAIVE_COUNT),
        }


SIDES: list[Callable[[Path], dict[str, float]]] = [of_service, of_naive]


def measure(rounds: int) -> list[Row]:
    """Return the rows of the fan-out."""
    found = collect(SIDES, rounds, scratch)
    return [
        Row(
            "fan-out to 100 readers, one message a drain",
            "deliveries a CPU second",
            found["alone"],
            2.3,
            reference=found["naive alone"],
            reference_name="naive",
        ),
        Row(
            "fan-out to 100 readers, as they come at full load",
            "deliveries/s",
            found["full"],
            20,
            reference=found["naive full"],
            reference_name="naive",
        ),
    ]
