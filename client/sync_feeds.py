"""Where a stream gets its frames: a WebSocket, or Server-Sent Events. One connection at a time.

Answers for: opening, receiving and closing, with every failure as an MQTTAPIError. Does not: know
what a frame means or when to connect again; StreamState does. async_feeds.py is the same with
`await`.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Protocol

import httpx2
from websockets.sync.client import ClientConnection, connect

from client.errors import ConnectionFailed
from client.event_lines import EventLines
from client.sockets import FIRST_FRAME, SOCKET_ERRORS, SocketWay, socket_failure
from client.wire import FAILURES, EventWay, failure_of

# Waiting for a message, Python looks this often whether Ctrl-C was pressed: a signal that comes in
# the instant before a wait would else be noticed only with the next message.
WAKE_S = 0.5


class Feed(Protocol):
    """Frames of one connection after another."""

    def open(self, query: str) -> None:
        """Connect; `query` says where to begin."""

    def receive(self) -> Sequence[str | bytes]:
        """Wait for frames, and return them; nothing when none came for a while."""

    def close(self) -> None:
        """Let go of the connection, from any thread; `receive` then fails. Safe to repeat."""


class SocketFeed:
    """Frames of `/ws`."""

    def __init__(self, way: SocketWay) -> None:
        self._way = way
        self._opened: contextlib.AbstractContextManager[ClientConnection] | None = None
        self._connection: ClientConnection | None = None

    def open(self, query: str) -> None:
        """Connect."""
        try:
            opened = connect(self._way.url + query, **self._way.options)
            self._connection = opened.__enter__()
            self._opened = opened
            if not self._way.has_key:
                self._connection.send(FIRST_FRAME)
        except SOCKET_ERRORS as error:
            raise socket_failure(error, self._way) from error

    def receive(self) -> Sequence[str | bytes]:
        """Wait for a frame, a short while."""
        connection = self._connection
        if connection is None:
            raise ConnectionFailed("the stream was closed", never_made=False)
        try:
            return [connection.recv(timeout=WAKE_S)]
        except TimeoutError:
            return []
        except SOCKET_ERRORS as error:
            raise socket_failure(error, self._way) from error

    def close(self) -> None:
        """Close it."""
        opened, self._opened = self._opened, None
        self._connection = None
        if opened is not None:
            with contextlib.suppress(*SOCKET_ERRORS):
                opened.__exit__(None, None, None)


class EventFeed:
    """Frames of `/events`, for networks that let no WebSocket pass."""

    def __init__(self, session: httpx2.Client, way: EventWay) -> None:
        self._session = session
        self._way = way
        self._response: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._lines = EventLines()

    def open(self, query: str) -> None:
        """Ask for the events."""
        way, self._lines = self._way, EventLines()
        asked = self._session.build_request(
            "GET", way.url + query, headers=way.headers, timeout=way.time_out
        )
        try:
            self._response = self._session.send(asked, stream=True)
            if self._response.status_code != 200:
                self._response.read()
            way.check(self._response)
            self._pieces = self._response.iter_bytes()
        except FAILURES as error:
            raise failure_of(error, way.url) from error

    def receive(self) -> Sequence[str | bytes]:
        """Wait for bytes, which may hold any number of frames."""
        try:
            return self._lines.feed(next(self._pieces))
        except StopIteration:
            raise self._way.ended() from None
        except FAILURES as error:
            raise failure_of(error, self._way.url) from error

    def close(self) -> None:
        """Close it; a thread that waits for bytes wakes up."""
        response, self._response = self._response, None
        if response is None:
            return
        network = response.extensions.get("network_stream")
        connected = network.get_extra_info("socket") if network is not None else None
        if isinstance(connected, socket.socket):
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(*FAILURES):
            response.close()
