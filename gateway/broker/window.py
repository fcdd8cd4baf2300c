"""Publishes that wait for the broker: so many in flight, and the others in order behind them.

Answers for: a future for each, its deadline, and who is sent next. Does not: send, or know what
an answer means. One timer watches all of them: a task and two time-outs for each publish were a
quarter of what a confirmed publish cost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Waiting:
    future: asyncio.Future[int]
    send: Callable[[], int]
    deadline: float


class Window:
    """At most `places` publishes wait for their answer at once. Lives on the event loop.

    `too_late` makes the error of one that was not even sent in time, `unconfirmed` of one that was.
    """

    def __init__(
        self,
        places: int,
        timeout_s: float,
        too_late: Callable[[], Exception],
        unconfirmed: Callable[[], Exception],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.places = places
        """May be changed: a broker says how many it takes when it accepts us."""
        self._timeout_s = timeout_s
        self._too_late = too_late
        self._unconfirmed = unconfirmed
        # In both, the one that waits longest comes first: all have the same patience.
        self._sent: dict[int, _Waiting] = {}
        self._queue: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._submitted = 0
        self._progress = asyncio.Event()

    def __len__(self) -> int:
        """How many were sent and are not answered."""
        return len(self._sent)

    def submit(self, send: Callable[[], int]) -> asyncio.Future[int]:
        """Have `send` called when it is its turn, which may be now; it returns the packet number.

        The future has that number once the publish is confirmed, or the error: of `send` or of
        `refuse`, or that it took too long.
        """
        future: asyncio.Future[int] = self._loop.create_future()
        waiting = _Waiting(future, send, self._loop.time() + self._timeout_s)
        self._queue.append(waiting)
        self._submitted += 1
        self._fill()
        if self._timer is None and not future.done():
            self._timer = self._loop.call_at(waiting.deadline, self._look)
        return future

    async def all_sent(self) -> None:
        """Wait until all that was submitted by now has left, or failed: not for those behind it,
        of which there may always be some."""
        until = self._submitted
        while self._submitted - len(self._queue) < until:
            self._progress.clear()
            await self._progress.wait()

    def confirm(self, packet_id: int) -> None:
        """The broker took it. No error when nobody waits for it any more."""
        waiting = self._sent.pop(packet_id, None)
        if waiting is not None:
            if not waiting.future.done():
                waiting.future.set_result(packet_id)
            self._fill()

    def refuse(self, packet_id: int, error: Exception) -> bool:
        """The broker did not take it; return whether anybody waits for it."""
        waiting = self._sent.pop(packet_id, None)
        if waiting is None:
            return False
        _fail(waiting, error)
        self._fill()
        return True

    def give_up(self, unsent: Exception, unconfirmed: Exception) -> None:
        """Wait no longer: those that were not sent get the one error, the others the other."""
        while self._queue:
            _fail(self._queue.popleft(), unsent)
        for waiting in self._sent.values():
            _fail(waiting, unconfirmed)
        self._sent.clear()
        self._progress.set()

    def _fill(self) -> None:
        while self._queue and len(self._sent) < self.places:
            waiting = self._queue.popleft()
            if waiting.future.done():
                continue  # who wanted it has gone
            try:
                packet_id = waiting.send()
            except Exception as error:
                _fail(waiting, error)
                continue
            if packet_id in self._sent:  # the answer will be for the later one
                _fail(self._sent.pop(packet_id), self._unconfirmed())
            self._sent[packet_id] = waiting
        self._progress.set()

    def _look(self) -> None:
        """Give up those whose time is over, and look again when the next one's is."""
        now = self._loop.time()
        late = [number for number, one in self._sent.items() if one.deadline <= now]
        for packet_id in late:
            _fail(self._sent.pop(packet_id), self._unconfirmed())
        while self._queue and self._queue[0].deadline <= now:
            _fail(self._queue.popleft(), self._too_late())
        self._fill()
        first = next(iter(self._sent.values()), None) or (self._queue[0] if self._queue else None)
        self._timer = self._loop.call_at(first.deadline, self._look) if first else None


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
