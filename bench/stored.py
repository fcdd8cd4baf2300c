"""What 1,000,000 stored messages cost: disk, start, pages, pruning, and /health meanwhile."""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.ingest import TOPICS
from bench.machine import load_side, measured_side
from bench.publish import wrk
from bench.queries import DAY_US, build
from bench.report import Row, shown
from bench.stage import Tool, broker, fastapi, service
from store.database import Database
from store.history import History
from store.message import Message

COUNT = 1_000_000
LISTED = 1_000
HOUR_US = DAY_US // 24
APPENDS, APPENDED = 400, 20
INGEST = 150_000


def disk(path: Path) -> float:
    """Megabytes of the file."""
    return path.stat().st_size / 1e6


def start(directory: Path, port: int) -> float:
    """Seconds from the start of the process to ready."""
    started = time.monotonic()
    with service(directory, port, MESSAGE_RETENTION_HOURS="0"):
        return time.monotonic() - started


def pages(directory: Path, port: int) -> tuple[float, float]:
    """Pages of 100 a second: ours over 1,000,000 stored, FastAPI's of a list of 1,000."""
    path = "/messages?limit=100"
    with service(directory, port, MESSAGE_RETENTION_HOURS="0") as running:
        ours = wrk(running.port, path, 16)
    with fastapi(port, LISTED) as running:
        Tool("blast", port, LISTED, TOPICS, 1, 0).result()
        theirs = wrk(running.port, path, 16)
    return ours, theirs


async def _append_times(path: Path, prune: bool) -> float:
    """The p99 of a commit of a few messages, in milliseconds, alone or while a tenth is pruned."""
    database = await Database.open(path)
    now_us = time.time_ns() // 1_000
    history = await History.open(database, now_us=now_us, retention_hours=24 if prune else 0)
    oldest_us = now_us - int(HOUR_US * 2.4)  # the file holds one day: its oldest tenth is too old
    left = COUNT // 10 if prune else 0

    async def remove() -> None:
        nonlocal left
        later_us = now_us + (now_us - oldest_us)
        while left > 0:
            rows = await history.prune(later_us, left)
            if not rows:
                break
            left -= rows
            await asyncio.sleep(0)

    removing = asyncio.create_task(remove())
    times: list[float] = []
    while len(times) < APPENDS or (prune and not removing.done()):
        batch = [
            Message(f"bench/line1/t{number}", "x" * 100, now_us, 1) for number in range(APPENDED)
        ]
        started = time.perf_counter()
        await history.append(batch)
        times.append(1_000 * (time.perf_counter() - started))
        await asyncio.sleep(0.002)
    await removing
    await history.close()
    await database.close()
    return statistics.quantiles(times, n=100)[98]


def pruning(path: Path) -> tuple[float, float]:
    """Return p99 of a commit (while a tenth is pruned, and without), each on a copy of the file."""
    figures = []
    for prune in (True, False):
        with tempfile.TemporaryDirectory(dir=path.parent) as place, measured_side():
            shutil.copy(path, Path(place) / "history.db")
            figures.append(asyncio.run(_append_times(Path(place) / "history.db", prune)))
    return figures[0], figures[1]


def health(directory: Path, port: int) -> float:
    """The p99 of /health in milliseconds while messages come as fast as the machine takes them,
    and each commit removes as many of the oldest."""
    with service(directory, port, MAX_HISTORY_SIZE=str(COUNT)) as running:
        blaster = Tool("blast", port, INGEST, TOPICS, 1, 0)
        with load_side():
            said = subprocess.run(
                [
                    "wrk",
                    "-t1",
                    "-c1",
                    "-d3s",
                    "--latency",
                    f"http://127.0.0.1:{running.port}/health",
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
        blaster.end()
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert found, said
    return float(found.group(1)) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found.group(2)]


def measure(rounds: int) -> list[Row]:
    """Return the rows of a large history."""
    starts: list[float] = []
    ours, theirs, pruned, unpruned, healths = ([] for _ in range(5))  # type: ignore[var-annotated]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        place = Path(name)
        asyncio.run(build(place / "history.db", COUNT))
        size = disk(place / "history.db")
        with broker(place) as port:
            for number in range(rounds):
                starts.append(start(place, port))
                one, other = pages(place, port)
                ours.append(one)
                theirs.append(other)
                with_it, without = pruning(place / "history.db")
                pruned.append(with_it)
                unpruned.append(without)
                print(
                    f"  round {number + 1}: start {shown(starts[-1])} s, pages {shown(one)} and"
                    f" {shown(other)}/s, commit p99 {shown(with_it)} and {shown(without)} ms",
                    flush=True,
                )
            for _ in range(rounds):
                healths.append(health(place, port))
    stored = "1,000,000 stored"
    return [
        Row(f"GET /messages?limit=100, {stored}", "/s", ours, 2, True, theirs, "FastAPI's list"),
        Row(
            "commit p99 while a tenth of 1,000,000 is pruned",
            "ms",
            pruned,
            3,
            False,
            unpruned,
            "without",
        ),
        Row("disk for 1,000,000 messages of 100 bytes, 1,000 topics", "MB", [size], 145, False),
        Row(f"start to ready, {stored}", "s", starts, 1, False),
        Row("/health p99 at full ingest, while pruning", "ms", healths, 20, False),
    ]
