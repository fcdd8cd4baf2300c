"""News of the broker, from its thread to the event loop.

Answers for: order, one wake-up for a burst, and that news which leads to an error costs no other.
Does not: know what the news means.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from paho.mqtt.reasoncodes import ReasonCode


class News(Protocol):
    """What a session tells, each called on the event loop."""

    def on_connected(
        self, connection: int, protocol: str, max_packet_bytes: int | None, in_flight: int
    ) -> None:
        """There is a connection; the broker takes packets of so many bytes, and so many publishes
        that it has not answered."""

    def on_disconnected(self, why: str) -> None:
        """There is none, or an attempt failed."""

    def on_published(self, packet_id: int, reason: ReasonCode) -> None:
        """The broker answered a PUBLISH, or one of QoS 0 has left."""

    def on_answered(self, packet_id: int, reasons: list[ReasonCode]) -> None:
        """The broker answered a SUBSCRIBE or UNSUBSCRIBE."""


class Messenger:
    """Has the event loop call what it is given, in order. `post` may be called from any thread.

    `failed` is called, while the exception is handled, when a call threw one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, failed: Callable[[], None]) -> None:
        self._loop = loop
        self._failed = failed
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def post(self, tell: Callable[..., None], *values: Any) -> None:
        """Have the loop call `tell(*values)`."""
        self._waiting.append((tell, values))
        # Asked after, not before: the loop may have taken the last of them in between.
        if len(self._waiting) == 1:
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                pass  # the loop is closed: nobody waits for the news

    def _deliver(self) -> None:
        while self._waiting:
            tell, values = self._waiting.popleft()
            try:
                tell(*values)
            except Exception:  # those behind it must be told, too
                self._failed()
