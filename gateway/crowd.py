"""Many readers: after they were shown something, more is gathered before they are shown the next.

Answers for: how long that rest is. Does not: show, store or count.

What a fan-out costs is a write for each reader, however much is written: a hundred readers take
0.7 ms of each commit, and at a thousand commits a second nothing else would get its turn. So the
fan-out gets a tenth of the time at most, unless enough has come together sooner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# Readers from which on it is worth it: fewer cost less than a commit does, and have no rest.
CROWD = 4
# A rest is so many times as long as the fan-out before it took, and never longer than people see.
REST_FACTOR = 9
MAX_REST_S = 0.010
# Messages for which no rest is worth waiting; also the window of mosquitto, which sends no more
# before some of them are acknowledged.
ENOUGH = 16
STEP_S = 0.0025


class CrowdRest:
    """The rest between two fan-outs to a crowd. Lives on the event loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = 0.0

    def begin(self, readers: int, began: float) -> None:
        """So many readers were shown something, since the moment `began`."""
        if readers >= CROWD:
            now = self._monotonic()
            self._until = now + min(MAX_REST_S, REST_FACTOR * (now - began))

    @property
    def is_over(self) -> bool:
        """Whether the next may be shown at once."""
        return self._monotonic() >= self._until

    async def wait(self, waiting: Callable[[], int]) -> None:
        """Wait until it is over, or ENOUGH messages are `waiting`."""
        while (left_s := self._until - self._monotonic()) > 0 and waiting() < ENOUGH:
            await asyncio.sleep(min(STEP_S, left_s))
