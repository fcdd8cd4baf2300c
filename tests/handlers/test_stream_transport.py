"""What a reader's frames are written to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tornado.iostream

from handlers.stream import StreamTransport

# More than the system takes at once, however large its buffers.
LARGE = bytes(range(256)) * 64 * 1024


class CountingStream(tornado.iostream.IOStream):
    """Knows what was given to it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.given: list[int] = []

    def write(self, data: Any) -> Any:
        self.given.append(len(data))
        return super().write(data)


@contextmanager
def connected() -> Iterator[tuple[CountingStream, StreamTransport, socket.socket]]:
    """Connect: our stream, the transport that writes to it, and the peer's end."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as peer,
    ):
        stream = CountingStream(server.accept()[0])
        yield stream, StreamTransport(stream), peer
        stream.close()


async def test_a_frame_does_not_wait_for_the_one_before_it() -> None:
    """Nagle's algorithm is off: a peer that only reads acknowledges late, up to 40 ms."""
    with connected() as (stream, _, _):
        assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_frame_leaves_past_the_stream_while_that_has_nothing_to_send() -> None:
    """It costs no future and no callback, and nothing is counted as unsent."""
    with connected() as (stream, transport, peer):
        for frame in (b"one", b"two"):
            transport.write(frame)
        assert peer.recv(3) + peer.recv(3) == b"onetwo"
        assert stream.given == [] and transport.unsent_bytes == 0


async def test_the_order_holds_when_the_peer_does_not_read() -> None:
    """What does not leave at once waits in the stream, and what follows waits behind it."""
    with connected() as (stream, transport, peer):
        transport.write(LARGE)
        assert len(stream.given) == 1 and 0 < stream.given[0] < len(LARGE)
        assert transport.unsent_bytes == stream.given[0]
        transport.write(b"behind it")
        assert stream.given[1:] == [9]
        peer.setblocking(False)
        reading = tornado.iostream.IOStream(peer)
        received = await reading.read_bytes(len(LARGE) + 9)
        assert received == LARGE + b"behind it"
        await transport.wait_until_sent()
        transport.write(b"and on")
        assert await reading.read_bytes(6) == b"and on"
        assert transport.unsent_bytes == 0
        reading.close()


async def test_a_peer_that_is_gone_closes_the_stream() -> None:
    """An error of the system is left to the stream, which closes as it always does."""
    with connected() as (stream, transport, _):
        stream.socket.shutdown(socket.SHUT_WR)
        transport.write(b"to nobody")
        assert stream.closed()
        transport.write(b"nor this")
        assert transport.unsent_bytes == 0
