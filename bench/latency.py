"""How long a message takes: from its arrival to its commit, and from broker to socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.ingest import TOPICS
from bench.machine import cpu_seconds
from bench.report import Row, collect
from bench.stage import Tool, broker, scratch, service

SECONDS = 3
RATE, FAST_RATE, READERS = 1_000, 10_000, 100


def plain_subscriber(directory: Path) -> dict[str, float]:
    """A plain MQTT subscriber in C that acknowledges: from publish to receive, milliseconds."""
    count = RATE * SECONDS
    with broker(directory) as port:
        receiver = Tool("mqtt_receive", port, count, 1, 0, measured=True)
        Tool("blast", port, count, TOPICS, 1, RATE).result()
        found = receiver.result()
        return {"plain p50": found["p50_us"] / 1e3, "plain p99": found["p99_us"] / 1e3}


def readers(directory: Path) -> dict[str, float]:
    """One WebSocket reader, then a hundred; the share of a core that these cost."""
    count = RATE * SECONDS
    with broker(directory) as port, service(directory, port) as running:
        receiver = Tool("ws_receive", running.port, "/ws", 1, count)
        Tool("blast", port, count, TOPICS, 1, RATE).result()
        one = receiver.result()
        receiver = Tool("ws_receive", running.port, "/ws", READERS, count)
        before = cpu_seconds(running.pid)
        Tool("blast", port, count, TOPICS, 1, RATE).result()
        many = receiver.result()
        cores = (cpu_seconds(running.pid) - before) / SECONDS
    return {
        "p50": one["p50_us"] / 1e3,
        "p99": one["p99_us"] / 1e3,
        "many p99": many["p99_us"] / 1e3,
        "cores": cores,
        "delivered": many["count"] / (count * READERS),
    }


def commits(directory: Path) -> dict[str, float]:
    """The p99 of the service's own histogram at 10,000 messages a second, milliseconds."""
    count = FAST_RATE * SECONDS
    with broker(directory) as port, service(directory, port) as running:
        assert running.service is not None
        ours = running.service
        Tool("blast", port, count, TOPICS, 1, FAST_RATE).result()
        ours.wait_for(lambda: ours.get("/health").json()["message_count"] >= count, 60)
        return {"commit p99": 1_000 * quantile(ours.get("/metrics").content.decode(), 0.99)}


def quantile(metrics: str, share: float) -> float:
    """Return a quantile of mqtt_api_commit_lag_seconds, interpolated as Prometheus does."""
    buckets = []
    for line in metrics.splitlines():
        if line.startswith("mqtt_api_commit_lag_seconds_bucket"):
            bound = line.split('le="')[1].split('"')[0]
            buckets.append((float(bound), float(line.rsplit(" ", 1)[1])))
    wanted = share * buckets[-1][1]
    low, before = 0.0, 0.0
    for bound, seen in sorted(buckets):
        if seen >= wanted:
            return (
                low
                if bound == float("inf")
                else low + (bound - low) * (wanted - before) / max(1.0, seen - before)
            )
        low, before = bound, seen
    return low


SIDES: list[Callable[[Path], dict[str, float]]] = [plain_subscriber, readers, commits]


def measure(rounds: int) -> list[Row]:
    """Return the rows of latency."""
    found = collect(SIDES, rounds, scratch)
    to_socket = "publish to WebSocket receive at 1,000/s, stored first"
    crowd = "1,000/s x 100 readers"
    return [
        Row("arrival to commit at 10,000/s, p99", "ms", found["commit p99"], 5, at_least=False),
        Row(
            f"{to_socket}, p50",
            "ms",
            found["p50"],
            3,
            at_least=False,
            reference=found["plain p50"],
            reference_name="plain MQTT subscriber",
        ),
        Row(f"{to_socket}, p99", "ms", found["p99"], 10, at_least=False),
        Row(f"{crowd}, delivered", "of all", found["delivered"], 1),
        Row(f"{crowd}, p99 from publish to socket", "ms", found["many p99"], 20, at_least=False),
        Row(f"{crowd}, share of a core", "cores", found["cores"], 0.333, at_least=False),
    ]
