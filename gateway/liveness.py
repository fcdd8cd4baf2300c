"""Whether the event loop, the writer and the broker's thread still make progress.

Answers for: naming what hangs, and one line in the log when it begins and when it ends. Does not:
end the process; a supervisor does that, told by /health/live or by the watchdog of its unit.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

# What is silent for longer does not come back by itself: the loop and the broker's thread go
# round each second, and SQLite gives up waiting for a lock after two.
STALLED_AFTER_S = 30.0
# Looking up a name, connecting and a TLS handshake each have limits of their own, and a name
# server that is away uses up 30 s. To end the process would not bring it back.
CONNECT_WITHIN_S = 120.0
# How often the watching thread looks: a stall is in the log after 35 s at most.
LOOK_S = 5.0
BEAT_S = 1.0
# The lags of a minute.
BEATS_KEPT = 60


class Liveness:
    """Watches the three that the main job hangs on.

    `stalled` may be called from any thread, `start` and `stop` from the event loop. `turned` says
    when the broker's thread last went round, `connecting` whether it is about to connect,
    `writing_since` since when the writer has been at its present piece of work, if it has one.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        turned: Callable[[], float],
        connecting: Callable[[], bool],
        writing_since: Callable[[], float | None],
    ) -> None:
        self._monotonic = monotonic
        self._turned = turned
        self._connecting = connecting
        self._writing_since = writing_since
        self._beaten = monotonic()
        self._lags_s: deque[float] = deque(maxlen=BEATS_KEPT)
        self._ended = threading.Event()
        self._beating: asyncio.Task[None] | None = None
        self._watching = threading.Thread(target=self._watch, name="liveness", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._beaten = self._monotonic()
        self._beating = asyncio.create_task(self._beat())
        self._watching.start()

    async def stop(self) -> None:
        """End; safe to call before `start`."""
        self._ended.set()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._watching.join()

    def stalled(self) -> list[str]:
        """Return a sentence for each that hangs: all three work when it is empty."""
        return [
            f"{name} has made no progress for {silent_s:.0f} s"
            for name, silent_s, allowed_s in self._silences()
            if silent_s > allowed_s
        ]

    @property
    def lag_s(self) -> float:
        """The longest that the event loop kept a timer waiting within the last minute."""
        return max(self._lags_s, default=0.0)

    def _silences(self) -> list[tuple[str, float, float]]:
        """Return (name, seconds without progress, seconds allowed) of each."""
        # Each moment is read before the clock, so that none can lie ahead of it.
        beaten, turned, since = self._beaten, self._turned(), self._writing_since()
        now = self._monotonic()
        connecting = CONNECT_WITHIN_S if self._connecting() else STALLED_AFTER_S
        return [
            ("the event loop", now - beaten, STALLED_AFTER_S),
            ("the writer of the history", 0.0 if since is None else now - since, STALLED_AFTER_S),
            ("the broker's thread", now - turned, connecting),
        ]

    async def _beat(self) -> None:
        while True:
            due = self._monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._beaten = self._monotonic()
            self._lags_s.append(max(0.0, self._beaten - due))

    def _watch(self) -> None:
        """Log each stall once, and its end: the loop that hangs cannot do it itself."""
        known: set[str] = set()
        while not self._ended.wait(LOOK_S):
            hanging = {
                name for name, silent_s, allowed_s in self._silences() if silent_s > allowed_s
            }
            for name in sorted(hanging - known):
                log.error("%s hangs; the threads are at: %s", name, _whereabouts())
            for name in sorted(known - hanging):
                log.info("%s goes on", name)
            known = hanging


def _whereabouts() -> str:
    """Return where each thread is just now: the first thing that somebody wants to know."""
    frames = sys._current_frames()
    places = []
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread is not threading.current_thread():
            code = frame.f_code
            places.append(f"{thread.name} in {code.co_name} ({code.co_filename}:{frame.f_lineno})")
    return ", ".join(places)
