"""How long questions take over 1,000,000 stored messages of 1,000 topics.

`python -m bench.queries [MESSAGES] [DIRECTORY]`: builds the database (once, when a DIRECTORY is
given to keep it in), starts the service on a copy, and prints the median of several answers to
each question, alone and while messages come in as fast as they can, and what the questions cost
the ingest: rounds of messages with questions asked and with none, in turn.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bench.blaster import payload
from bench.stage import Tool
from store.database import Database
from store.history import History
from store.message import Message
from tests.mosquitto import Mosquitto
from tests.service_process import ServiceProcess

TOPICS = 1_000
BATCH = 5_000
ANSWERS = 15
DAY_US = 86_400_000_000
# One topic is a signal of one value a second over the last day, for the hard series.
SIGNAL = "bench/signal"
SIGNAL_ROWS = 86_400
# Rounds of so many messages, with questions and without in turn: fewer than the broker keeps
# for a service that is slower than the blaster.
ROUNDS = 6
ROUND_MESSAGES = 90_000
# 240 questions a minute: each of them 20 times, three times as often as for the medians above.
QUESTION_EVERY_S = 0.25


@dataclass
class Figures:
    """What was measured. Times are medians in milliseconds, infinite where refused."""

    messages: int
    database_bytes: int
    ready_s: float = 0.0
    alone_ms: dict[str, float] = field(default_factory=dict)
    during_ms: dict[str, float] = field(default_factory=dict)
    """While messages come in."""
    stored_alone: list[float] = field(default_factory=list)
    """Messages a second of each round with nothing asked."""
    stored_asked: list[float] = field(default_factory=list)

    @property
    def ingest_ratio(self) -> float:
        """The rate with questions over the rate without."""
        return statistics.median(self.stored_asked) / statistics.median(self.stored_alone)


async def build(path: Path, count: int) -> None:
    """Store `count` messages of the last day."""
    database = await Database.open(path)
    now_us = time.time_ns() // 1_000
    history = await History.open(database, now_us=now_us)
    every = max(1, count // SIGNAL_ROWS)
    for at in range(0, count, BATCH):
        batch = []
        for number in range(at, min(at + BATCH, count)):
            moment = now_us - DAY_US + DAY_US * number // count
            name = SIGNAL if number % every == 0 else f"bench/line{number % 10}/t{number % TOPICS}"
            batch.append(Message(name, payload(number).decode(), moment, 1))
        await history.append(batch)
    await history.close()
    await database.close()


def questions(count: int) -> dict[str, str]:
    """Return name -> path of every question."""
    series = "field=$.value&since=24h"
    return {
        "latest 100 of all": "/messages?limit=100",
        "latest 100 of one topic": "/messages?limit=100&topic=bench/line3/t123",
        "latest 100 of a filter that matches all": "/messages?limit=100&topic=bench/%2B/%2B",
        "latest 100 of a filter that matches a tenth": "/messages?limit=100&topic=bench/line3/%23",
        "100, half the log deep, by key": f"/messages?limit=100&before={count // 2}",
        "100 after a position": f"/messages?limit=100&after={count // 2}",
        "1,000 topics in detail": "/topics?details=true",
        "names of all topics": "/topics",
        "`/stats`": "/stats",
        "series of 24 h of one topic of the thousand": f"/series?topic=bench/line3/t123&{series}",
        "series of 24 h of one topic, a value a second": f"/series?topic={SIGNAL}&{series}",
    }


def ask(service: ServiceProcess, path: str) -> float:
    """Return the milliseconds that one answer took."""
    started = time.perf_counter()
    answer = service.get(path)
    took = 1_000 * (time.perf_counter() - started)
    return took if answer.status == 200 else float("inf")  # refused: over its time budget


class Asking:
    """A thread that asks all questions in turn, one every QUESTION_EVERY_S, until it is closed."""

    def __init__(self, service: ServiceProcess, count: int) -> None:
        self._service = service
        self._questions = itertools.cycle(questions(count).items())
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.took_ms: dict[str, list[float]] = defaultdict(list)

    def __enter__(self) -> None:
        self._closed.clear()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(QUESTION_EVERY_S):
            name, path = next(self._questions)
            self.took_ms[name].append(ask(self._service, path))


def ingest_rate(service: ServiceProcess, port: int, messages: int) -> float:
    """Return the messages a second that are stored while this runs."""
    before = service.get("/health").json()["message_count"]
    blaster = Tool("blast", port, messages, TOPICS, 1, 0)
    started = time.perf_counter()
    service.wait_for(
        lambda: service.get("/health").json()["message_count"] >= before + messages, 300
    )
    took = time.perf_counter() - started
    blaster.result()
    return messages / took


def measure(count: int = 1_000_000, kept: Path | None = None) -> Figures:
    """Build a database, or take a copy of the one that is kept, and ask."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        database = place / "history.db"
        if kept is not None and (kept / "history.db").exists():
            shutil.copy(kept / "history.db", database)
        else:
            asyncio.run(build(database, count))
            if kept is not None:
                kept.mkdir(parents=True, exist_ok=True)
                shutil.copy(database, kept / "history.db")
        figures = Figures(count, database.stat().st_size)
        broker = Mosquitto(place / "mosquitto")
        broker.start()
        service = ServiceProcess(
            place,
            MQTT_BROKER_PORT=str(broker.port),
            MQTT_BROKER_STATS="off",
            MAX_HISTORY_SIZE="0",
            MESSAGE_RETENTION_HOURS="0",
            RATE_LIMIT_ENABLED="false",
            LOG_LEVEL="WARNING",
        )
        try:
            started = time.perf_counter()
            service.start(ready=True)
            figures.ready_s = time.perf_counter() - started
            _measure(figures, service, broker.port)
        finally:
            service.kill()
            broker.stop()
    return figures


def _measure(figures: Figures, service: ServiceProcess, port: int) -> None:
    """Ask alone; then rounds of messages, with questions and without in turn."""
    for name, path in questions(figures.messages).items():
        took = [ask(service, path) for _ in range(ANSWERS)]
        figures.alone_ms[name] = statistics.median(took)
    asking = Asking(service, figures.messages)
    for _ in range(ROUNDS):
        figures.stored_alone.append(ingest_rate(service, port, ROUND_MESSAGES))
        with asking:
            figures.stored_asked.append(ingest_rate(service, port, ROUND_MESSAGES))
    figures.during_ms = {name: statistics.median(took) for name, took in asking.took_ms.items()}


def report(figures: Figures) -> str:
    """Return the figures as text, the questions as a table."""
    size = figures.database_bytes
    alone, asked = map(statistics.median, (figures.stored_alone, figures.stored_asked))
    lines = [
        f"{figures.messages:,} messages, {size / 1e6:.1f} MB"
        f" ({size / figures.messages:.1f} bytes a message); ready after {figures.ready_s:.2f} s",
        f"stored a second: {alone:,.0f} with nothing asked, {asked:,.0f} while asked:"
        f" {figures.ingest_ratio:.2f} of it",
        "",
        "| question | alone, ms | while messages come in, ms |",
        "|---|---|---|",
        *(
            f"| {name} | {took:.1f} | {figures.during_ms.get(name, float('nan')):.1f} |"
            for name, took in figures.alone_ms.items()
        ),
    ]
    return "\n".join(lines)


def main(count: int = 1_000_000, directory: str = "") -> None:
    """Measure and print."""
    print(report(measure(count, Path(directory) if directory else None)))


if __name__ == "__main__":
    main(*[int(text) for text in sys.argv[1:2]], *sys.argv[2:3])
