"""handlers/door.py: what a connection writes, on real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tornado.iostream

from handlers.door import Connection
from handlers.refusals import BARE_400

# More than the system takes at once, however large its buffers.
LARGE = bytes(range(256)) * 64 * 1024


@contextmanager
def connected() -> Iterator[tuple[Connection, socket.socket]]:
    """Connect: our end, and the peer's."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as peer,
    ):
        peer.settimeout(10)
        connection = Connection(server.accept()[0])
        yield connection, peer
        connection.close()


async def test_an_answer_that_the_system_takes_is_written_when_write_returns() -> None:
    """Nothing waits in the stream, and nobody has to wait for it."""
    with connected() as (connection, peer):
        assert connection.write(b"one").done()
        assert connection.write(memoryview(b"two")).done()
        assert not connection.writing()
        assert peer.recv(3) + peer.recv(3) == b"onetwo"


async def test_the_order_holds_when_the_peer_does_not_read() -> None:
    """What is not taken at once waits in the stream, and what follows waits behind it."""
    with connected() as (connection, peer):
        large, behind = connection.write(LARGE), connection.write(b"behind it")
        assert connection.writing() and not large.done() and not behind.done()
        peer.setblocking(False)
        reading = tornado.iostream.IOStream(peer)
        assert await reading.read_bytes(len(LARGE) + 9) == LARGE + b"behind it"
        await large
        await behind
        assert connection.write(b"and on").done()
        assert await reading.read_bytes(6) == b"and on"
        reading.close()


async def test_a_peer_that_is_gone_closes_the_connection() -> None:
    """An error of the system is left to the stream, which closes as it always does."""
    with connected() as (connection, _):
        connection.socket.shutdown(socket.SHUT_WR)
        failed: Any = connection.write(b"to nobody")
        assert connection.closed()
        assert isinstance(failed.exception(), tornado.iostream.StreamClosedError)


async def test_what_tornado_refuses_gets_its_problem_document() -> None:
    """Its bare 400 never leaves."""
    with connected() as (connection, peer):
        connection.write(BARE_400)
        answer = peer.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in answer
