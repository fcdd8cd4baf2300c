"""The stream of messages for a `for` loop.

Answers for: its socket. Does not: decide where to begin or whether to go on; StreamState does.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Generic, Self, TypeVar, cast

from websockets.sync.client import ClientConnection, connect

from client.sockets import FIRST_FRAME, SOCKET_ERRORS, options, socket_failure
from client.stream_state import StreamState

T = TypeVar("T")
# Waiting for a message, Python looks this often whether Ctrl-C was pressed: a signal that comes in
# the instant before a wait would else be noticed only with the next message.
WAKE_S = 0.5


class MessageStream(Generic[T]):
    """Messages as they come, across broken connections, each once and in order.

    Iterate it; leave it with `close` or as a context manager. A message counts as finished when
    the next one is asked for. Use it from one thread; `close` may come from any.
    """

    def __init__(
        self, url: str, headers: dict[str, str], state: StreamState, heartbeat_s: float
    ) -> None:
        self._url = url
        self._options = options(headers, heartbeat_s)
        self._has_key = "Authorization" in headers
        self._state = state
        self._connection: ClientConnection | None = None
        self._open = contextlib.ExitStack()
        self._closed = threading.Event()

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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._closed.is_set():
            item = self._state.next_item()
            if item is not None:
                return cast(T, item)
            self._receive()
        raise StopIteration

    def _receive(self) -> None:
        """Take one frame; after a failure pause, and begin with a new connection."""
        try:
            if self._connection is None:
                url = self._url + self._state.target()
                self._connection = self._open.enter_context(connect(url, **self._options))
                if self._closed.is_set():
                    self._disconnect()
                    return
                if not self._has_key:
                    self._connection.send(FIRST_FRAME)
            with contextlib.suppress(TimeoutError):
                self._state.feed(self._connection.recv(timeout=WAKE_S))
        except SOCKET_ERRORS as error:
            self._disconnect()
            if not self._closed.is_set():
                self._closed.wait(self._state.pause_after(socket_failure(error, self._url)))

    def _disconnect(self) -> None:
        self._connection = None
        with contextlib.suppress(*SOCKET_ERRORS):
            self._open.close()

    def close(self) -> None:
        """End it; the message in hand does not count as finished. Safe to repeat."""
        self._closed.set()
        connection = self._connection
        if connection is not None:
            connection.close()
        self._disconnect()
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
