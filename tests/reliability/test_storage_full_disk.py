"""The disk is full, for a while: nothing acknowledged is lost, and nobody has to do anything."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.reliability.findings import assert_once_in_order, stored_numbers, wait_until_stored
from tests.reliability.onlookers import Asker, LiveReader
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.reliability.storage_faults import FULL, Faults
from tests.service_process import ServiceProcess

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.needs_gcc]

DISK_MIB = 96
RATE_PER_S = 200
PAD_BYTES = 8_000


class Disk(Protocol):
    """Where the history is."""

    directory: Path

    def fill(self, *, ballast_is_enough: bool = False) -> None:
        """Leave no room; what the ballast takes may be all that is needed."""

    def free(self) -> None:
        """Give the room back."""


class SmallDisk:
    """A file system of its own in memory, and another program's file that fills it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._other = directory / "of another program"

    def fill(self, *, ballast_is_enough: bool = False) -> None:
        """Write until nothing fits any more."""
        try:
            with self._other.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError as error:
            assert error.errno == FULL

    def free(self) -> None:
        """Remove the other file."""
        self._other.unlink()


class RefusingDisk:
    """Where nothing may be mounted: the same answers, from the library of faults."""

    def __init__(self, directory: Path, faults: Faults) -> None:
        self.directory = directory
        self._faults = faults

    def fill(self, *, ballast_is_enough: bool = False) -> None:
        """Let every write fail."""
        self._faults["weight"] = ballast_is_enough
        self._faults.fail("write", 1, FULL, until_healed=True)

    def free(self) -> None:
        """Let them work again."""
        self._faults.heal()


@pytest.fixture
def disk(tmp_path: Path, faults: Faults) -> Iterator[Disk]:
    """A small disk; a pretended one where this user may not mount."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(directory)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        print("nothing may be mounted: the disk is pretended")
        yield RefusingDisk(directory, faults)
        return
    yield SmallDisk(directory)
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_a_full_disk_and_room_again(
    disk: Disk, broker: Any, faults: Faults, tmp_path: Path, scale: Scale
) -> None:
    """Readers go on, live ones without ids; once there is room, all is stored by itself."""
    database = disk.directory / "history.db"
    service = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        MAX_HISTORY_SIZE="0",
        HISTORY_DB=str(database),
        WS_HEARTBEAT_INTERVAL="2",  # a reader is not left without a word while nothing comes
        **faults.environment(database),
    )
    service.start(ready=True)
    ballast = Path(f"{database}.ballast")
    assert ballast.exists()
    try:
        with (
            Publisher(broker.port, RATE_PER_S, pad_bytes=PAD_BYTES) as publisher,
            LiveReader(service) as reader,
        ):
            wait_until_stored(service, 1)
            disk.fill()
            with Asker(service, "/messages?limit=20", "/topics", "/stats") as asker:
                # The broker sends no more than its window of 20 until one is acknowledged.
                service.wait_for(lambda: reader.without_id > 0, within_s=60)
                full_at = publisher.sent
                service.wait_for(
                    lambda: publisher.sent > full_at + RATE_PER_S * scale.full_disk_s,
                    within_s=10 * scale.full_disk_s + 10,
                )
            assert asker.bad == [] and len(asker.times_s) > 10
            health = service.get("/health").json()
            assert health["status"] == "degraded"
            assert any("full" in reason for reason in health["reasons"]), health
            assert service.get("/health/ready").status == 503
            assert service.get("/stats").json()["write_failures_total"]["full"] > 0
            assert not ballast.exists()
            disk.free()
            service.wait_for(
                lambda: service.get("/health").json()["reasons"] == [], scale.recovery_s
            )
            count = publisher.finish()
            wait_until_stored(service, count)
            service.wait_for(lambda: len(reader.seen) >= count - reader.seen[0][1])
        numbers = [number for _, number in reader.seen]
        assert numbers == list(range(numbers[0], count)), "shown once, in order"
        assert reader.states[-2:] == ["degraded", "ok"]
        assert_once_in_order(stored_numbers(database), count)
        assert ballast.exists()
        assert service.terminate() == 0
        log = service.log()
        assert log.count("the history cannot be written") == 1, log
        assert log.count("the history can be written again") == 1, log
        assert "Traceback" not in log, log
    finally:
        service.kill()


def test_a_start_on_a_full_disk(disk: Disk, broker: Any, faults: Faults, tmp_path: Path) -> None:
    """The room of the ballast is enough to start, to store for a while, and to stop in order."""
    database = disk.directory / "history.db"
    service = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        HISTORY_DB=str(database),
        MAX_HISTORY_SIZE="50",
        **faults.environment(database),
    )
    service.start(ready=True)
    assert service.terminate() == 0
    disk.fill(ballast_is_enough=True)
    service.start(ready=True)
    try:
        with Publisher(broker.port, RATE_PER_S) as publisher:
            service.wait_for(lambda: publisher.sent >= 200)
            count = publisher.finish()
            service.wait_for(lambda: service.get("/stats").json()["newest_id"] >= count)
        assert service.get("/health/ready").status == 200
        if isinstance(disk, SmallDisk):  # a pretended one has room for the ballast again
            assert "hardly any room" in str(service.get("/health").json()["reasons"])
        assert service.terminate() == 0
        assert stored_numbers(database) == list(range(count - 50, count))
    finally:
        service.kill()
