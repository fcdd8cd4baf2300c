"""What a reader's frames are written to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
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


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as peer,
    ):
        accepted, _ = server.accept()
        yield accepted, peer


async def test_a_frame_does_not_wait_for_the_one_before_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Nagle's algorithm is off: a peer that only reads acknowledges late, up to 40 ms."""
    accepted, _ = ends
    stream = tornado.iostream.IOStream(accepted)
    StreamTransport(stream)
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    stream.close()


async def test_a_frame_leaves_past_the_stream_while_that_has_nothing_to_send(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """It costs no future and no callback, and nothing is counted as unsent."""
    accepted, peer = ends
    stream = CountingStream(accepted)
    transport = StreamTransport(stream)
    for frame in (b"one", b"two"):
        transport.write(frame)
    assert peer.recv(3) + peer.recv(3) == b"onetwo"
    assert stream.given == [] and transport.unsent_bytes == 0
    stream.close()


async def test_the_order_holds_when_the_peer_does_not_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """What does not leave at once waits in the stream, and what follows waits behind it."""
    accepted, peer = ends
    stream = CountingStream(accepted)
    transport = StreamTransport(stream)
    transport.write(LARGE)
    assert len(stream.given) == 1 and 0 < stream.given[0] < len(LARGE)
    assert transport.unsent_bytes == stream.given[0]
    transport.write(b"behind it")
    assert stream.given[1:] == [9]
    received = bytearray()
    peer.setblocking(False)
    reading = tornado.iostream.IOStream(peer)
    received += await reading.read_bytes(len(LARGE) + 9)
    assert bytes(received) == LARGE + b"behind it"
    await transport.wait_until_sent()
    transport.write(b"and on")
    assert await reading.read_bytes(6) == b"and on"
    assert transport.unsent_bytes == 0
    reading.close()
    stream.close()


async def test_a_peer_that_is_gone_closes_the_stream(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """An error of the system is left to the stream, which closes as it always does."""
    accepted, _ = ends
    stream = CountingStream(accepted)
    transport = StreamTransport(stream)
    accepted.shutdown(socket.SHUT_WR)
    transport.write(b"to nobody")
    assert stream.closed()
    transport.write(b"nor this")
    assert transport.unsent_bytes == 0
