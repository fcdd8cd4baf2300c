"""`GET /ws`: the log over a WebSocket.

Answers for: the handshake, the welcome, commands, and getting frames onto the socket. Does not:
decide what a reader is sent; gateway/reader.py does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import tornado.iostream
import tornado.websocket

from gateway.audience import Audience
from gateway.holdings import Holdings
from gateway.hub import Encoder, Hub
from gateway.metrics import Metrics
from gateway.reader import Reader
from handlers.base import Handler
from handlers.parsing import parse_json, parse_moment
from handlers.problems import Problem
from store.history import History
from store.message import iso_time
from store.selection import parse_position
from store.topics import TopicFilter

GOING_AWAY = 1001
# Below this a reader that is fed from the log gets its next page.
LOW_WATER_BYTES = 64 * 1024


class StreamTransport:
    """Writes ready-made bytes to a Tornado stream and counts what has not left."""

    def __init__(self, stream: tornado.iostream.IOStream) -> None:
        self._stream = stream
        self._unsent_bytes = 0
        self._sent = asyncio.Event()

    @property
    def unsent_bytes(self) -> int:
        """Bytes taken and not yet given to the system."""
        return self._unsent_bytes if self._stream.writing() else 0

    def write(self, data: bytes) -> None:
        """Take the bytes; never blocks. A closed stream swallows them: its reader is ending."""
        if self._stream.closed():
            return
        future = self._stream.write(data)
        if self._stream.writing():
            self._unsent_bytes += len(data)
            future.add_done_callback(lambda done: self._left(done, len(data)))

    def _left(self, done: asyncio.Future[None], size: int) -> None:
        if not done.cancelled():
            done.exception()
        self._unsent_bytes -= size
        if self._unsent_bytes <= LOW_WATER_BYTES:
            self._sent.set()

    async def wait_until_sent(self) -> None:
        """Wait until little is left, or the stream is closed."""
        while self.unsent_bytes > LOW_WATER_BYTES and not self._stream.closed():
            self._sent.clear()
            await self._sent.wait()


class LiveSocket(Handler, tornado.websocket.WebSocketHandler):
    """One WebSocket reader."""

    hub: Hub
    history: History
    holdings: Holdings
    audience: Audience
    metrics: Metrics
    encoders: dict[bool, Encoder]
    now_us: Callable[[], int]
    max_unsent_bytes: int

    _reader: Reader | None = None
    _asked: dict[str, Any]

    def prepare(self) -> Awaitable[None] | None:
        """Admit, and answer before the upgrade what cannot be served after it."""
        super().prepare()
        if self.request.method not in ("GET", "HEAD"):
            return None
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise Problem(
                426, "this is a WebSocket; ask for an upgrade", headers={"Upgrade": "websocket"}
            )
        origin = self.request.headers.get("Origin")
        if origin and not self.gate.allows_origin(origin, self.request.host):
            raise Problem(403, "web pages of this origin may not listen (CORS_ORIGINS)")
        self._asked = self.query()
        if self.audience.is_full:
            raise Problem(
                503,
                "all places for readers are taken (WS_MAX_CONNECTIONS)",
                headers={"Retry-After": "5"},
            )
        return None

    def check_origin(self, origin: str) -> bool:
        """Origins are checked in `prepare`, with an answer that says why."""
        return True

    async def open(self, *_parts: str) -> None:
        """Welcome the reader, and begin where it asks to."""
        assert isinstance(self.ws_connection, tornado.websocket.WebSocketProtocol)
        assert self.ws_connection.stream is not None
        self.audience.seat(self)
        self._transport = StreamTransport(self.ws_connection.stream)
        self._encoder = self.encoders[self._asked.get("batch", False)]
        topics = TopicFilter(self._asked["topic"])
        self._reader = Reader(
            self.hub,
            self.history,
            self.metrics,
            self._transport,
            topics,
            self._encoder,
            max_unsent_bytes=self.max_unsent_bytes,
            on_end=self.close,
        )
        totals = self.history.totals()
        self.tell(
            {
                "type": "welcome",
                "message": "Connected to GhostMesh MQTT API",
                "timestamp": iso_time(self.now_us()),
                "epoch": totals.epoch,
                "newest_id": self.hub.newest_id,
                "oldest_id": totals.oldest_id,
                "uncovered": self.holdings.uncovered(topics),
            }
        )
        await self._start()

    async def _start(self) -> None:
        assert self._reader is not None
        if "after" in self._asked:
            self._reader.start_at(parse_position(self._asked["after"]))
        elif self._asked.get("since") == "all":
            self._reader.start_after(0)
        elif "since" in self._asked:
            since_us = parse_moment(self._asked["since"], self.now_us())
            self._reader.start_after(await self.history.position_before(since_us))
        else:
            self._reader.start_at(None)

    def on_message(self, message: str | bytes) -> None:
        """Handle one command; a malformed one gets an error frame and the connection lives."""
        if message == "ping":
            self.tell({"type": "pong"})
            return
        try:
            command = parse_json(message if isinstance(message, bytes) else message.encode())
        except (Problem, UnicodeEncodeError):
            self.tell({"type": "error", "detail": "a command is a JSON object, or the text ping"})
            return
        if isinstance(command, dict) and command.get("action") == "ping":
            self.tell({"type": "pong"})
        else:
            self.tell({"type": "error", "detail": "the only command so far is ping"})

    def tell(self, fields: dict[str, object]) -> None:
        """Send this reader a frame of its own."""
        self._transport.write(self._encoder.frame(fields))

    @property
    def is_behind(self) -> bool:
        """Whether it is being fed from the history."""
        return self._reader is not None and self._reader.is_behind

    def dismiss(self) -> None:
        """The service stops: close with 1001."""
        self.close(GOING_AWAY, "the service stops")

    def on_close(self) -> None:
        """Forget the reader."""
        self.audience.release(self)
        if self._reader is not None:
            self._reader.close()
