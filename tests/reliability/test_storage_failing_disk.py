"""The disk refuses a write or a sync, once or for a while: ENOSPC and EIO, wherever it hurts."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.findings import (
    assert_once_in_order,
    assert_sound,
    stored_numbers,
    wait_until_stored,
)
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.reliability.storage_faults import BROKEN, FULL, Faults
from tests.service_process import ServiceProcess

pytestmark = [pytest.mark.needs_mosquitto, pytest.mark.needs_gcc]

KINDS = tuple(itertools.product(("write", "sync"), (FULL, BROKEN)))
CANNOT_START = 75
SENTENCE = "^(the disk of the database .*|the history cannot be written: .*)$"
# What the journal of a commit needs: some writes of each kind come with every few messages.
RATE_PER_S = 200
PAD_BYTES = 1_500


@pytest.fixture
def service(broker: Any, faults: Faults, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The process on the disk of `faults`, every commit synced, with a session that lasts."""
    process = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        MQTT_CLEAN_SESSION="false",
        MAX_HISTORY_SIZE="0",
        HISTORY_SYNCHRONOUS="full",
        **faults.environment(tmp_path / "history.db"),
    )
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


@contextmanager
def faulty(faults: Faults, what: str, number: int, code: int, sticky: bool) -> Iterator[None]:
    """The fault is armed within this, and healed at its end; what was armed is in the output."""
    print(f"{what} {number} with errno {code}{', and all after it' if sticky else ''}")
    faults.fail(what, number, code, until_healed=sticky)
    yield
    faults.heal()


def test_the_nth_write_or_sync_fails_while_running(
    service: ServiceProcess, broker: Any, faults: Faults, scale: Scale, chance: random.Random
) -> None:
    """Whatever fails, the process lives, stores everything once and in order, and is well again by
    itself."""
    service.start(ready=True)
    with Publisher(broker.port, RATE_PER_S, pad_bytes=PAD_BYTES) as publisher:
        for number, (what, code) in chosen(scale.disk_faults, chance):
            with faulty(faults, what, number, code, sticky=chance.random() < 0.3):
                service.wait_for(lambda: faults["failed"], within_s=120)
            service.wait_for(lambda: not troubles(service))
            assert service.process is not None and service.process.poll() is None
        count = publisher.finish()
        wait_until_stored(service, count)
    assert_once_in_order(stored_numbers(service.database), count)
    assert service.terminate() == 0
    assert_sound(service.database, service.directory / "scratch")
    assert "damaged" not in service.log()


def chosen(count: int, chance: random.Random) -> list[tuple[int, tuple[str, int]]]:
    """Return which write or sync fails how: all of them when so many are asked for."""
    everything = list(itertools.product(range(1, 201), KINDS))
    return everything if count >= len(everything) else chance.sample(everything, count)


def troubles(service: ServiceProcess) -> list[str]:
    """Return what /health complains of."""
    reasons: list[str] = service.get("/health").json()["reasons"]
    return reasons


def test_the_nth_write_or_sync_fails_from_the_start_on(
    service: ServiceProcess, broker: Any, faults: Faults, scale: Scale, chance: random.Random
) -> None:
    """The start ends with one sentence and status 75, or works; the next one has everything."""
    service.start(ready=True)  # makes the session, so that nothing published later is lost
    with Publisher(broker.port, RATE_PER_S, pad_bytes=PAD_BYTES) as publisher:
        for number in sorted(chance.sample(range(1, 201), scale.disk_faults_at_start)):
            service.kill()
            what, code = chance.choice(KINDS)
            with faulty(faults, what, number, code, sticky=chance.random() < 0.5):
                service.start(wait=False)
                assert service.process is not None
                service.wait_for(lambda: faults["failed"] or ended(service), within_s=120)
                if chance.random() < 0.5:
                    service.wait_for(lambda: ended(service) or is_up(service))
            if ended(service):
                assert service.process.returncode == CANNOT_START, service.log()
                assert re.search(SENTENCE, service.log().splitlines()[-1]), service.log()
        if not ended(service):
            service.wait_for(lambda: not troubles(service))
            service.kill()
        service.start(ready=True)
        count = publisher.finish()
        wait_until_stored(service, count)
    assert_once_in_order(stored_numbers(service.database), count)
    assert service.terminate() == 0
    assert_sound(service.database, service.directory / "scratch")
    assert "damaged" not in service.log()


def ended(service: ServiceProcess) -> bool:
    """Whether the process is gone."""
    return service.process is None or service.process.poll() is not None


def is_up(service: ServiceProcess) -> bool:
    """Whether it answers."""
    try:
        return service.get("/health/live").status == 200
    except OSError:
        return False
