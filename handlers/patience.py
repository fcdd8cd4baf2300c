"""How long a peer may take over its request: one look a second at all connections.

Answers for: closing those that are too slow. Does not: set a timer for each request, as Tornado
would (for its body with a task besides): two fifths of what a POST cost (docs/performance.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

# How late a slow connection is closed at most.
LOOK_EVERY_S = 1.0


class Sender(Protocol):
    """One who is sending a request."""

    @property
    def until(self) -> float:
        """When it must have sent what it is sending (monotonic s); infinite when all is there."""

    def turn_away(self) -> None:
        """Close it at once."""


class Patience:
    """So many seconds for a head, and so many for a body. Lives on the event loop."""

    def __init__(self, head_s: float, body_s: float, monotonic: Callable[[], float]) -> None:
        self._head_s = head_s
        self._body_s = body_s
        self._monotonic = monotonic

    def for_head(self) -> float:
        """Return until when a head must be there that is waited for from now on."""
        return self._monotonic() + self._head_s

    def for_body(self) -> float:
        """Return until when a body must be there that is waited for from now on."""
        return self._monotonic() + self._body_s

    def watch(self, senders: Iterable[Sender]) -> Callable[[], None]:
        """Close those whose time is over, until what is returned is called."""
        loop = asyncio.get_running_loop()
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            timer = loop.call_later(LOOK_EVERY_S, look)
            self.look_at(senders)

        def end() -> None:
            timer.cancel()

        timer = loop.call_later(LOOK_EVERY_S, look)
        return end

    def look_at(self, senders: Iterable[Sender]) -> None:
        """Close those whose time is over."""
        now = self._monotonic()
        for sender in [one for one in senders if one.until < now]:
            sender.turn_away()
