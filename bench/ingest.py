"""How fast messages are taken in and stored, beside stock paho that counts and the bare broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import cpu_seconds
from bench.report import Row, collect
from bench.stage import Running, Tool, broker, reference, said, scratch, service

TOPICS = 1_000
COUNT = 60_000
READERS = 10


def rate(count: int, first_ns: int, last_ns: int) -> float:
    """Return messages a second."""
    return 1e9 * count / (last_ns - first_ns)


def stored(running: Running, port: int, count: int, topics: int = TOPICS) -> tuple[float, float]:
    """Blast; return (messages a second until the last is stored, CPU us a message)."""
    assert running.service is not None
    ours = running.service
    before = ours.get("/health").json()["message_count"]
    cpu_before = cpu_seconds(running.pid)
    blaster = Tool("blast", port, count, topics, 1, 0)
    started = time.monotonic_ns()
    ours.wait_for(lambda: ours.get("/health").json()["message_count"] >= before + count, 120)
    ended = time.monotonic_ns()
    cpu = cpu_seconds(running.pid) - cpu_before
    blaster.result()
    return rate(count, started, ended), 1e6 * cpu / count


def of_service(directory: Path) -> dict[str, float]:
    """Our service, stored and acknowledged."""
    with broker(directory) as port, service(directory, port) as running:
        figure, cpu_us = stored(running, port, COUNT)
        return {"ours": figure, "ours us": cpu_us}


def of_service_with_readers(directory: Path) -> dict[str, float]:
    """The same with readers of everything; until the last is stored and the last reader has it."""
    with broker(directory) as port, service(directory, port) as running:
        receiver = Tool("ws_receive", running.port, "/ws", READERS, COUNT)
        Tool("blast", port, COUNT, TOPICS, 1, 0).result()
        found = receiver.result()
        return {"readers": rate(COUNT, found["first_ns"], found["last_ns"])}


def of_paho(directory: Path) -> dict[str, float]:
    """Stock paho that only counts."""
    with broker(directory) as port, reference("bench.paho_counter", port, COUNT) as running:
        assert running.process is not None
        before = cpu_seconds(running.pid)
        blaster = Tool("blast", port, COUNT, TOPICS, 1, 0)
        started = time.monotonic_ns()
        said(running.process)
        ended = time.monotonic_ns()
        cpu = cpu_seconds(running.pid) - before
        blaster.result()
        return {"paho": rate(COUNT, started, ended), "paho us": 1e6 * cpu / COUNT}


def of_broker(directory: Path) -> dict[str, float]:
    """What the broker gives a subscriber in C that acknowledges and does nothing else: the better
    of one that answers each read at once, and one that gathers for a millisecond."""
    rates = []
    for gather_us in (0, 1_000):
        with broker(directory / str(gather_us)) as port:
            receiver = Tool("mqtt_receive", port, COUNT, 1, gather_us, measured=True)
            blaster = Tool("blast", port, COUNT, TOPICS, 1, 0)
            started = time.monotonic_ns()
            ended = receiver.result()["last_ns"]
            blaster.result()
            rates.append(rate(COUNT, started, ended))
    return {"broker": max(rates), "broker at once": rates[0]}


SIDES: list[Callable[[Path], dict[str, float]]] = [
    of_paho,
    of_service,
    of_broker,
    of_service_with_readers,
]


def measure(rounds: int) -> list[Row]:
    """Return the rows of ingest."""
    found = collect(SIDES, rounds, scratch)
    work, counted = "QoS 1 ingest, stored and acknowledged", "paho counts"
    cpu = "CPU a stored message, no readers"
    return [
        Row(work, "/s", found["ours"], 1.4, True, found["paho"], counted),
        Row(work, "/s", found["ours"], 0.95, True, found["broker"], "the broker gives"),
        Row(
            f"the same with {READERS} readers of everything",
            "/s",
            found["readers"],
            1.2,
            True,
            found["paho"],
            counted,
        ),
        Row(cpu, "us", found["ours us"], 25, False),
        Row(cpu, "us", found["ours us"], 1.0, False, found["paho us"], counted),
    ]
