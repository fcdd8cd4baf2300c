"""`GET /ws`: the log over a WebSocket.

Answers for: the handshake, authentication by the first frame, and getting frames onto the
socket. Does not: decide what a reader is sent (gateway/reader.py) or what a command does
(commands.py).
"""

from __future__ import annotations

import asyncio

import tornado.httputil
import tornado.websocket

from gateway.orders import Orders
from handlers.commands import Commands, key_of_first_frame
from handlers.conflation import CountingEncoder
from handlers.problems import Problem
from handlers.stream import StreamHandler, StreamTransport

GOING_AWAY = 1001
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013
# Commands of one connection that may wait for the broker at once; beyond it they wait unread.
MAX_PENDING_COMMANDS = 100
AUTH_WITHIN_S = 5.0


VERSION = "13"


def missing_for_upgrade(request: tornado.httputil.HTTPServerRequest) -> str:
    """Return what a request lacks to become a WebSocket (RFC 6455, 4.2.1); empty when nothing."""
    headers = request.headers
    words = [word.strip().lower() for word in headers.get("Connection", "").split(",")]
    wanted = {
        "GET over HTTP/1.1": (request.method, request.version) == ("GET", "HTTP/1.1"),
        "Upgrade: websocket": headers.get("Upgrade", "").lower() == "websocket",
        "Connection: Upgrade": "upgrade" in words,
        f"Sec-WebSocket-Version: {VERSION}": headers.get("Sec-WebSocket-Version") == VERSION,
        "Sec-WebSocket-Key": "Sec-WebSocket-Key" in headers,
    }
    return next((name for name, is_there in wanted.items() if not is_there), "")


class LiveSocket(StreamHandler, tornado.websocket.WebSocketHandler):
    """One WebSocket reader."""

    orders: Orders
    encoders: dict[bool, CountingEncoder]

    _transport: StreamTransport
    _commands: Commands | None = None
    _awaited_key: asyncio.TimerHandle | None = None

    async def prepare(self) -> None:
        """Admit, and answer before the upgrade what cannot be served after it."""
        await super().prepare()
        if self.request.method not in ("GET", "HEAD"):
            return
        missing = missing_for_upgrade(self.request)
        if missing:
            raise Problem(
                426,
                f"this is a WebSocket: ask for an upgrade with {missing}",
                headers={"Upgrade": "websocket", "Sec-WebSocket-Version": VERSION},
            )
        self.admit_reader()

    def admit(self, scope: str) -> None:
        """Admit now; without a key or ticket, let the first frame bring the key."""
        headers, names = self.request.headers, self.query_names()
        shown = "Authorization" in headers or "X-API-Key" in headers or "ticket" in names
        if shown or not self.gate.key_required:
            super().admit(scope)
            return
        self.gate.admit_caller(headers, names, self.address)  # refuses a key in the URL
        self.count(1, None)

    def check_origin(self, origin: str) -> bool:
        """Origins are checked in `prepare`, with an answer that says why."""
        return True

    async def open(self, *_parts: str) -> None:
        """Take a place; begin at once, or when the first frame has brought a key."""
        assert isinstance(self.ws_connection, tornado.websocket.WebSocketProtocol)
        assert self.ws_connection.stream is not None
        # Two kilobytes that nobody asks for again, as long as it is open.
        self.request.headers.clear()
        self._headers.clear()
        self._running: set[asyncio.Task[None]] = set()
        if self.caller.may("read"):
            self.audience.seat(self)
            try:
                await self._begin()
            except BaseException:  # Tornado closes the connection, and never calls `on_close`
                self.on_close()
                raise
        elif not self.audience.anteroom.enter(self):
            self.turn_away()
        else:
            loop = asyncio.get_running_loop()
            self._awaited_key = loop.call_later(AUTH_WITHIN_S, self.expel)

    @property
    def is_stalled(self) -> bool:
        """Whether it is served and does not read; without a key nobody is served."""
        return False

    def turn_away(self) -> None:
        """Too many others have not shown a key yet: close, and wait for no answer."""
        self._hear_no_more()
        stream = self.ws_connection.stream if self.ws_connection is not None else None
        self.close(TRY_AGAIN_LATER, "too many connections wait to show a key")
        if stream is not None:
            stream.close()

    async def _begin(self) -> None:
        """Welcome the reader, and begin where it asks to."""
        assert isinstance(self.ws_connection, tornado.websocket.WebSocketProtocol)
        assert self.ws_connection.stream is not None
        self._encoder = self.encoders[self._asked["batch"]]
        self._transport = self.make_reader(self.ws_connection.stream, self._encoder, self.close)
        self._commands = Commands(self, self.orders)
        self.tell(self.welcome())
        await self.start_reader()

    async def on_message(self, message: str | bytes) -> None:
        """Begin one command; its answer may overtake that of a slower one."""
        if self._commands is None:
            await self._authenticate(message)
            return
        if self._transport.unsent_bytes > 2 * self.max_unsent_bytes:
            # It asks and does not read the answers: no more questions until it has.
            await self._transport.wait_until_sent()
        if message == "ping":
            self.tell({"type": "pong"})
            return
        while len(self._running) >= MAX_PENDING_COMMANDS:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        task = asyncio.create_task(self._answer(self._commands, message))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _authenticate(self, message: str | bytes) -> None:
        """Take the first frame as the key; close with 1008 when it is not a good one."""
        if self._awaited_key is None:
            return  # refused already
        self._awaited_key.cancel()
        self._awaited_key = None
        try:
            caller = self.gate.check_key(key_of_first_frame(message), self.address)
            self.caller = self.gate.require(caller, "read")
        except Problem as problem:
            self.close(POLICY_VIOLATION, problem.detail)
            return
        if self.audience.is_full:
            self.close(TRY_AGAIN_LATER, "all places for readers are taken (WS_MAX_CONNECTIONS)")
            return
        self.audience.anteroom.leave(self)
        self.audience.seat(self)
        await self._begin()

    async def _answer(self, commands: Commands, message: str | bytes) -> None:
        self.tell(await commands.answer(message))

    def tell(self, fields: dict[str, object]) -> None:
        """Send this reader a frame of its own; nothing may follow a close."""
        if self.ws_connection is None or self.ws_connection.is_closing():
            return
        self._transport.write(self._encoder.frame(fields))

    def dismiss(self, why: str) -> None:
        """Close with 1001: the service stops, or its log begins anew."""
        self._hear_no_more()
        self.close(GOING_AWAY, why)

    def expel(self) -> None:
        """The key is missing, revoked or expired: close with 1008."""
        self._hear_no_more()
        self.close(POLICY_VIOLATION, "the key is missing, revoked or expired")

    def _hear_no_more(self) -> None:
        """Send nothing and do nothing more, however long the peer takes to close."""
        self.end_reader()
        self._commands = None
        if self._awaited_key is not None:
            self._awaited_key.cancel()
            self._awaited_key = None

    def on_close(self) -> None:
        """Forget the reader. Commands that are with the broker run to their end."""
        self.audience.release(self)
        self.audience.anteroom.leave(self)
        if self._awaited_key is not None:
            self._awaited_key.cancel()
        self._commands = None  # they refer to us, which only the GC would undo
        self.end_reader()
