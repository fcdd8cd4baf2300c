"""How much of each experiment is run: the quick version of `make test`, or all of `make soak`.

One table, so that nobody has to look for the figures in the tests. Names end in their unit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The quick version. What a full run does differently is said in FULL."""

    is_full: bool = False

    # -- the process and the broker ----------------------------------------------------------
    kills: int = 3
    kill_messages_per_s: int = 1_000
    qos2_kills: int = 2
    stops: int = 2
    callbacks: int = 5
    hang_s: float = 30  # at most: once it was seen it is over
    stalled_after_s: float = 2  # all three go round each second
    seen_within_s: float = 10
    fault_messages_per_s: int = 200
    broker_stops: int = 2
    broker_away_s: float = 0.5
    freeze_s: float = 2
    resets: int = 5
    black_holes: int = 1
    black_hole_s: float = 2
    reconnects: int = 3
    absence_s: float = 1
    absence_messages_per_s: int = 500
    readers_s: float = 2
    connects: int = 150
    fuzz_requests: int = 300
    fuzz_frames: int = 300
    fuzz_packets: int = 200
    soak_messages: int = 15_000
    soak_cap: int = 5_000
    soak_s: float = 2

    # -- the disk and the clock --------------------------------------------------------------
    power_cuts: int = 16
    power_cut_restarts: int = 1
    power_cut_messages: int = 200
    disk_faults: int = 5
    disk_faults_at_start: int = 3
    full_disk_s: int = 1
    recovery_s: float = 15.0  # the machine may be busy with other tests
    stranger_locks_s: int = 3
    stranger_reads_s: int = 2
    stranger_pad_bytes: int = 8_000  # so that the log is large soon


QUICK = Scale()
FULL = Scale(
    is_full=True,
    kills=50,
    qos2_kills=20,
    stops=20,
    power_cuts=200,
    power_cut_restarts=200,
    power_cut_messages=4_000,
    callbacks=100,
    hang_s=60,
    stalled_after_s=30,  # as it is in the product
    seen_within_s=45,
    broker_stops=20,
    broker_away_s=4,
    freeze_s=60,
    resets=50,
    black_holes=5,
    black_hole_s=30,
    reconnects=20,
    absence_s=60,
    absence_messages_per_s=50,
    readers_s=60,
    connects=1_000,
    fuzz_requests=10_000,
    fuzz_frames=10_000,
    fuzz_packets=10_000,
    soak_messages=int(os.environ.get("SOAK_MESSAGES", "8600000")),
    soak_cap=100_000,
    soak_s=float(os.environ.get("SOAK_S", "3600")),
    disk_faults=800,
    disk_faults_at_start=200,
    full_disk_s=20,
    recovery_s=5.0,
    stranger_locks_s=30,
    stranger_reads_s=120,
    stranger_pad_bytes=0,
)


def of_this_run() -> Scale:
    """Return the table that the environment asks for."""
    return FULL if os.environ.get("SOAK") == "true" else QUICK
