"""Where a stream gets its frames: a WebSocket, or Server-Sent Events. One connection at a time.

Answers for: opening, receiving and closing, with every failure as an MQTTAPIError. Does not: know
what a frame means or when to connect again; StreamState does. sync_feeds.py is the same without
`await`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from client.event_lines import EventLines
from client.sockets import FIRST_FRAME, SOCKET_ERRORS, SocketWay, socket_failure
from client.wire import FAILURES, EventWay, failure_of


class AsyncFeed(Protocol):
    """Frames of one connection after another."""

    async def open(self, query: str) -> None:
        """Connect; `query` says where to begin."""

    async def receive(self) -> Sequence[str | bytes]:
        """Wait for frames, and return them."""

    async def close(self) -> None:
        """Let go of the connection. Safe to repeat."""


class AsyncSocketFeed:
    """Frames of `/ws`."""

    def __init__(self, way: SocketWay) -> None:
        self._way = way
        self._connection: ClientConnection | None = None

    async def open(self, query: str) -> None:
        """Connect."""
        try:
            # Its __await__ makes one connection; its retries would not know ours.
            self._connection = await connect(self._way.url + query, **self._way.options)
            if not self._way.has_key:
                await self._connection.send(FIRST_FRAME)
        except SOCKET_ERRORS as error:
            raise socket_failure(error, self._way) from error

    async def receive(self) -> Sequence[str | bytes]:
        """Wait for a frame."""
        assert self._connection is not None
        try:
            return [await self._connection.recv()]
        except SOCKET_ERRORS as error:
            raise socket_failure(error, self._way) from error

    async def close(self) -> None:
        """Close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*SOCKET_ERRORS):
                await connection.close()


class AsyncEventFeed:
    """Frames of `/events`, for networks that let no WebSocket pass."""

    def __init__(self, session: httpx2.AsyncClient, way: EventWay) -> None:
        self._session = session
        self._way = way
        self._response: httpx2.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None
        self._lines = EventLines()

    async def open(self, query: str) -> None:
        """Ask for the events."""
        way, self._lines = self._way, EventLines()
        asked = self._session.build_request(
            "GET", way.url + query, headers=way.headers, timeout=way.time_out
        )
        try:
            self._response = await self._session.send(asked, stream=True)
            if self._response.status_code != 200:
                await self._response.aread()
            way.check(self._response)
            self._pieces = self._response.aiter_bytes()
        except FAILURES as error:
            raise failure_of(error, way.url) from error

    async def receive(self) -> Sequence[str | bytes]:
        """Wait for bytes, which may hold any number of frames."""
        assert self._pieces is not None
        try:
            return self._lines.feed(await anext(self._pieces))
        except StopAsyncIteration:
            raise self._way.ended() from None
        except FAILURES as error:
            raise failure_of(error, self._way.url) from error

    async def close(self) -> None:
        """Close it."""
        response, self._response = self._response, None
        if response is not None:
            with contextlib.suppress(*FAILURES):
                await response.aclose()
