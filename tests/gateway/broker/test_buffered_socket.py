"""A socket that reads ahead and writes together."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from gateway.broker.buffered_socket import READ_BYTES, BufferedSocket


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    """A buffered end and the plain end it talks to."""
    ours, theirs = socket.socketpair()
    buffered = BufferedSocket(ours)
    buffered.setblocking(False)
    theirs.settimeout(5)
    yield buffered, theirs
    ours.close()
    theirs.close()


def test_small_reads_cost_one_system_call(pair: tuple[BufferedSocket, socket.socket]) -> None:
    """After the first byte the rest of the burst is ahead, and comes out in order."""
    buffered, theirs = pair
    theirs.sendall(b"0123456789")
    assert buffered.recv(1) == b"0"
    assert buffered.pending() == 9
    assert [buffered.recv(size) for size in (1, 3, 100)] == [b"1", b"234", b"56789"]
    assert buffered.pending() == 0


def test_nothing_to_read_is_said_as_by_a_socket(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    """An empty socket raises BlockingIOError, a closed one gives b'' after all that came."""
    buffered, theirs = pair
    with pytest.raises(BlockingIOError):
        buffered.recv(10)
    theirs.sendall(b"last")
    theirs.close()
    assert [buffered.recv(2) for _ in range(3)] == [b"la", b"st", b""]


def test_a_burst_of_packets_leaves_as_one(pair: tuple[BufferedSocket, socket.socket]) -> None:
    """Nothing leaves before `flush`, and then all of it at once."""
    buffered, theirs = pair
    assert buffered.send(b"ab") == 2
    assert buffered.send(bytearray(b"cd")) == 2
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(10)
    assert buffered.unsent_bytes == 4
    assert buffered.flush() is True
    assert theirs.recv(10) == b"abcd"
    assert buffered.unsent_bytes == 0


def test_a_peer_that_does_not_read_loses_no_byte(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    """What the system does not take stays, in order, until the peer reads."""
    buffered, theirs = pair
    sent = bytes(range(256)) * 8_192
    buffered.send(sent)
    assert buffered.flush() is False
    assert 0 < buffered.unsent_bytes < len(sent)
    received = bytearray()
    while len(received) < len(sent):
        received += theirs.recv(READ_BYTES)
        buffered.flush()
    assert bytes(received) == sent
    assert buffered.flush() is True


def test_a_peer_that_is_gone_is_an_error(pair: tuple[BufferedSocket, socket.socket]) -> None:
    """`flush` raises OSError, and `close` does not."""
    buffered, theirs = pair
    theirs.close()
    buffered.send(b"x")
    with pytest.raises(OSError):
        buffered.flush()
    buffered.close()
    assert buffered.fileno() == -1


def test_close_sends_what_waits(pair: tuple[BufferedSocket, socket.socket]) -> None:
    """The last packets leave before the socket is closed."""
    buffered, theirs = pair
    buffered.send(b"goodbye")
    buffered.close()
    assert (theirs.recv(10), theirs.recv(10)) == (b"goodbye", b"")


def test_nobody_sends_while_the_descriptor_is_closed(
    pair: tuple[BufferedSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number could be that of another file at once, and what is sent then goes there."""
    buffered, _ = pair
    sent: list[bool] = []

    class Closing(socket.socket):
        def close(self) -> None:
            other = threading.Thread(target=lambda: sent.append(buffered.offer(b"x")))
            other.start()
            other.join()
            super().close()

    closing = Closing(fileno=buffered._socket.detach())
    monkeypatch.setattr(buffered, "_socket", closing)
    buffered.close()
    assert sent == [False]
    assert buffered.fileno() == -1


def test_what_another_thread_offers_leaves_behind_what_waits(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    """From any thread, without the one that reads, and never before what was taken earlier."""
    buffered, theirs = pair
    buffered.send(b"a")
    assert buffered.offer(b"b") is True
    buffered.send(b"c")
    assert buffered.flush_now() is True
    assert theirs.recv(10) == b"abc"
    assert buffered.unsent_bytes == 0


def test_nothing_comes_between_the_writes_of_another_thread(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    """While one thread sends, another is told to leave it to that one."""
    buffered, theirs = pair
    answers: list[bool] = []
    with buffered.sending:
        other = threading.Thread(
            target=lambda: answers.extend((buffered.offer(b"late"), buffered.flush_now()))
        )
        other.start()
        other.join()
    assert answers == [False, False]
    assert buffered.offer(b"!") and buffered.flush_now()
    assert theirs.recv(10) == b"!"


def test_a_full_socket_keeps_the_rest_for_the_next_flush(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    """Nothing is lost when the peer does not read, and nothing blocks or raises."""
    buffered, theirs = pair
    packet = bytes(range(256)) * 1_000
    sent = len(packet)
    assert buffered.offer(packet)
    while buffered.flush_now():
        assert buffered.offer(packet)
        sent += len(packet)
    got = b""
    while len(got) < sent:
        got += theirs.recv(1 << 20)
        buffered.flush()
    assert got == packet * (sent // len(packet))
    theirs.close()
    assert buffered.offer(b"to nobody")
    assert buffered.flush_now() is False, "the thread that reads finds out"


def test_what_was_read_is_acknowledged_at_once() -> None:
    """A broker with Nagle's algorithm on keeps the next message back until then."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as ours,
        server.accept()[0] as theirs,
    ):
        buffered = BufferedSocket(ours)
        ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        theirs.sendall(b"x")
        assert buffered.recv(1) == b"x"
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
