"""The stream of messages for an `async for` loop.

Answers for: its socket. Does not: decide where to begin or whether to go on; StreamState does.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Generic, Self, TypeVar, cast

from websockets.asyncio.client import ClientConnection, connect

from client.sockets import FIRST_FRAME, SOCKET_ERRORS, options, socket_failure
from client.stream_state import StreamState

T = TypeVar("T")


class AsyncMessageStream(Generic[T]):
    """Messages as they come, across broken connections, each once and in order.

    Iterate it; leave it with `aclose` or as an async context manager. A message counts as
    finished when the next one is asked for. Use it from one task.
    """

    def __init__(
        self, url: str, headers: dict[str, str], state: StreamState, heartbeat_s: float
    ) -> None:
        self._url = url
        self._options = options(headers, heartbeat_s)
        self._has_key = "Authorization" in headers
        self._state = state
        self._connection: ClientConnection | None = None
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
        """Take one frame; after a failure pause, and begin with a new connection."""
        try:
            if self._connection is None:
                url = self._url + self._state.target()
                # Its __await__ makes one connection; its retries would not know ours.
                self._connection = await connect(url, **self._options)
                if not self._has_key:
                    await self._connection.send(FIRST_FRAME)
            self._state.feed(await self._connection.recv())
        except SOCKET_ERRORS as error:
            await self._disconnect()
            if not self._closed:
                await asyncio.sleep(self._state.pause_after(socket_failure(error, self._url)))

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*SOCKET_ERRORS):
                await connection.close()

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
