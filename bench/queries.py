"""How long questions take over 1,000,000 stored messages of 1,000 topics.

`python -m bench.queries [MESSAGES] [DIRECTORY]`: builds the database (kept in DIRECTORY if one is
given), starts the service on it, and prints the median of several answers to each question, alone
and while messages come in, and what the questions cost the ingest.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.blaster import payload
from bench.ingest import _blast
from store.database import Database
from store.history import History
from store.message import Message
from tests.mosquitto import Mosquitto
from tests.service_process import ServiceProcess

TOPICS = 1_000
BATCH = 5_000
ROUNDS = 7
DAY_US = 86_400_000_000
# One topic is a signal of one value a second over the last day, for the series.
SIGNAL = "bench/signal"
SIGNAL_ROWS = 86_400
INGEST = 200_000


async def build(path: Path, count: int) -> None:
    """Store `count` messages of the last day."""
    database = await Database.open(path)
    now_us = time.time_ns() // 1_000
    history = await History.open(database, now_us=now_us)
    every = max(1, count // SIGNAL_ROWS)
    started = time.perf_counter()
    for at in range(0, count, BATCH):
        batch = []
        for number in range(at, min(at + BATCH, count)):
            moment = now_us - DAY_US + DAY_US * number // count
            name = SIGNAL if number % every == 0 else f"bench/line{number % 10}/t{number % TOPICS}"
            batch.append(Message(name, payload(number).decode(), moment, 1))
        await history.append(batch)
    took = time.perf_counter() - started
    print(f"built {count:,} messages in {took:.1f} s ({count / took:,.0f}/s)", flush=True)
    await history.close()
    await database.close()
    size = path.stat().st_size
    print(f"database {size / 1e6:.1f} MB, {size / count:.1f} bytes a message", flush=True)


def questions(count: int) -> dict[str, str]:
    """Return name -> path of every question."""
    return {
        "latest 100 of all": "/messages?limit=100",
        "latest 100 of one topic": "/messages?limit=100&topic=bench/line3/t123",
        "latest 100 of a wide filter": "/messages?limit=100&topic=bench/%2B/%2B",
        "latest 100 of a narrow filter": "/messages?limit=100&topic=bench/line3/%23",
        "100, half the log deep, by key": f"/messages?limit=100&before={count // 2}",
        "100 after a position": f"/messages?limit=100&after={count // 2}",
        "1,000 topics in detail": "/topics?details=true",
        "topics": "/topics",
        "stats": "/stats",
        "series of 24 h, one topic": f"/series?topic={SIGNAL}&field=$.value&since=24h",
    }


def ask(service: ServiceProcess, path: str) -> float:
    """Return the milliseconds that one answer took."""
    started = time.perf_counter()
    answer = service.get(path)
    took = 1_000 * (time.perf_counter() - started)
    return took if answer.status == 200 else float("inf")  # refused: over its time budget


def medians(service: ServiceProcess, count: int) -> dict[str, float]:
    """Return name -> median milliseconds."""
    return {
        name: statistics.median(ask(service, path) for _ in range(ROUNDS))
        for name, path in questions(count).items()
    }


def ingest_rate(service: ServiceProcess, port: int, messages: int) -> float:
    """Return the messages a second that are stored while this runs."""
    before = service.get("/health").json()["message_count"]
    started = _blast(port, messages)
    service.wait_for(
        lambda: service.get("/health").json()["message_count"] >= before + messages, 300
    )
    return messages / (time.perf_counter() - started)


def main(count: int = 1_000_000, directory: str = "") -> None:
    """Build, ask, print."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(directory or temporary)
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "history.db").exists():
            asyncio.run(build(place / "history.db", count))
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
            print(f"ready after {time.perf_counter() - started:.2f} s", flush=True)
            compare(service, broker.port, count)
        finally:
            service.kill()
            broker.stop()


def compare(service: ServiceProcess, port: int, count: int) -> None:
    """Ask alone, ingest alone, then both together; print the table."""
    alone = medians(service, count)
    quiet = ingest_rate(service, port, INGEST)
    during: list[dict[str, float]] = []
    asking = threading.Thread(target=lambda: during.append(medians(service, count)))
    asking.start()
    loaded = ingest_rate(service, port, INGEST)
    asking.join()
    print(
        f"stored {quiet:,.0f}/s alone and {loaded:,.0f}/s while asked: {loaded / quiet:.2f} of it"
    )
    print("| question | median, ms | while messages come in, ms |\n|---|---|---|")
    for name, took in alone.items():
        print(f"| {name} | {took:.1f} | {during[0][name]:.1f} |")


if __name__ == "__main__":
    main(*[int(text) for text in sys.argv[1:2]], *sys.argv[2:3])
