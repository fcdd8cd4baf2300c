"""The database file is damaged, before the start and while the service runs."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store.database import Database
from store.history import History
from store.message import Message
from tests.mosquitto import free_port
from tests.reliability.findings import stored_numbers
from tests.reliability.onlookers import LiveReader
from tests.reliability.publisher import Publisher
from tests.reliability.scale import of_this_run
from tests.service_process import ServiceProcess
from tests.streams.reading import event_stream

PAGE = 4096
ROWS = 2_000
CHECKPOINTED_BYTES = 1_000_000
# Within so long it is up again, or has begun afresh.
UP_WITHIN_S = of_this_run().recovery_s
Damage = Callable[[Path], None]


def _with(change: Callable[[bytearray], None]) -> Damage:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(bytes(content))

    return damage


def _not_a_database(content: bytearray) -> None:
    content[:] = b"this is no database\n" * 5_000


def _half_is_gone(content: bytearray) -> None:
    del content[len(content) // 2 :]


def _zeroed_pages(content: bytearray) -> None:
    content[3 * PAGE : 9 * PAGE] = bytes(6 * PAGE)


def _one_byte_of_the_schema(content: bytearray) -> None:
    content[100] ^= 0xFF


def _no_header(content: bytearray) -> None:
    content[:100] = bytes(100)


def _noise(content: bytearray) -> None:
    content[PAGE:] = random.Random(7).randbytes(len(content) - PAGE)


SIX_KINDS = (
    _not_a_database,
    _half_is_gone,
    _zeroed_pages,
    _one_byte_of_the_schema,
    _no_header,
    _noise,
)


def _removed(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        Path(f"{path}{part}").unlink()


async def _fill(path: Path) -> str:
    database = await Database.open(path)
    history = await History.open(database, now_us=1)
    await history.append([Message(f"a/{n % 9}", str(n) * 50, 1 + n) for n in range(ROWS)])
    await database.close()  # but not the history: as after a kill
    return history.totals().epoch


@pytest.fixture(scope="module")
def left_by_a_kill(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sound database whose process was killed, and its epoch."""
    path = tmp_path_factory.mktemp("sound") / "history.db"
    return path, asyncio.run(_fill(path))


@pytest.mark.parametrize("damage", SIX_KINDS, ids=lambda damage: damage.__name__.strip("_"))
def test_damaged_before_the_start(
    left_by_a_kill: tuple[Path, str], tmp_path: Path, damage: Callable[[bytearray], None]
) -> None:
    """It starts with a new log and says so; the file is kept as it was; the next start is clean."""
    sound, epoch = left_by_a_kill
    service = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(free_port()), MAX_HISTORY_SIZE="0")
    shutil.copy(sound, service.database)
    _with(damage)(service.database)
    content = service.database.read_bytes()
    service.start()
    try:
        service.wait_for(lambda: service.get("/health").status == 200, UP_WITHIN_S)
        reasons = service.get("/health").json()["reasons"]
        (aside,) = (path for path in tmp_path.glob("*.damaged-*Z"))
        assert f"the database was damaged and moved to {aside.name}" in reasons
        assert f"it was moved to {aside}" in service.log()
        assert aside.read_bytes() == content
        assert service.get("/stats").json()["epoch"] != epoch
        assert service.terminate() == 0
        service.start()
        assert "damaged" not in str(service.get("/health").json()["reasons"])
        assert service.terminate() == 0
        assert list(tmp_path.glob("*.damaged-*Z")) == [aside]
        assert "Traceback" not in service.log(), service.log()
    finally:
        service.kill()


WHILE_RUNNING = {
    "noise": _with(_noise),
    "half is gone": _with(_half_is_gone),
    "removed": _removed,
}


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("damage", list(WHILE_RUNNING) if of_this_run().is_full else ["noise"])
def test_damaged_while_running(broker: Any, tmp_path: Path, damage: str) -> None:
    """It goes on with a new log: what comes is stored and shown, who follows is told."""
    service = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(broker.port), MAX_HISTORY_SIZE="0")
    service.start(ready=True)
    service.post("/subscribe", {"topic": "of/a/user", "qos": 1})
    try:
        with Publisher(broker.port, 400, pad_bytes=2_000) as publisher:
            # What is only in the log yet would mend the file at the next checkpoint.
            service.wait_for(lambda: service.database.stat().st_size > CHECKPOINTED_BYTES)
            before = service.get("/stats").json()
            with LiveReader(service) as reader:
                WHILE_RUNNING[damage](service.database)
                service.wait_for(lambda: _is_new(service, before["epoch"]), UP_WITHIN_S)
                service.wait_for(lambda: not reader.is_alive())  # its positions are of another log
            begun_at = publisher.sent
            service.wait_for(lambda: publisher.sent > begun_at + 200)
            count = publisher.finish()
            service.wait_for(lambda: _newest(service) == count - 1)
        after = service.get("/stats").json()
        health = service.get("/health").json()
        assert any("was damaged and moved" in reason for reason in health["reasons"]), health
        assert after["write_failures_total"].keys() <= {"damaged"}
        numbers = stored_numbers(service.database)
        assert numbers == list(range(numbers[0], count)), "from the new beginning on, all of them"
        assert numbers[0] <= begun_at
        assert after["oldest_id"] > before["newest_id"], "no id names two messages"
        with event_stream(service, f"?after={before['epoch']}.{before['newest_id']}") as stream:
            stream.next("welcome")
            assert stream.next("gap").data["reason"] == "epoch"
            assert stream.next("message").data["id"] == after["oldest_id"]
        assert service.terminate() == 0
        service.start(ready=True)
        assert service.get("/health").json()["reasons"] == []
        assert service.terminate() == 0
        assert "Traceback" not in service.log(), service.log()
    finally:
        service.kill()


def _is_new(service: ServiceProcess, epoch: str) -> bool:
    """Ask for old and new messages, as anybody would; whether there is another log by now."""
    service.get("/messages?order=asc&limit=5000")
    answer = service.get("/stats")
    return answer.status == 200 and answer.json()["epoch"] != epoch


def _newest(service: ServiceProcess) -> int:
    messages = json.loads(service.get("/messages?limit=1").content)
    return int(messages[0]["payload"]) if messages else -1


def test_the_sound_file_is_taken_as_it_is(left_by_a_kill: tuple[Path, str], tmp_path: Path) -> None:
    """What the damages above begin with is no damage itself."""
    sound, epoch = left_by_a_kill
    with closing(sqlite3.connect(sound)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT epoch, closed_clean FROM log").fetchone() == (epoch, 0)
        assert connection.execute("SELECT count(*) FROM message").fetchone() == (ROWS,)
    shutil.copy(sound, tmp_path / "history.db")
    assert asyncio.run(_count(tmp_path / "history.db")) == ROWS


async def _count(path: Path) -> int:
    database = await Database.open(path)
    try:
        return (await History.open(database, now_us=1)).totals().message_count
    finally:
        await database.close()
