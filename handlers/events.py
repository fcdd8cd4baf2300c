"""`GET /events`: the log as Server-Sent Events.

Answers for: the form of an event, heartbeats, and the end of a stream. Does not: decide what a
reader is sent; gateway/reader.py does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import tornado.iostream

from handlers.conflation import CountingEncoder
from handlers.frames import skipped_field
from handlers.problems import Fault, unprocessable
from handlers.stream import StreamHandler
from store.message import Message, compact_json, message_fields
from store.selection import InvalidPosition, Position, parse_position

RETRY_MS = 2_000
LAST_CHUNK = b"0\r\n\r\n"
LAST_CHUNK_S = 5


def chunk(content: bytes) -> bytes:
    """Return one chunk of HTTP/1.1 chunked transfer coding (RFC 9112, section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(content), content) if content else b""


class EventEncoder:
    """Events in chunks of HTTP/1.1. One instance serves all readers."""

    def __init__(self, epoch: Callable[[], str]) -> None:
        self._epoch = epoch

    def encode(self, message: Message, skipped: int | None = None) -> bytes:
        """Return the event of one message; its id is the position, where it has one."""
        data = '{"type":"message",' + message_fields(message) + skipped_field(skipped) + "}"
        return self._event("message", data, message.id)

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return the events as one chunk."""
        return chunk(b"".join(pieces))

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """Return another event as a chunk."""
        return chunk(self._event(str(fields["type"]), compact_json(fields), position_id))

    def beat(self, position_id: int | None) -> bytes:
        """Return a comment, and the position with it: an `id` without data is no event, and yet
        the place to resume from. One whose topics are quiet so moves on with the log."""
        return chunk(b":\n" + self._place(position_id) + b"\n")

    def _place(self, position_id: int | None) -> bytes:
        return (
            b"" if position_id is None else b"id: %b.%d\n" % (self._epoch().encode(), position_id)
        )

    def _event(self, name: str, data: str, position_id: int | None) -> bytes:
        # JSON never holds a raw line feed, so one data line is enough.
        return self._place(position_id) + f"event: {name}\ndata: {data}\n\n".encode()


class LimitedEvents:
    """Events for one reader that wants so many messages and then the end.

    `is_refused` says whether the reader will not take what is joined now: it comes once more.
    """

    def __init__(
        self,
        encoder: CountingEncoder,
        limit: int,
        on_limit: Callable[[], None],
        is_refused: Callable[[], bool],
    ) -> None:
        self._encoder = encoder
        self._left = limit
        self._on_limit = on_limit
        self._is_refused = is_refused

    def encode(self, message: Message, skipped: int | None = None) -> bytes:
        """Return the event of one message."""
        return self._encoder.encode(message, skipped)

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return as many of the events as are still wanted."""
        if self._is_refused():
            return b""
        wanted = pieces[: self._left]
        self._left -= len(wanted)
        if not self._left:
            asyncio.get_running_loop().call_soon(self._on_limit)
        return self._encoder.join(wanted)

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """Return another event."""
        return self._encoder.frame(fields, position_id)


class Events(StreamHandler):
    """One SSE reader."""

    encoder: EventEncoder
    heartbeat_s: float

    _stream: tornado.iostream.IOStream | None = None
    _beat: asyncio.TimerHandle | None = None
    _is_over = False

    async def prepare(self) -> None:
        """Admit the reader before anything is written."""
        await super().prepare()
        self.admit_reader()

    async def get(self) -> None:
        """Begin the stream; the connection lives on when this returns."""
        resume = self._last_event_id()
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Connection", "close")
        self.add_cors_headers()
        if self.request.method == "HEAD" or self.request.version == "HTTP/1.0":
            await self.finish()
            return
        self.audience.seat(self)  # before anything is awaited, so that the cap holds
        try:
            await self.flush()
            self._stream = stream = self.detach()
            self.ui = None  # type: ignore[assignment]  # it refers to us; `finish` is never called
        except tornado.iostream.StreamClosedError:
            self.audience.release(self)
            return  # it hung up in this very moment: nobody is there to be told
        except BaseException:
            self.audience.release(self)
            raise
        stream.set_close_callback(self._closed)
        if self._is_over:
            stream.close()
        if stream.closed():  # it left at once, and then nobody calls back
            self._closed()
            return
        encoder: CountingEncoder = self.encoder
        if "limit" in self._asked:
            limit = self._asked["limit"]
            encoder = LimitedEvents(encoder, limit, self.dismiss, lambda: self.is_full)
        self._transport = self.make_reader(stream, encoder, self.dismiss)
        self._transport.write(chunk(b"retry: %d\n\n" % RETRY_MS))
        # At the head a browser that is cut before the first message must know where it was.
        at_head = resume is None and not {"after", "since"} & self._asked.keys()
        position_id = self.hub.newest_id if at_head else None
        self._transport.write(self.encoder.frame(self.welcome(), position_id))
        self._schedule_beat()
        try:
            await self.start_reader(resume)
        except BaseException:  # a stream that would only beat looks like a quiet one
            self.dismiss()
            raise

    def _last_event_id(self) -> Position | None:
        """Return where the reader stopped; it wins over the query."""
        given = self.request.headers.get("Last-Event-ID")
        if not given:
            return None
        try:
            return parse_position(given)
        except InvalidPosition as error:
            raise unprocessable([Fault("Last-Event-ID", str(error))]) from None

    def _schedule_beat(self) -> None:
        loop = asyncio.get_running_loop()
        self._beat = loop.call_later(self.heartbeat_s, self._send_beat)

    def _send_beat(self) -> None:
        if not self._transport.unsent_bytes:
            self._transport.write(self.encoder.beat(self.position_id))
        self._schedule_beat()

    def dismiss(self, why: str = "") -> None:
        """End the stream in order: all readers are dismissed, or the limit is reached.

        The reason, where there is one, is a comment, as that of a WebSocket's close is no frame.
        What is gone is told to who comes back: only then is it known where he stopped.
        """
        self.end_reader()
        if self._beat is not None:
            self._beat.cancel()
        if self._stream is not None and not self._stream.closed() and not self._is_over:
            word = chunk(f": {why}\n\n".encode()) if why else b""
            future = self._stream.write(word + LAST_CHUNK)
            stream = self._stream
            future.add_done_callback(lambda done: _close(stream, done))
            # One that does not read gets no more time than this.
            asyncio.get_running_loop().call_later(LAST_CHUNK_S, stream.close)
        self._is_over = True

    def expel(self) -> None:
        """The key was revoked or has expired: end the stream."""
        self.dismiss("the key is revoked or expired")

    def _closed(self) -> None:
        self.audience.release(self)
        if self._beat is not None:
            self._beat.cancel()
        self.end_reader()


def _close(stream: tornado.iostream.IOStream, done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
    stream.close()
