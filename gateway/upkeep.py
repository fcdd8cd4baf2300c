"""What the history needs now and then, beside new messages.

Answers for: pruning, cutting back the write-ahead log, giving back the memory that writing left,
and beginning afresh when the file is damaged. Does not: know SQL, or when messages come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.clock_trust import ClockTrust
from gateway.decisions import explain_removal
from gateway.free_memory import give_back
from gateway.metrics import Metrics
from store.errors import HistoryDamaged, HistoryUnavailable
from store.history import History

log = logging.getLogger(__name__)

PRUNE_INTERVAL_S = 30.0
PASS_FRACTION = 10
MIN_PASS_ROWS = 100
# A log that grew is cut back, and damage that a question ran into is dealt with, within this.
TIDY_INTERVAL_S = 2.0
# Holes in the heap grow slowly; one look a minute costs half a millisecond.
MEMORY_INTERVAL_S = 60.0


class Upkeep:
    """Looks after one history. Lives on the event loop.

    `on_new_log` is called when a damaged file was replaced: whoever follows the log must begin
    again, since the positions that they know are of another one.
    """

    def __init__(
        self,
        history: History,
        metrics: Metrics,
        *,
        now_us: Callable[[], int],
        monotonic: Callable[[], float],
        on_new_log: Callable[[], None] = lambda: None,
    ) -> None:
        self._history = history
        self._metrics = metrics
        self._now_us = now_us
        self._on_new_log = on_new_log
        self._clock = ClockTrust(now_us, monotonic)
        self._tasks: list[asyncio.Task[None]] = []
        self.last_prune_us: int | None = None

    async def start(self) -> None:
        """Begin."""
        self._clock.compare_with(await self._history.newest_time_us())
        self._tasks = [
            asyncio.create_task(self._for_ever("prune", self._prune_pass, PRUNE_INTERVAL_S)),
            asyncio.create_task(self._for_ever("tidy", self._tidy, TIDY_INTERVAL_S)),
            asyncio.create_task(self._for_ever("memory", self._give_back, MEMORY_INTERVAL_S)),
        ]

    async def stop(self) -> None:
        """End; safe to repeat."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin_afresh(self) -> None:
        """Replace a damaged history. HistoryUnavailable when that does not work yet."""
        if await self._history.begin_afresh(self._now_us()):
            log.warning("a new history has begun; its epoch is %s", self._history.totals().epoch)
            self._on_new_log()

    async def _for_ever(
        self, name: str, act: Callable[[], Coroutine[Any, Any, None]], interval_s: float
    ) -> None:
        failing = False
        while True:
            try:
                await act()
                failing = False
            except HistoryUnavailable as error:
                # By its cause, as a commit of the recorder that fails: `failures` are for faults of
                # the program, and raise an alert that says so.
                self._metrics.write_failures[error.cause] += 1
                if not failing:  # once for each trouble
                    log.warning("the %s step failed: %s", name, error.in_full)
                failing = True
            except Exception:  # the task must live; the next time it may work
                self._metrics.failures.caught(name, f"the {name} step failed")
            await asyncio.sleep(interval_s)

    async def _tidy(self) -> None:
        try:
            await self._history.tidy()
        except HistoryDamaged:
            await self.begin_afresh()

    async def _give_back(self) -> None:
        give_back()

    async def _prune_pass(self) -> None:
        """Remove what is too old or too much, in steps; of what is only old at most a tenth, so
        that a clock gone wrong cannot empty the log before somebody notices."""
        by_age = self._clock.is_believable()
        most = max(MIN_PASS_ROWS, self._history.totals().message_count // PASS_FRACTION)
        pruned = 0
        while pruned < most:
            before = self._history.totals()
            rows = await self._history.prune(self._now_us() if by_age else None, most - pruned)
            if not rows:
                break
            pruned += rows
            explain_removal(before, self._history.totals(), "too old, or over MAX_HISTORY_BYTES")
            self.last_prune_us = self._now_us()
            await asyncio.sleep(0)  # appends go between two steps
