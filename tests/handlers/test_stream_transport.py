"""What a reader's frames are written to."""

from __future__ import annotations

import socket

import tornado.iostream

from handlers.stream import StreamTransport


async def test_a_frame_does_not_wait_for_the_one_before_it() -> None:
    """Nagle's algorithm is off: a peer that only reads acknowledges late, up to 40 ms."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        accepted, _ = server.accept()
        stream = tornado.iostream.IOStream(accepted)
        StreamTransport(stream)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        stream.close()
