"""Somebody's `sqlite3` beside the service: one that locks the file, one that reads for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.findings import assert_once_in_order, stored_numbers, wait_until_stored
from tests.reliability.onlookers import Asker, LiveReader
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.needs_mosquitto

RATE_PER_S = 300
PATHS = ("/messages?limit=50", "/health", "/stats")
# What the write-ahead log may take, whoever reads for how long, and what is left of it after.
WAL_MOST_BYTES = 64_000_000
WAL_AFTER_BYTES = 8_000_000
WAL_AFTER_S = 10


@pytest.fixture
def service(broker: Any, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A running service that keeps everything."""
    process = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        MAX_HISTORY_SIZE="0",
        RATE_LIMIT_ENABLED="false",
    )
    process.start(ready=True)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def until_sent(service: ServiceProcess, publisher: Publisher, seconds: float) -> None:
    """Wait until the publisher has been at it for so long."""
    target = publisher.sent + RATE_PER_S * seconds
    service.wait_for(lambda: publisher.sent >= target, within_s=5 * seconds + 10)


def test_a_stranger_holds_the_write_lock(
    service: ServiceProcess, broker: Any, scale: Scale
) -> None:
    """Nothing is lost, live readers go on, questions are answered, the log says it once."""
    with (
        Publisher(broker.port, RATE_PER_S) as publisher,
        LiveReader(service) as reader,
        Asker(service, *PATHS) as asker,
        closing(sqlite3.connect(service.database, isolation_level=None)) as stranger,
    ):
        wait_until_stored(service, 1)
        stranger.execute("PRAGMA busy_timeout = 10000")
        stranger.execute("BEGIN IMMEDIATE")
        until_sent(service, publisher, scale.stranger_locks_s)
        service.wait_for(lambda: reader.without_id > 0)
        assert "locked" in str(service.get("/health").json()["reasons"])
        stranger.execute("ROLLBACK")
        service.wait_for(lambda: service.get("/health").json()["reasons"] == [], scale.recovery_s)
        count = publisher.finish()
        wait_until_stored(service, count)
    assert_once_in_order(stored_numbers(service.database), count)
    assert asker.bad == []
    print(f"HTTP p99 {asker.p99_ms} ms of {len(asker.times_s)}")
    assert service.log().count("the history cannot be written") == 1
    assert service.log().count("the history can be written again") == 1


def test_a_stranger_reads_for_long(service: ServiceProcess, broker: Any, scale: Scale) -> None:
    """The log that his reading pins stays within its bound, and is cut back once he has gone."""
    wal = Path(f"{service.database}-wal")
    largest = 0
    with (
        Publisher(broker.port, RATE_PER_S, pad_bytes=scale.stranger_pad_bytes) as publisher,
        Asker(service, *PATHS) as asker,
        closing(sqlite3.connect(service.database, isolation_level=None)) as stranger,
    ):
        wait_until_stored(service, 1)
        stranger.execute("BEGIN")
        seen = stranger.execute("SELECT count(*) FROM message").fetchone()
        for _ in range(scale.stranger_reads_s):
            until_sent(service, publisher, 1)
            largest = max(largest, wal.stat().st_size)
        service.wait_for(lambda: wal.stat().st_size > WAL_AFTER_BYTES)  # it cannot be cut back
        largest = max(largest, wal.stat().st_size)
        assert seen == stranger.execute("SELECT count(*) FROM message").fetchone()
        assert largest < WAL_MOST_BYTES
        stranger.execute("ROLLBACK")
        service.wait_for(lambda: wal.stat().st_size < WAL_AFTER_BYTES, WAL_AFTER_S)
        count = publisher.finish()
        wait_until_stored(service, count)
    assert_once_in_order(stored_numbers(service.database), count)
    assert asker.bad == []
    print(f"HTTP p99 {asker.p99_ms} ms of {len(asker.times_s)}; WAL at most {largest:,} bytes")
