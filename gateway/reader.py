"""One reader of the log: from where it stopped, through the history, to live.

Answers for: feeding a reader that is behind at its own speed, joining it to the hub without a
seam, and saying what is gone. Does not: know WebSocket, SSE or JSON. Replay after a reconnect
and a socket that cannot keep up are the same thing here: a position that is not the head.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from gateway.hub import Encoder, Hub
from gateway.metrics import Metrics
from store.errors import HistoryUnavailable, QueryTimeout
from store.history import History
from store.selection import Position, Selection
from store.topics import TopicFilter

log = logging.getLogger(__name__)

# Messages read from the history at once for one reader: some 100 KB, a few milliseconds.
PAGE = 500
RETRY_S = 0.5
# A commit is shown by the event loop in the turn after it.
TICK_S = 0.001


def _nothing() -> None:
    """Nobody wants to know."""


class Transport(Protocol):
    """Where a reader's bytes go."""

    def write(self, data: bytes) -> None:
        """Take the bytes; never blocks."""

    @property
    def unsent_bytes(self) -> int:
        """How many of them have not left yet."""

    async def wait_until_sent(self) -> None:
        """Wait until few are left; returns also when the connection is gone."""


class Reader:
    """Follows the log for one connection. Lives on the event loop.

    `start` begins; `close` ends it for good. Between them it is either live (the hub sends) or
    behind (its own task feeds it from the history).
    """

    def __init__(
        self,
        hub: Hub,
        history: History,
        metrics: Metrics,
        transport: Transport,
        topics: TopicFilter,
        encoder: Encoder,
        *,
        max_unsent_bytes: int,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        self._hub = hub
        self._history = history
        self._metrics = metrics
        self._transport = transport
        self._topics = topics
        self._encoder = encoder
        self._max_unsent_bytes = max_unsent_bytes
        self._on_end = on_end or _nothing
        self._position = 0
        self._has_begun = False
        self._news = hub.news
        self._feeding: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_behind(self) -> bool:
        """Whether it is being fed from the history."""
        return self._feeding is not None

    @property
    def position_id(self) -> int | None:
        """The id up to which it has been given all that it wants; None before it has begun."""
        if not self._has_begun:
            return None
        return self._position if self.is_behind else self._hub.newest_id

    def start_at(self, after: Position | None) -> None:
        """Begin after a position, saying what is gone; None is the head."""
        totals = self._history.totals()
        if after is None:
            self._begin(self._hub.newest_id)
        elif after.epoch is not None and after.epoch != totals.epoch:
            asked = f"{after.epoch}.{after.id}"
            self._begin(self._gap("epoch", asked, totals.oldest_id, totals.pruned_id))
        elif after.id > totals.newest_id:
            self._begin(self._gap("ahead", after.id, None, self._hub.newest_id))
        else:
            self._begin(after.id)

    def start_after(self, message_id: int) -> None:
        """Begin after an id that nobody claims to have seen: what is gone before it is no gap."""
        self._begin(max(message_id, self._history.totals().pruned_id))

    def change_topics(self, topics: TopicFilter) -> None:
        """See other topics from now on."""
        self._topics = topics
        if self._feeding is None and not self._closed:
            self._hub.leave(self)
            self._hub.join(self, topics, self._encoder)

    @property
    def is_full(self) -> bool:
        """Whether it will not take what the hub sends now, and is to get that from the history."""
        return not self.is_behind and self._transport.unsent_bytes > self._max_unsent_bytes

    def send(self, frames: bytes) -> None:
        """Called by the hub with frames to write; a peer that does not read falls behind."""
        transport = self._transport
        if transport.unsent_bytes <= self._max_unsent_bytes or self._feeding is not None:
            transport.write(frames)
            return
        self._hub.leave(self)
        self._news = self._hub.news
        self._metrics.fell_behind_total += 1
        self._begin(self._hub.newest_id)  # all up to here was written

    def give_up(self) -> None:
        """Called by the hub when it could not send: close the connection."""
        end = self._on_end
        self.close()
        end()

    def close(self) -> None:
        """End it. Safe to repeat."""
        self._closed = True
        self._on_end = _nothing  # who made us is let go, and its memory with it, without the GC
        self._hub.leave(self)
        if self._feeding is not None:
            self._feeding.cancel()
            self._feeding = None

    def _begin(self, position: int) -> None:
        """Go on after `position`: live at once when that is the head."""
        if self._closed:
            return
        self._has_begun = True
        self._position = position
        if position == self._hub.newest_id and not self._transport.unsent_bytes:
            self._go_live()
        else:
            self._feeding = asyncio.create_task(self._feed())

    async def _feed(self) -> None:
        """Read the history in pages, at the speed of the peer, until the head is reached."""
        try:
            while not self._closed:
                await self._transport.wait_until_sent()
                newest_id = self._hub.newest_id
                if self._position == newest_id:
                    break
                if self._position > newest_id:  # committed and known, but about to be shown
                    await asyncio.sleep(TICK_S)
                    continue
                try:
                    await self._feed_page(newest_id)
                except (QueryTimeout, HistoryUnavailable):
                    await asyncio.sleep(RETRY_S)
            # One tick: nothing can be published between the check above and this.
            self._feeding = None
            if not self._closed:
                self._go_live()
        except asyncio.CancelledError:
            raise
        except Exception:
            self._metrics.failures.caught("reader", "a reader could not be fed and is closed")
            self._feeding = None
            self._on_end()

    def _go_live(self) -> None:
        self._hub.join(self, self._topics, self._encoder)
        if self._hub.news is not self._news:  # told while this reader was not there to hear
            self._transport.write(self._encoder.frame(self._hub.news))

    async def _feed_page(self, newest_id: int) -> None:
        topics = self._topics
        page = await self._history.forward(
            Selection(topics, after_id=self._position, before_id=newest_id + 1), limit=PAGE
        )
        if self._closed:  # Python 3.11 may lose a cancellation within `wait_for`
            return
        if min(page.pruned_id, newest_id) > self._position:
            self._position = self._gap("pruned", self._position, page.oldest_id, page.pruned_id)
        if page.unstored is not None and page.unstored[1] - 1 > self._position:
            after_id, next_id = page.unstored
            self._position = self._gap("unstored", after_id, next_id, next_id - 1)
        if topics is not self._topics:
            return  # the filter changed while we read: read again
        if page.messages:
            encode = self._encoder.encode
            self._transport.write(self._encoder.join([encode(one) for one in page.messages]))
        self._position = max(self._position, page.scanned_id)

    def _gap(self, reason: str, after: int | str, oldest_id: int | None, pruned_id: int) -> int:
        """Say that what lies between `after` and the next message is gone; return the position.

        What has been committed and not been shown yet is no part of it, even if it was pruned
        by that same commit: it is shown yet.
        """
        position = min(pruned_id if oldest_id is None else oldest_id - 1, self._hub.newest_id)
        self._transport.write(
            self._encoder.frame(
                {"type": "gap", "reason": reason, "after": after, "next": position + 1}, position
            )
        )
        return position
