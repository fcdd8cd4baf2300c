"""The stream of messages for a `for` loop.

Answers for: connecting again, and its end. Does not: know the network (sync_feeds.py does), nor
decide where to begin or whether to go on; StreamState does.
"""

from __future__ import annotations

import threading
from typing import Any, Generic, Self, TypeVar, cast

from client.errors import MQTTAPIError
from client.stream_state import StreamState
from client.sync_feeds import Feed

T = TypeVar("T")


class MessageStream(Generic[T]):
    """Messages as they come, across broken connections, each once and in order.

    Iterate it; leave it with `close` or as a context manager. A message counts as finished when
    the next one is asked for. Use it from one thread; `close` may come from any.
    """

    def __init__(self, feed: Feed, state: StreamState) -> None:
        self._feed = feed
        self._state = state
        self._is_open = False
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
        """Take what comes; after a failure pause, and begin with a new connection."""
        try:
            if not self._is_open:
                self._feed.open(self._state.target())
                self._is_open = True
                if self._closed.is_set():  # while it was being opened
                    self._disconnect()
                    return
            for frame in self._feed.receive():
                self._state.feed(frame)
        except MQTTAPIError as error:
            self._disconnect()
            if not self._closed.is_set():
                self._closed.wait(self._state.pause_after(error))

    def _disconnect(self) -> None:
        self._is_open = False
        self._feed.close()

    def close(self) -> None:
        """End it; the message in hand does not count as finished. Safe to repeat."""
        self._closed.set()
        self._disconnect()
        self._state.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
