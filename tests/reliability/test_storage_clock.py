"""The clock goes wrong: by a year back, by thirty days and by ten years ahead.

The library of faults answers for both clocks. So an hour of waiting passes in a moment, and the
passes of retention, which are half a minute apart, come when the test wants them.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from store.database import Database
from store.history import History
from store.message import Message
from tests.reliability.scale import of_this_run
from tests.reliability.storage_faults import Faults
from tests.service_process import ServiceProcess
from tests.streams.reading import event_stream

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.needs_gcc]

DAY_S = 86_400
JUMPS_S = {
    "a year back": -365 * DAY_S,
    "30 days ahead": 30 * DAY_S,
    "10 years ahead": 3_650 * DAY_S,
}
CASES = [(when, jump) for when in ("at the start", "while running") for jump in JUMPS_S]
QUICK_CASES = [("at the start", "10 years ahead"), ("while running", "30 days ahead")]
ROWS = 2_000
FEW_ROWS = 150  # a pass removes a hundred at least
# Less than liveness allows between two signs of life, and with a second one more than retention
# waits between two passes.
STEP_S = 20
DISTRUST_S = 3_600


async def _fill(path: Path, rows: int) -> None:
    """Rows of the last twenty hours, closed in order."""
    now_us = time.time_ns() // 1_000
    database = await Database.open(path)
    history = await History.open(database, now_us=now_us)
    ages_us = [72_000_000_000 * (rows - n) // rows for n in range(rows)]
    await history.append([Message("old", str(n), now_us - age) for n, age in enumerate(ages_us)])
    await history.close()
    await database.close()


@pytest.fixture
def rows() -> int:
    """How many messages there are before."""
    return ROWS


@pytest.fixture
def service(broker: Any, faults: Faults, tmp_path: Path, rows: int) -> Iterator[ServiceProcess]:
    """A service that keeps a day of messages, with most of a day in it; not started yet."""
    asyncio.run(_fill(tmp_path / "history.db", rows))
    process = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        MAX_HISTORY_SIZE="0",
        MESSAGE_RETENTION_HOURS="24",
        WS_HEARTBEAT_INTERVAL="1",
        **faults.environment(tmp_path / "history.db"),
    )
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def count(service: ServiceProcess) -> int:
    """Return how many messages there are."""
    found: int = service.get("/health").json()["message_count"]
    return found


def let_pass(service: ServiceProcess, faults: Faults, seconds: int) -> None:
    """Let the monotonic clock go on by so much, and the wall clock with it, in small steps."""
    for _ in range(seconds // STEP_S):
        before = service.get("/health").json()["uptime"]
        faults["monotonic_offset_s"] += STEP_S
        faults["clock_offset_s"] += STEP_S
        service.wait_for(lambda before=before: beaten(service, before + STEP_S))


def beaten(service: ServiceProcess, uptime_s: float) -> bool:
    """Whether more than a second has passed since then, within which every timer went off."""
    uptime: float = service.get("/health").json()["uptime"]
    return uptime > uptime_s + 1.2


def says(service: ServiceProcess, payload: str) -> int:
    """Publish over HTTP, confirmed; return the id that the message got."""
    answer = service.post("/publish", {"topic": "new", "payload": payload, "qos": 1})
    assert answer.json()["data"]["confirmed"] is True
    service.wait_for(lambda: newest(service)["payload"] == payload)
    found: int = newest(service)["id"]
    return found


def newest(service: ServiceProcess) -> dict[str, Any]:
    """Return the newest message by id."""
    (message,) = json.loads(service.get("/messages?limit=1").content)
    return message


@pytest.mark.parametrize(("when", "jump"), CASES if of_this_run().is_full else QUICK_CASES)
def test_a_clock_that_jumps_removes_nothing(
    service: ServiceProcess, faults: Faults, when: str, jump: str
) -> None:
    """No row is pruned while the clock is not believable, ids go on, and timers go on."""
    if when == "at the start":
        faults["clock_offset_s"] = JUMPS_S[jump]
    service.start(ready=True)
    first = says(service, "before")
    with event_stream(service, "?topic=nothing") as stream:
        stream.next("welcome")
        if when == "while running":
            faults["clock_offset_s"] = JUMPS_S[jump]
        uptime = service.get("/health").json()["uptime"]
        began = time.monotonic()
        while not stream.block().comments:  # the heartbeat of each second
            pass
        assert service.get("/health").json()["uptime"] - uptime < time.monotonic() - began + 5
    let_pass(service, faults, 2 * STEP_S)  # a pass of retention
    assert count(service) == ROWS + 1
    assert says(service, "after") > first
    assert service.terminate() == 0


def test_a_clock_that_stays_wrong_empties_nothing_at_once(
    service: ServiceProcess, faults: Faults
) -> None:
    """After an hour it is believed, and then a tenth of the rows may go in a pass."""
    faults["clock_offset_s"] = JUMPS_S["10 years ahead"]
    service.start(ready=True)
    faults["monotonic_offset_s"] += DISTRUST_S
    faults["clock_offset_s"] += DISTRUST_S
    service.wait_for(lambda: count(service) < ROWS, within_s=30)
    left = count(service)
    assert left >= ROWS - ROWS // 10
    service.wait_for(lambda: service.get("/health/ready").status == 200)
    let_pass(service, faults, 2 * STEP_S)
    assert 0.8 * ROWS - 10 <= count(service) < left
    assert service.terminate() == 0


@pytest.mark.parametrize("rows", [FEW_ROWS])
def test_rows_from_a_wrong_clock_do_not_stay_for_ever(
    service: ServiceProcess, faults: Faults
) -> None:
    """What was written while the clock was ten years ahead goes with what came after it."""
    faults["clock_offset_s"] = JUMPS_S["10 years ahead"]
    service.start(ready=True)
    for number in range(3):
        says(service, f"from the future {number}")
    faults["clock_offset_s"] = 0
    says(service, "from today")
    assert service.terminate() == 0
    faults["clock_offset_s"] = 2 * DAY_S  # two days later, and an hour after the start
    service.start(ready=True)
    faults["monotonic_offset_s"] += DISTRUST_S
    faults["clock_offset_s"] += DISTRUST_S
    service.wait_for(lambda: count(service) < FEW_ROWS, within_s=30)
    while count(service):
        let_pass(service, faults, 2 * STEP_S)
    assert service.terminate() == 0
