"""What WebSocket and SSE share: admission of a reader, its query, its welcome, and its transport.

Answers for: turning a query into a reader of the log. Does not: know frames or events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import tornado.iostream

from gateway.audience import Audience
from gateway.holdings import Holdings
from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.reader import Reader
from handlers.base import Handler
from handlers.conflation import Conflation, CountingEncoder
from handlers.parsing import parse_moment, parse_query
from handlers.problems import Problem
from store.errors import HistoryUnavailable, QueryTimeout
from store.history import History
from store.message import iso_time
from store.selection import Position, parse_position
from store.topics import TopicFilter

# Below this a reader that is fed from the log gets its next page.
LOW_WATER_BYTES = 64 * 1024
RETRY_S = 0.5


class StreamTransport:
    """Writes ready-made bytes to a Tornado stream and counts what has not left."""

    def __init__(self, stream: tornado.iostream.IOStream) -> None:
        self._stream = stream
        self._is_plain = not isinstance(stream, tornado.iostream.SSLIOStream)
        # Else a frame waits until the one before it is acknowledged, which a peer that only reads
        # delays by up to 40 ms; frames are joined already where several leave at once.
        stream.set_nodelay(True)
        self.unsent_bytes = 0
        """Bytes taken and not yet given to the system. Nobody else may change it."""
        self._sent: asyncio.Event | None = None
        """Made by who first waits: a reader that keeps up never does, and it has 0.7 kB."""

    def write(self, data: bytes) -> None:
        """Take the bytes; never blocks. A closed stream swallows them: its reader is ending."""
        stream = self._stream
        if not data or stream.closed():
            return
        sent = 0
        if self._is_plain and not stream.writing():
            # Past the stream, which has nothing to send before it: with a buffer, a future and a
            # callback a write costs half as much again, for each reader
            # (docs/decisions/0005-frames-on-the-stream.md). TLS has a state of its own.
            try:
                sent = stream.socket.send(data)
            except OSError:
                pass  # nothing leaves now, or never again: the stream finds out which
            if sent == len(data):
                return
        future = self._stream.write(memoryview(data)[sent:] if sent else data)
        if future.done():
            future.exception()  # a stream that just closed; seen here so that nobody warns
        else:
            left = len(data) - sent
            self.unsent_bytes += left
            future.add_done_callback(lambda done: self._left(done, left))

    def _left(self, done: asyncio.Future[None], size: int) -> None:
        if not done.cancelled():
            done.exception()
        self.unsent_bytes -= size
        if self._sent is not None and self.unsent_bytes <= LOW_WATER_BYTES:
            self._sent.set()

    async def wait_until_sent(self) -> None:
        """Wait until little is left, or the stream is closed."""
        if self._sent is None:
            self._sent = asyncio.Event()
        while self.unsent_bytes > LOW_WATER_BYTES and not self._stream.closed():
            self._sent.clear()
            await self._sent.wait()


class StreamHandler(Handler):
    """Base of the two kinds of reader."""

    hub: Hub
    history: History
    holdings: Holdings
    audience: Audience
    metrics: Metrics
    now_us: Callable[[], int]
    max_unsent_bytes: int

    _reader: Reader | None = None
    _conflation: Conflation | None = None
    _asked: dict[str, Any]

    def admit_reader(self) -> None:
        """Check origin, query and room; raise the Problem before anything has begun."""
        if self.request.method not in ("GET", "HEAD"):
            return
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

    def admit(self, scope: str) -> None:
        """Admit by ticket, which stands for the key it was issued to, or as any request."""
        tickets = [text for name, text in parse_query(self.request.query) if name == "ticket"]
        if not self.gate.key_required or not tickets:
            super().admit(scope)
            return
        self.gate.refuse_key_in_url(self.query_names())
        caller = self.gate.tickets.redeem(tickets[0])
        if caller is None or not self.gate.keyring.is_valid(caller):
            raise Problem(
                401,
                "the ticket is unknown, used, older than 30 s, or of a key that has ended",
                headers={"WWW-Authenticate": "Bearer"},
            )
        self.count(1, caller)
        self.caller = self.gate.require(caller, scope)

    def wanted(self, texts: Iterable[str]) -> TopicFilter:
        """Return what this reader sees: what it asks for, within what it may see."""
        return TopicFilter(texts, self.caller.read)

    def change_topics(self, texts: Iterable[str]) -> None:
        """See other topics from now on."""
        assert self._reader is not None
        self._reader.change_topics(self.wanted(texts))

    @property
    def is_welcome(self) -> bool:
        """Whether the caller's key is still good."""
        return self.gate.keyring.is_valid(self.caller)

    def make_reader(
        self,
        stream: tornado.iostream.IOStream,
        encoder: CountingEncoder,
        on_end: Callable[[], None],
    ) -> StreamTransport:
        """Make the reader; return what its own frames are written to."""
        transport = StreamTransport(stream)
        if "conflate" in self._asked:
            self._conflation = Conflation(
                encoder, transport, self._asked["conflate"] / 1000, self.max_unsent_bytes
            )
        self._reader = Reader(
            self.hub,
            self.history,
            self.metrics,
            transport,
            self.wanted(self._asked["topic"]),
            self._conflation or encoder,
            max_unsent_bytes=self.max_unsent_bytes,
            on_end=on_end,
        )
        return transport

    def welcome(self) -> dict[str, object]:
        """Return the fields of the first frame."""
        totals = self.history.totals()
        return {
            "type": "welcome",
            "message": "Connected to GhostMesh MQTT API",
            "timestamp": iso_time(self.now_us()),
            "epoch": totals.epoch,
            "newest_id": self.hub.newest_id,
            "oldest_id": totals.oldest_id,
            "uncovered": self.holdings.uncovered(TopicFilter(self._asked["topic"])),
        }

    async def start_reader(self, resume: Position | None = None) -> None:
        """Begin where the caller asks to: a resumed position, `after`, `since`, or the head."""
        assert self._reader is not None
        if resume is not None:
            self._reader.start_at(resume)
        elif "after" in self._asked:
            self._reader.start_at(parse_position(self._asked["after"]))
        elif self._asked.get("since") == "all":
            self._reader.start_after(0)
        elif "since" in self._asked:
            since_us = parse_moment(self._asked["since"], self.now_us())
            self._reader.start_after(await self._position_before(since_us))
        else:
            self._reader.start_at(None)

    async def _position_before(self, since_us: int) -> int:
        """Ask the history; the stream has begun, so a busy moment is waited for."""
        while True:
            try:
                return await self.history.position_before(since_us)
            except (QueryTimeout, HistoryUnavailable):
                await asyncio.sleep(RETRY_S)

    @property
    def position_id(self) -> int | None:
        """The id up to which everything was written, where that is known."""
        if self._reader is None or not (self._conflation is None or self._conflation.is_empty):
            return None
        return self._reader.position_id

    @property
    def is_behind(self) -> bool:
        """Whether it is being fed from the history."""
        return self._reader is not None and self._reader.is_behind

    @property
    def is_full(self) -> bool:
        """Whether it is about to fall behind: what is sent now comes again from the history."""
        return self._reader is not None and self._reader.is_full

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Count what ends a stream by our own fault, after the upgrade too."""
        if self.is_our_fault(value):
            self.metrics.failures.counts["stream"] += 1
        super().log_exception(typ, value, tb)

    def end_reader(self) -> None:
        """Forget the reader. Safe to repeat."""
        if self._reader is not None:
            self._reader.close()
        if self._conflation is not None:
            self._conflation.close()
