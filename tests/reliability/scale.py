"""How much of each experiment is run: the quick version of `make test`, or all of `make soak`.

One table, so that nobody has to look for the figures in the tests. Names end in their unit.
"""

from __future__ import annotations

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

    # -- the disk and the clock --------------------------------------------------------------
    power_cuts: int = 24
    power_cut_restarts: int = 2
    power_cut_messages: int = 400


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
)
