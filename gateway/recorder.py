"""The one consumer of the mailbox: take, append, acknowledge, hand to the hub.

Answers for: the order of those four, and going on while the database cannot be written. Does not:
know the broker, SQL or sockets.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.crowd import CrowdRest
from gateway.decisions import explain, explain_removal, explain_unstored
from gateway.hub import Hub
from gateway.mailbox import Connected, Delivery, Item, Mailbox
from gateway.metrics import Metrics
from gateway.redelivery import RedeliveryWindow
from gateway.relief import Relief
from gateway.upkeep import Upkeep
from store.counted import counted
from store.errors import HistoryDamaged, HistoryUnavailable
from store.history import History
from store.message import Message

log = logging.getLogger(__name__)

# One transaction: large enough that its fixed cost vanishes, small enough to commit in some 30 ms.
MAX_BATCH = 2_000
# How often a database that cannot be written is tried again: recovery is to be seen within 5 s.
RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Batch:
    deliveries: list[Delivery]
    messages: list[Message]  # those to be stored


class Recorder:
    """Moves messages from the mailbox into the history and on. Lives on the event loop.

    After the commit `acknowledge` and the hub are called in one tick, in this order.
    `trouble` is why the history cannot be written, or None; `on_change` is called when it changes.
    `begin_anew` has the broker deliver again what was not acknowledged.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        history: History,
        metrics: Metrics,
        *,
        acknowledge: Callable[[Sequence[Delivery]], None],
        begin_anew: Callable[[], None],
        hub: Hub,
        now_us: Callable[[], int],
        monotonic: Callable[[], float],
        gather_s: float = 0,
        on_change: Callable[[], None] = lambda: None,
        on_new_log: Callable[[], None] = lambda: None,
    ) -> None:
        self._mailbox = mailbox
        self._history = history
        self._metrics = metrics
        self._acknowledge = acknowledge
        self._begin_anew = begin_anew
        self._undone: deque[list[Item]] = deque()
        self._hub = hub
        self._monotonic = monotonic
        self._gather_s = gather_s
        self._on_change = on_change
        self._rest = CrowdRest(monotonic)
        self._relief = Relief(lambda: history.wal_bytes, monotonic)
        self._window = RedeliveryWindow()
        self._consuming: asyncio.Task[None] | None = None
        self._upkeep = Upkeep(
            history, metrics, now_us=now_us, monotonic=monotonic, on_new_log=on_new_log
        )
        self.trouble: str | None = None

    @property
    def last_prune_us(self) -> int | None:
        """When retention last removed something, or None."""
        return self._upkeep.last_prune_us

    async def start(self) -> None:
        """Begin to consume, and to look after the history."""
        try:
            window = await self._history.window()
        except HistoryDamaged:
            await self._upkeep.begin_afresh()
            window = []
        self._window.restore(window)
        await self._upkeep.start()
        self._consuming = asyncio.create_task(self._consume())

    async def stop(self, within_s: float) -> None:
        """Store what waits, for `within_s` seconds at most, then end."""
        deadline = asyncio.get_running_loop().time() + within_s
        while self._mailbox.depth and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        if self._mailbox.depth:
            log.warning("stopping with %s not stored", counted(self._mailbox.depth, "message"))
        await self._upkeep.stop()
        if self._consuming is not None:
            self._consuming.cancel()
            await asyncio.gather(self._consuming, return_exceptions=True)

    async def _consume(self) -> None:
        while True:
            try:
                await self._record(await self._take())
            except Exception:  # the task must live
                self._metrics.failures.caught("recorder", "messages were dropped by an error")
                self._drop_undone()

    async def _record(self, items: list[Item]) -> None:
        gather_s = max(self._gather_s, self._relief.seconds())
        if gather_s and len(items) < MAX_BATCH:
            await asyncio.sleep(gather_s)
        if not self._rest.is_over:
            await self._rest.wait(lambda: self._mailbox.depth)
        if len(items) < MAX_BATCH and not self._mailbox.is_empty:
            items += await self._mailbox.take(MAX_BATCH)
        batch = self._sorted(items)
        stored = await self._store(batch)
        if stored is None:
            await self._endure(batch)
        else:
            began = self._monotonic()
            self._hub.publish(stored)  # in the same tick as the acknowledgement
            self._metrics.shown(stored)
            self._rest.begin(self._hub.reader_count, began)
            if self.trouble is not None:  # an error ended the enduring
                self._set_trouble(None)

    async def _take(self) -> list[Item]:
        items = await self._mailbox.take(MAX_BATCH)
        self._undone.append(items)
        return items

    def _drop_undone(self) -> None:
        """Make room, acknowledge nothing, and let the broker deliver it again."""
        while self._undone:
            items = self._undone.popleft()
            self._metrics.dropped["error"] += sum(
                isinstance(item, Delivery) and not item.message.qos for item in items
            )
            self._mailbox.done(items)
        self._window.dropped()
        self._begin_anew()

    async def _store(self, batch: _Batch) -> list[Message] | None:
        """Append and acknowledge; return what was stored, or None when that failed."""
        began, before = self._monotonic(), self._history.totals()
        try:
            stored = await self._append(batch)
        except HistoryUnavailable as error:
            self._metrics.write_failures[error.cause] += 1
            self._set_trouble(str(error), error.in_full)
            return None
        except Exception:  # the task must live: it is tried again, and /health says so
            self._metrics.failures.caught("recorder", "messages could not be stored")
            self._set_trouble("messages cannot be stored: an unexpected error, which the log has")
            return None
        self._window.stored(batch.messages)
        self._acknowledge(batch.deliveries)
        self._mailbox.done(self._undone[0])
        self._undone.popleft()
        self._metrics.committed(stored, self._monotonic() - began)
        explain(batch.deliveries, batch.messages, stored)
        explain_removal(before, self._history.totals(), "over MAX_HISTORY_SIZE or its bytes")
        if len(stored) < len(batch.messages):
            self._metrics.dropped["retained_repeat"] += len(batch.messages) - len(stored)
        return stored

    async def _append(self, batch: _Batch) -> list[Message]:
        try:
            return await self._history.append(
                batch.messages, self._window.change(), self._window.copies
            )
        except HistoryDamaged:
            self._metrics.write_failures["damaged"] += 1
            await self._upkeep.begin_afresh()
        return await self._history.append(
            batch.messages, self._window.change(), self._window.copies
        )

    async def _endure(self, first: _Batch) -> None:
        """While nothing can be stored: show each message once, without an id, and keep it.

        The mailbox counts what is kept, so its bound holds; the broker waits beyond it.
        """
        kept = deque([(first, self._show_unstored(first))])
        while kept:
            try:
                async with asyncio.timeout(RETRY_S):
                    while True:
                        batch = self._sorted(await self._take())
                        kept.append((batch, self._show_unstored(batch)))
                        await asyncio.sleep(0)  # a full mailbox is emptied in many turns
            except TimeoutError:
                pass
            while kept and (stored := await self._store(kept[0][0])) is not None:
                self._hub.pass_over(stored, kept.popleft()[1])
        self._set_trouble(None)

    def _show_unstored(self, batch: _Batch) -> int:
        explain_unstored(batch.messages)
        return self._hub.publish(batch.messages)

    def _sorted(self, items: list[Item]) -> _Batch:
        batch = _Batch([], [])
        for item in items:
            if isinstance(item, Connected):
                self._window.connected(item)
                continue
            batch.deliveries.append(item)
            if item.not_wanted:
                continue
            if item.extra_copy:
                self._metrics.dropped["extra_copy"] += 1
                self._window.copied(item)
            elif self._window.is_known(item):
                self._metrics.dropped["redelivered"] += 1
            else:
                batch.messages.append(item.message)
        return batch

    def _set_trouble(self, trouble: str | None, in_full: str = "") -> None:
        """Take note of why nothing can be stored, and for the log of what SQLite says of it."""
        if (trouble is None) != (self.trouble is None):
            if trouble:
                said = in_full or trouble
                log.error("%s; keeping messages in memory, trying again each %g s", said, RETRY_S)
            else:
                log.info("the history can be written again")
            self._history.note_trouble(trouble is not None)
        changed = trouble != self.trouble
        self.trouble = trouble
        if changed:
            self._on_change()
