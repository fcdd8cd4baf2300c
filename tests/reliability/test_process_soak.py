"""A day's messages as fast as they go, then an hour at 100 a second: nothing grows or is lost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.reliability.findings import memory_bytes, open_files, threads, wait_until_stored
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.service_process import ServiceProcess

MIB = 1024 * 1024
QUIET_MESSAGES_PER_S = 100
SAMPLES = 60
# mosquitto drops what is queued beyond max_queued_messages, 100,000 as we ship it.
BACKLOG = 50_000
# The WAL is cut back to this after a checkpoint.
WAL_BYTES = 8 * MIB


def slope_per_h(samples: list[tuple[float, float]]) -> float:
    """Return the slope of the line through (seconds, figure), an hour (least squares)."""
    times, figures = zip(*samples, strict=True)
    mean_time, mean = sum(times) / len(times), sum(figures) / len(figures)
    square = sum((at - mean_time) ** 2 for at in times)
    product = sum((at - mean_time) * (one - mean) for at, one in samples)
    return 3_600 * product / square


def file_bytes(service: ServiceProcess) -> tuple[int, int]:
    """Return the sizes of the database and its write-ahead log."""
    sizes = service.get("/stats").json()
    return sizes["database_bytes"], sizes["wal_bytes"]


@pytest.mark.needs_mosquitto
def test_a_day_and_an_hour(service: ServiceProcess, broker: Any, scale: Scale) -> None:
    """8.6 million messages, a cap of 100,000: none lost; then memory is level for an hour, and so
    are files and threads; the database and its log stay at what the cap takes."""
    service.start(ready=True, MQTT_CLEAN_SESSION="false", MAX_HISTORY_SIZE=str(scale.soak_cap))
    assert service.process is not None
    pid = service.process.pid

    def stored() -> int:
        """How many were stored; the device keeps less ahead of that than the broker queues."""
        found: int = service.get("/stats").json()["stored_total"]
        publisher.limit = found + BACKLOG
        return found

    with Publisher(broker.port, 1e6, topics=200, pad_bytes=100) as publisher:
        began = time.monotonic()
        service.wait_for(lambda: stored() > 2 * scale.soak_cap, within_s=600)
        full_bytes = sum(file_bytes(service))  # the cap is reached, and all that it takes is there
        service.wait_for(lambda: stored() >= scale.soak_messages, within_s=7_200)
        sent = publisher.finish()
        took_s = time.monotonic() - began
    service.wait_for(lambda: service.get("/stats").json()["stored_total"] >= sent, within_s=600)
    stats = service.get("/stats").json()
    assert stats["stored_total"] == sent, "stored more or less than was sent"
    assert stats["total_messages"] == scale.soak_cap
    database_bytes, wal_bytes = file_bytes(service)
    handles, running = open_files(pid), threads(pid)
    samples = []
    with Publisher(broker.port, QUIET_MESSAGES_PER_S, topics=200, pad_bytes=100) as publisher:
        began = time.monotonic()
        for number in range(SAMPLES):
            time.sleep(scale.soak_s / SAMPLES)  # the length of the load: it is the experiment
            if number >= SAMPLES // 6:  # what a change of load moves has settled
                samples.append((time.monotonic() - began, memory_bytes(pid) / MIB))
        more = publisher.finish()
    wait_until_stored(service, scale.soak_cap)
    service.wait_for(lambda: service.get("/stats").json()["stored_total"] >= sent + more)
    slope = slope_per_h(samples)
    quiet_bytes, quiet_wal_bytes = file_bytes(service)
    print(
        f"{sent} messages in {took_s:.0f} s, then {more} in {scale.soak_s:g} s; files"
        f" {full_bytes / MIB:.1f} MiB at the cap; database {quiet_bytes / MIB:.1f} and"
        f" WAL {quiet_wal_bytes / MIB:.1f} MiB at the end; memory {samples[-1][1]:.1f} MiB, slope"
        f" {slope:+.2f} MiB an hour; {open_files(pid)} handles, {threads(pid)} threads"
    )
    assert service.get("/stats").json()["stored_total"] == sent + more
    assert max(database_bytes, quiet_bytes) <= 1.1 * full_bytes + MIB
    assert max(wal_bytes, quiet_wal_bytes) <= 1.1 * WAL_BYTES
    assert abs(open_files(pid) - handles) <= 3
    assert threads(pid) <= running + 2
    if scale.is_full:
        assert slope < 1
    assert service.terminate() == 0
