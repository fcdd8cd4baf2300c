"""The bounded hand-over of messages from the broker's thread to the event loop.

Answers for: the bound, the one wake-up a burst, and saying when there is room again.
Does not: know what a broker or a recorder is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from store.message import Message

# What a slow SD card may fall behind by: some seconds of a full plant, at most so much memory.
MAX_MESSAGES = 100_000
MAX_BYTES = 64 * 1024 * 1024
# Estimated memory of a message beyond its payload: objects, topic, queue slot.
OVERHEAD_BYTES = 500


class Delivery(NamedTuple):
    """A message and how it was delivered. `connection` counts the broker connections."""

    message: Message
    connection: int
    redelivered: bool
    """The broker marked it as sent before, on a resumed session, before anything new."""
    extra_copy: bool
    """The same message again for another subscription: acknowledge, do not store."""
    not_wanted: bool = False
    """The broker's statistics at QoS 1, which no user subscribed to: acknowledge, and no more."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A marker in the mailbox: what follows came over a new connection."""

    connection: int
    session_present: bool
    refused: frozenset[int] = frozenset()
    """Packet numbers of new messages that the connection before brought and that were not taken:
    a message of the same number that was recorded is an older one."""


Item = Delivery | Connected


class Mailbox:
    """Holds what has arrived until it is stored.

    `put` and `has_room` may be called from any thread; everything else only from the loop.
    What was taken still counts against the bound until `done` says that it is stored.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._loop = loop
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._lock = threading.Lock()
        self._held_messages = 0
        self._held_bytes = 0
        self._waiting = asyncio.Event()
        self._drained = threading.Event()
        self._drained.set()

    def put(self, item: Item) -> bool:
        """Append an item; False when the bound is reached, and then nothing was kept."""
        size = _size(item)
        with self._lock:
            # With nothing held anything fits: what is larger than the bound would else be
            # refused and sent again for ever, and no `done` would ever say that there is room.
            if (
                size
                and self._held_messages
                and (
                    self._held_messages >= self._max_messages
                    or self._held_bytes + size > self._max_bytes
                )
            ):
                self._drained.clear()
                return False
            first = not self._items
            self._items.append(item)
            if size:
                self._held_messages += 1
                self._held_bytes += size
        if first:  # one wake-up a burst, not one a message
            self._loop.call_soon_threadsafe(self._waiting.set)
        return True

    async def take(self, at_most: int) -> list[Item]:
        """Wait until something is there, and take up to `at_most` items in order of arrival."""
        while not self._items:
            self._waiting.clear()
            if not self._items:
                await self._waiting.wait()
        with self._lock:
            if len(self._items) <= at_most:
                taken, self._items = list(self._items), deque()
                return taken
            return [self._items.popleft() for _ in range(at_most)]

    def done(self, items: list[Item]) -> None:
        """Release the room of items that need not be kept any longer."""
        sizes = [_size(item) for item in items if isinstance(item, Delivery)]
        with self._lock:
            self._held_messages -= len(sizes)
            self._held_bytes -= sum(sizes)
            if (
                2 * self._held_messages <= self._max_messages
                and 2 * self._held_bytes <= self._max_bytes
            ):
                self._drained.set()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Block the calling thread until the mailbox is half empty; False after the time-out."""
        return self._drained.wait(timeout_s)

    @property
    def depth(self) -> int:
        """How many messages have arrived and are not stored yet."""
        return self._held_messages

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._items


def _size(item: Item) -> int:
    return OVERHEAD_BYTES + len(item.message.payload) if isinstance(item, Delivery) else 0
