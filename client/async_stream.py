"""The stream of messages for an `async for` loop.

Answers for: connecting again, and its end. Does not: know the network (async_feeds.py does), nor
decide where to begin or whether to go on; StreamState does.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Self, TypeVar, cast

from client.async_feeds import AsyncFeed
from client.errors import MQTTAPIError
from client.stream_state import StreamState

T = TypeVar("T")


class AsyncMessageStream(Generic[T]):
    """Messages as they come, across broken connections, each once and in order.

    Iterate it; leave it with `aclose` or as an async context manager. A message counts as
    finished when the next one is asked for. Use it from one task.
    """

    def __init__(self, feed: AsyncFeed, state: StreamState) -> None:
        self._feed = feed
        self._state = state
        self._is_open = False
        self._closed = False

    @property
    def position(self) -> str | None:
        """Where to go on: all up to here is finished. None before the first connection."""
        return self._state.position

    @property
    def status(self) -> dict[str, Any] | None:
        """The last status frame (`mqtt_connected`, `history`), if one came."""
        return self._state.status

    def finish(self) -> None:
        """Count the message in hand as finished; the next step of the loop does so, too."""
        self._state.finish()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._closed:
            item = self._state.next_item()
            if item is not None:
                return cast(T, item)
            await self._receive()
        raise StopAsyncIteration

    async def _receive(self) -> None:
        """Take what comes; after a failure pause, and begin with a new connection."""
        try:
            if not self._is_open:
                await self._feed.open(self._state.target())
                self._is_open = True
            for frame in await self._feed.receive():
                self._state.feed(frame)
        except MQTTAPIError as error:
            await self._disconnect()
            if not self._closed:
                await asyncio.sleep(self._state.pause_after(error))

    async def _disconnect(self) -> None:
        self._is_open = False
        await self._feed.close()

    async def aclose(self) -> None:
        """End it; the message in hand does not count as finished. Safe to repeat."""
        self._closed = True
        await self._disconnect()
        self._state.close()

    close = aclose

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
