"""The less public parts of Tornado that the service builds on (docs/decisions/0005)."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.web
import tornado.websocket
from tornado.websocket import WebSocketHandler, WebSocketProtocol, websocket_connect

from handlers.frames import text_frame


async def test_a_ready_made_frame_is_read_between_those_of_tornado() -> None:
    """A frame written to `ws_connection.stream` arrives as a text message, in its place among
    Tornado's own frames, whatever its length."""
    lengths = (0, 1, 125, 126, 65_535, 65_536, 200_000)
    streams: list[Any] = []

    class Mixing(WebSocketHandler):
        def open(self) -> None:
            assert isinstance(self.ws_connection, WebSocketProtocol)
            stream = self.ws_connection.stream
            streams.append(stream)
            assert isinstance(stream, tornado.iostream.IOStream)
            for length in lengths:
                self.write_message(f"before {length}")
                stream.write(text_frame(b"x" * length))
                self.ping(b"between")
                stream.write(text_frame(b"1") + text_frame("ü".encode()))
                self.write_message(f"after {length}")

    pings: list[bytes] = []
    async with serving(Mixing) as port:
        connection = await websocket_connect(f"ws://127.0.0.1:{port}/")
        connection.on_ping = pings.append  # type: ignore[method-assign]
        for length in lengths:
            expected = [f"before {length}", "x" * length, "1", "ü", f"after {length}"]
            assert [await connection.read_message() for _ in expected] == expected
        connection.close()
        assert await connection.read_message() is None
    assert pings == [b"between"] * len(lengths)
    assert streams[0].closed()


async def test_a_write_is_done_when_the_bytes_have_left() -> None:
    """The future of a write to the stream is pending while the peer does not read, and done when
    it has: the count of unsent bytes rests on it."""
    size, done = 32 * 1024 * 1024, asyncio.Event()
    futures: list[Any] = []

    class Writing(WebSocketHandler):
        def open(self) -> None:
            assert isinstance(self.ws_connection, WebSocketProtocol)
            assert self.ws_connection.stream is not None
            futures.append(self.ws_connection.stream.write(text_frame(b"x" * size)))
            futures[0].add_done_callback(lambda _: done.set())

    async with serving(Writing) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        assert not futures[0].done()
        left = size + 10
        while left:
            left -= len(await reader.read(left))
        async with asyncio.timeout(10):
            await done.wait()
        assert futures[0].exception() is None
        writer.close()
        await writer.wait_closed()


async def test_a_write_to_a_peer_that_has_gone_ends_with_an_exception_and_closes() -> None:
    """Nothing that was written hangs for ever: when the peer is gone, pending writes end."""
    futures: list[Any] = []
    closed = asyncio.Event()

    class Writing(WebSocketHandler):
        def open(self) -> None:
            assert isinstance(self.ws_connection, WebSocketProtocol)
            assert self.ws_connection.stream is not None
            for _ in range(3):
                futures.append(self.ws_connection.stream.write(text_frame(b"x" * 8_000_000)))

        def on_close(self) -> None:
            closed.set()

    async with serving(Writing) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        async with asyncio.timeout(10):
            while not futures:
                await asyncio.sleep(0)
            writer.transport.abort()
            await closed.wait()
            while not futures[-1].done():
                await asyncio.sleep(0)
        assert isinstance(futures[-1].exception(), tornado.iostream.StreamClosedError)
        for future in futures:
            future.exception()


async def test_a_handler_called_by_ourselves_answers_with_no_transforms() -> None:
    """`_transforms` is all that Tornado sets before it calls a handler (docs/decisions/0016)."""
    names = inspect.signature(tornado.web.RequestHandler._execute).parameters
    assert list(names) == ["self", "transforms", "args", "kwargs"]
    source = inspect.getsource(tornado.web.RequestHandler._execute)
    assert "self._transforms = transforms" in source
    assert "for transform in self._transforms" in inspect.getsource(
        tornado.web.RequestHandler.flush
    )
    assert tornado.web.Application([]).transforms == [], "none is on by default"


class serving:
    """A server with one WebSocket at /."""

    def __init__(self, handler: type[WebSocketHandler]) -> None:
        self._server = tornado.httpserver.HTTPServer(tornado.web.Application([("/", handler)]))

    async def __aenter__(self) -> int:
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        port: int = sockets[0].getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._server.stop()
        await self._server.close_all_connections()
