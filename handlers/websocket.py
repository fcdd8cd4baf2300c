"""`GET /ws`: the log over a WebSocket.

Answers for: the handshake, and getting frames onto the socket. Does not: decide what a reader
is sent (gateway/reader.py) or what a command does (commands.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import tornado.websocket

from gateway.hub import Encoder
from gateway.orders import Orders
from handlers.commands import Commands
from handlers.problems import Problem
from handlers.stream import StreamHandler, StreamTransport
from store.topics import TopicFilter

GOING_AWAY = 1001
# Commands of one connection that may wait for the broker at once; beyond it they wait unread.
MAX_PENDING_COMMANDS = 100


class LiveSocket(StreamHandler, tornado.websocket.WebSocketHandler):
    """One WebSocket reader."""

    orders: Orders
    encoders: dict[bool, Encoder]

    _transport: StreamTransport

    def prepare(self) -> Awaitable[None] | None:
        """Admit, and answer before the upgrade what cannot be served after it."""
        super().prepare()
        if self.request.method not in ("GET", "HEAD"):
            return None
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise Problem(
                426,
                "this is a WebSocket; ask for an upgrade",
                headers={"Upgrade": "websocket"},
            )
        self.admit_reader()
        return None

    def check_origin(self, origin: str) -> bool:
        """Origins are checked in `prepare`, with an answer that says why."""
        return True

    async def open(self, *_parts: str) -> None:
        """Welcome the reader, and begin where it asks to."""
        assert isinstance(self.ws_connection, tornado.websocket.WebSocketProtocol)
        assert self.ws_connection.stream is not None
        self.audience.seat(self)
        self._running: set[asyncio.Task[None]] = set()
        self._encoder = self.encoders[self._asked["batch"]]
        self._transport = self.make_reader(self.ws_connection.stream, self._encoder, self.close)
        self._commands = Commands(self.contract, self.orders, self._change_topics)
        self.tell(self.welcome())
        await self.start_reader()

    def _change_topics(self, topics: TopicFilter) -> None:
        assert self._reader is not None
        self._reader.change_topics(topics)

    async def on_message(self, message: str | bytes) -> None:
        """Begin one command; its answer may overtake that of a slower one."""
        if message == "ping":
            self.tell({"type": "pong"})
            return
        while len(self._running) >= MAX_PENDING_COMMANDS:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._answer(message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, message: str | bytes) -> None:
        self.tell(await self._commands.answer(message))

    def tell(self, fields: dict[str, object]) -> None:
        """Send this reader a frame of its own."""
        self._transport.write(self._encoder.frame(fields))

    def dismiss(self) -> None:
        """The service stops: close with 1001."""
        self.close(GOING_AWAY, "the service stops")

    def on_close(self) -> None:
        """Forget the reader. Commands that are with the broker run to their end."""
        self.audience.release(self)
        self.end_reader()
