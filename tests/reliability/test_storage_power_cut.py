"""The power is cut: what was not synced is gone, in whole or in part.

The real process runs with a library that writes down each change of its files and each packet to
and from the broker, in one order. The journal is then replayed to many points, and at each what had
not been synced is dropped, kept in part, or torn.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store.database import Database
from store.history import History
from store.message import Message
from tests.mosquitto import Mosquitto, free_port
from tests.mqtt_client import mqtt_client, publish_all
from tests.reliability.findings import assert_once_in_order, wait_until_stored
from tests.reliability.journal import (
    CREATE,
    RECEIVED,
    SENT,
    SYNC,
    WRITE,
    Acknowledgements,
    Disk,
    Entry,
    read_journal,
)
from tests.reliability.scale import Scale
from tests.reliability.storage_faults import Faults
from tests.service_process import ServiceProcess

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.needs_gcc]


def live(service: ServiceProcess, broker: Mosquitto, count: int, chance: random.Random) -> None:
    """Two lives of the process: one that is killed, and one that ends in order."""
    sent = 0
    with mqtt_client(broker.port) as client:
        for life in range(2):
            service.start(ready=True)
            while sent < count * (life + 1) // 2:
                burst = min(chance.choice((1, 1, 5, 100)), count - sent)
                size = chance.choice((10, 300, 3_000))
                batch = [(f"a/{n % 7}", f"{n} {'x' * size}") for n in range(sent, sent + burst)]
                publish_all(client, batch)
                sent += burst
            if life:
                wait_until_stored(service, count)
                numbers = [int(payload.split()[0]) for _, payload in rows(service.database)]
                assert_once_in_order(numbers, count)
                assert service.terminate() == 0
            else:
                service.kill()


def cut_points(entries: list[Entry], count: int, chance: random.Random) -> list[int]:
    """Choose where to cut: anywhere, and as often where something other than the log changes."""
    names = {entry.name for entry in entries if entry.kind == CREATE}
    anywhere = [n for n, one in enumerate(entries) if one.kind not in (RECEIVED, SENT)]
    seldom = [
        n
        for n in anywhere
        if entries[n].kind not in (WRITE, SYNC) or not entries[n].name.endswith("-wal")
    ]
    assert len(names) >= 3 and len(anywhere) > count
    cuts = set(chance.sample(seldom, min(len(seldom), count // 2)))
    cuts |= set(chance.sample(sorted(set(anywhere) - cuts), count - len(cuts)))
    return sorted(cuts)


def put_down(files: dict[str, bytes], directory: Path) -> Path:
    """Write the files of a disk into a directory of their own; return the database."""
    directory.mkdir()
    for name, content in files.items():
        (directory / Path(name).name).write_bytes(content)
    return directory / "history.db"


def rows(path: Path) -> list[tuple[int, str]]:
    """Return (id, payload) of what is in a sound database; none when there is no table yet."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if connection.execute("PRAGMA user_version").fetchone() == (0,):
            return []
        return connection.execute("SELECT id, payload FROM message ORDER BY id").fetchall()


async def next_id(path: Path) -> int:
    """Open the database as the service does, and store one more message."""
    database = await Database.open(path)
    try:
        assert not database.quarantined
        history = await History.open(database, now_us=1)
        (stored,) = await history.append([Message("after", "the cut", 1)])
        return stored.id or 0
    finally:
        await database.close()


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_after_a_power_cut_the_history_opens_and_has_what_was_acknowledged(
    faults: Faults, tmp_path: Path, scale: Scale, chance: random.Random, synchronous: str
) -> None:
    """HISTORY_SYNCHRONOUS=full: every message the broker was told of is there. With normal it may
    be gone, but the file is sound, and no id is given out a second time."""
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    journal = tmp_path / "journal"
    service = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        MQTT_CLEAN_SESSION="false",
        MQTT_PROTOCOL="5",
        MQTT_BROKER_STATS="off",
        MAX_HISTORY_SIZE="0",
        HISTORY_SYNCHRONOUS=synchronous,
        **faults.environment(tmp_path / "history.db", journal=journal, port=broker.port),
    )
    try:
        live(service, broker, scale.power_cut_messages, chance)
    finally:
        service.kill()
        broker.stop()
    entries = read_journal(journal)
    cuts = cut_points(entries, scale.power_cuts, chance)
    restarts = set(chance.sample(cuts, scale.power_cut_restarts))
    disk, told = Disk(), Acknowledgements()
    for number, entry in enumerate(entries):
        disk.apply(entry)
        told.apply(entry)
        if number in cuts:
            look(disk, told, tmp_path / f"cut-{number}", chance, synchronous, number in restarts)
    assert len(told.payloads) == scale.power_cut_messages, "the journal has all acknowledgements"


def look(
    disk: Disk,
    told: Acknowledgements,
    directory: Path,
    chance: random.Random,
    synchronous: str,
    restart: bool,
) -> None:
    """Cut the power here, and see what is left."""
    before = rows(put_down(disk.as_the_process_sees_it(), directory.with_suffix(".before")))
    files = disk.after_a_power_cut(chance)
    path = put_down(files, directory)
    after = rows(path)
    payloads = [payload for _, payload in after]
    assert len(set(payloads)) == len(payloads)
    assert payloads == sorted(payloads, key=lambda payload: int(payload.split()[0]))
    if synchronous == "full":
        assert told.payloads <= set(payloads)
    if restart:
        restarted(put_down(files, directory.with_suffix(".restart")), len(after))
    assert asyncio.run(next_id(path)) > max([0, *(message_id for message_id, _ in before)])


def restarted(path: Path, count: int) -> None:
    """Start the real process on it: it has what is there, and nothing to complain of."""
    service = ServiceProcess(path.parent, MQTT_BROKER_PORT=str(free_port()), MAX_HISTORY_SIZE="0")
    service.start()
    try:
        health = service.get("/health").json()
        assert health["message_count"] == count
        assert not [reason for reason in health["reasons"] if "broker" not in reason]
        assert service.terminate() == 0
    finally:
        service.kill()
