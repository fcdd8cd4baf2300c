"""A stream that never loses the thread, without the network.

Answers for: where to begin and to go on, which message is new, what is finished, and whether and
when to connect again. Does not: do I/O but for the cursor file; sync_feeds.py and
async_feeds.py own the connections.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypedDict

from client.call import encode_query
from client.cursor import CursorFile
from client.errors import AuthenticationFailed, LogGap, MQTTAPIError
from client.history_calls import Moment, Topics, pairs
from client.retry import RetryPolicy, may_pass
from client.values import Gap, Message, moment

Gaps = Literal["raise", "yield"]
Transport = Literal["websocket", "sse"]
Item = Message | Gap
_BACK_FROM_NOW = re.compile(r"(\d{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class StreamOptions(TypedDict, total=False):
    """What `stream` takes besides topics and gaps; see there."""

    since: Moment
    after: str | int | None
    cursor: str | os.PathLike[str] | None
    heartbeat: float
    transport: Transport


def use_socket(transport: str) -> bool:
    """Return whether a transport is the WebSocket; ValueError for what is no transport."""
    if transport not in ("websocket", "sse"):
        raise ValueError(f"{transport!r} is no transport; there are 'websocket' and 'sse'")
    return transport == "websocket"


class StreamState:
    """One stream over any number of connections."""

    def __init__(
        self,
        topics: Topics,
        *,
        after: str | int | None = None,
        since: Moment = None,
        gaps: Gaps = "raise",
        cursor: str | os.PathLike[str] | None = None,
        retry: RetryPolicy | None = None,
        batch: bool = True,
    ) -> None:
        self._topics: Sequence[str] = [topics] if isinstance(topics, str) else list(topics or ())
        self._since = since
        self._gaps = gaps
        self._cursor = CursorFile(cursor) if cursor is not None else None
        self._retry = retry or RetryPolicy()
        self._batch = batch
        kept = self._cursor.read() if self._cursor is not None else None
        self.position = kept or (None if after is None else str(after))
        """Everything up to here is finished."""
        self._epoch = ""
        self._received_id = 0
        self._waiting: deque[Item] = deque()
        self._current: Item | None = None
        self._attempts = 0
        self._was_connected = False
        self.status: dict[str, Any] | None = None
        """The last status frame: `mqtt_connected`, `history`."""

    def use_topics(self, topics: Sequence[str]) -> None:
        """Ask for these filters from the next connection on."""
        self._topics = list(topics)

    def target(self) -> str:
        """Return path and query of the next connection, which goes on behind what is finished."""
        begin = {"after": self.position} if self.position else {"since": self._since}
        query = pairs(topic=self._topics, batch=self._batch or None, **begin)
        self._waiting.clear()
        epoch, _, number = (self.position or "").rpartition(".")
        self._epoch, self._received_id = epoch, int(number) if number else 0
        return f"?{encode_query(query)}" if query else ""

    # -- what comes in ----------------------------------------------------------------------

    def feed(self, text: str | bytes) -> None:
        """Take one frame; what it brings waits for `next_item`."""
        self._waiting.extend(self.admit(self.read(text)))

    @staticmethod
    def read(text: str | bytes) -> dict[str, Any]:
        """Return a frame; MQTTAPIError for what is none."""
        try:
            frame = json.loads(text)
        except ValueError:
            frame = None
        if not isinstance(frame, dict) or "type" not in frame:
            raise MQTTAPIError("this URL sends no frames of the service")
        return frame

    def admit(self, frame: Mapping[str, Any]) -> list[Item]:
        """Return what is new in a frame: messages not seen before, or a gap."""
        kind = frame["type"]
        if kind == "message":
            return self._new([frame])
        if kind == "messages":
            return self._new(frame["messages"])
        if kind == "gap":
            gap = Gap.from_dict(frame, self._epoch)
            self._received_id = gap.next - 1  # another log counts from its own beginning
            return [gap]
        if kind == "welcome":
            self._welcome(frame)
        elif kind == "status":
            self.status = dict(frame)
        return []

    def _new(self, frames: Sequence[Mapping[str, Any]]) -> list[Item]:
        found: list[Item] = []
        for fields in frames:
            message = Message.from_dict(fields)
            if message.id is not None:
                if message.id <= self._received_id:
                    continue
                self._received_id = message.id
            found.append(message)
        return found

    def _welcome(self, frame: Mapping[str, Any]) -> None:
        """Note the log's epoch; pin down where a stream begins, so that no break shifts it."""
        self._epoch = frame["epoch"]
        self._attempts, self._was_connected = 0, True
        if self.position is not None:
            if "." not in self.position:
                self.position = f"{self._epoch}.{self.position}"
        elif self._since is None:
            self._finish_at(f"{self._epoch}.{frame['newest_id']}")
        else:
            self._since = _pinned(self._since, frame["timestamp"])

    # -- what goes out ----------------------------------------------------------------------

    def next_item(self) -> Item | None:
        """Return what comes next, None when more must be received; LogGap for a gap to raise.

        What was returned before counts as finished.
        """
        self.finish()
        if not self._waiting:
            return None
        item = self._waiting.popleft()
        if isinstance(item, Gap) and self._gaps == "raise":
            raise LogGap(item)
        self._current = item
        return item

    def finish(self, item: Item | None = None) -> None:
        """Count the item that was returned last, or this one, as finished."""
        item = item or self._current
        self._current = None
        if isinstance(item, Gap):
            self._finish_at(item.position)
        elif item is not None and item.id is not None:
            self._finish_at(f"{self._epoch}.{item.id}")

    def _finish_at(self, position: str) -> None:
        self.position = position
        if self._cursor is not None:
            self._cursor.write(position)

    def close(self) -> None:
        """See that the cursor is on the disk."""
        if self._cursor is not None:
            self._cursor.close()

    # -- when it breaks ---------------------------------------------------------------------

    def pause_after(self, error: MQTTAPIError) -> float:
        """Return how many seconds to wait before connecting again; raise the error when that is
        of no use. A stream that was once connected is never given up for a failing network."""
        self._attempts += 1
        if not may_pass(error) or isinstance(error, AuthenticationFailed):
            raise error
        if not self._was_connected and self._attempts >= self._retry.attempts:
            raise error
        pause = self._retry.pause(error, self._attempts)
        return self._retry.longest_wait if pause is None else pause


def _pinned(since: Moment, now: str) -> Moment:
    """Return a time that is counted back from now as a fixed one, by the service's clock."""
    if isinstance(since, timedelta):
        return moment(now) - since
    found = _BACK_FROM_NOW.fullmatch(since) if isinstance(since, str) else None
    if found is None:
        return since
    return moment(now) - timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
