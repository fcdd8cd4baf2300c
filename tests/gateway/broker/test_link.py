"""The broker's thread: one connection after the other, over a client made of a socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

import gateway.broker.link as module
from gateway.broker.buffered_socket import BufferedSocket
from gateway.broker.link import Link

WAIT_S = 10


class ByteClient:
    """The client of an external loop, for a protocol in which each byte is a packet."""

    def __init__(self, faults: list[Exception]) -> None:
        self.faults = faults
        self.peers: list[socket.socket] = []
        self.received = bytearray()
        self.queued = bytearray()
        self.socket: BufferedSocket | None = None
        self.connected = threading.Semaphore(0)
        self.misc = 0

    def reconnect(self) -> None:
        if self.faults:
            raise self.faults.pop(0)
        ours, theirs = socket.socketpair()
        theirs.settimeout(WAIT_S)
        self.socket = BufferedSocket(ours)
        self.socket.setblocking(False)
        self.peers.append(theirs)
        self.connected.release()

    def loop_read(self) -> None:
        assert self.socket is not None
        try:
            data = self.socket.recv(1)
        except BlockingIOError:
            return
        if data == b"!":
            raise RuntimeError("a bug in a library")
        self.received += data
        if not data:
            self.drop()

    def loop_write(self) -> None:
        assert self.socket is not None
        self.socket.send(bytes(self.queued))
        self.queued.clear()

    def loop_misc(self) -> None:
        self.misc += 1

    def want_write(self) -> bool:
        return bool(self.queued)

    def drop(self) -> None:
        """End the connection, as a client does when it learns of the end."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None


class Track:
    """A link with its client, what it said, and the doors it asks at."""

    def __init__(self, faults: list[Exception]) -> None:
        self.client = ByteClient(faults)
        self.ends: list[str] = []
        self.ended = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.has_room = threading.Event()
        self.has_room.set()
        self.delay_s = 0.0
        self.left = 0
        self.link = Link(
            lambda: (self.client, lambda: self.client.socket),
            self.end,
            self.wait_for_room,
            self.leave,
        )

    def end(self, failure: str) -> float:
        """Note the end of an attempt."""
        self.client.drop()
        self.ends.append(failure)
        self.ended.release()
        return self.delay_s

    def wait_for_room(self, _timeout_s: float) -> bool:
        """Say whether the mailbox has room."""
        self.asked.release()
        return self.has_room.wait(0.01)

    def leave(self) -> None:
        """Say goodbye."""
        self.left += 1
        self.client.drop()

    def connected(self) -> socket.socket:
        """Wait for the next connection; return its other end."""
        assert self.client.connected.acquire(timeout=WAIT_S)
        return self.client.peers[-1]


@pytest.fixture
def lay(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Track]]:
    """Make tracks, and take them up at the end."""
    monkeypatch.setattr(module, "RECONNECT_DELAYS_S", (0.001, 0.002))
    tracks: list[Track] = []

    def make(*faults: Exception) -> Track:
        tracks.append(Track(list(faults)))
        return tracks[-1]

    yield make
    for track in tracks:
        track.link.stop(WAIT_S)
        assert not track.link.is_alive
        track.client.drop()
        for peer in track.client.peers:
            peer.close()


def test_a_burst_is_read_whole(lay: Callable[..., Track]) -> None:
    """Packets that were read ahead are handled without waiting for the socket again."""
    track = lay()
    track.link.start()
    peer = track.connected()
    sent = b"x" * (3 * module.READ_BURST + 7)
    peer.sendall(sent)
    peer.shutdown(socket.SHUT_WR)
    assert track.ended.acquire(timeout=WAIT_S)
    assert bytes(track.client.received) == sent


def test_what_is_queued_leaves_when_the_thread_is_woken(lay: Callable[..., Track]) -> None:
    """`wake` from another thread sends what waits, without the time-out of the poll."""
    track = lay()
    track.link.start()
    peer = track.connected()
    for part in (b"one", b"two"):
        track.client.queued += part
        track.link.wake()
        assert peer.recv(10) == part


def test_a_peer_that_stalls_gets_every_byte_later(lay: Callable[..., Track]) -> None:
    """What does not fit the socket is sent on when the peer reads."""
    track = lay()
    track.link.start()
    peer = track.connected()
    sent = bytes(range(256)) * 8_192
    track.client.queued += sent
    track.link.wake()
    received = bytearray()
    while len(received) < len(sent):
        received += peer.recv(65_536)
    assert bytes(received) == sent


def test_a_lost_connection_is_followed_by_another(lay: Callable[..., Track]) -> None:
    """However often the peer goes away, the link connects again."""
    track = lay()
    track.link.start()
    for _ in range(4):
        track.connected().close()
        assert track.ended.acquire(timeout=WAIT_S)
    track.connected()
    assert track.ends == [""] * 4


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "timed out"),
        (TimeoutError(), "timed out"),
        (ValueError("bad host"), "bad host"),
        (ZeroDivisionError("x"), "an unexpected error, which the log has"),
    ],
)
def test_a_failed_attempt_has_its_reason_and_is_repeated(
    lay: Callable[..., Track], fault: Exception, reason: str
) -> None:
    """Whatever an attempt throws, the reason is passed on, and the thread tries again."""
    track = lay(fault)
    track.link.start()
    track.connected()
    assert track.ends == [reason]


def test_an_error_in_a_library_costs_one_connection(lay: Callable[..., Track]) -> None:
    """An exception while reading ends this connection, and never the thread."""
    track = lay()
    track.link.start()
    track.connected().sendall(b"!")
    track.connected().sendall(b"ok")
    track.client.peers[-1].shutdown(socket.SHUT_WR)
    for _ in range(2):
        assert track.ended.acquire(timeout=WAIT_S)
    assert track.ends[0] == "an unexpected error, which the log has"
    assert track.client.received == b"ok"
    assert track.link.is_alive


def test_no_connection_is_made_while_there_is_no_room(lay: Callable[..., Track]) -> None:
    """A full mailbox keeps the link waiting, and room lets it connect."""
    track = lay()
    track.has_room.clear()
    track.link.start()
    for _ in range(3):
        assert track.asked.acquire(timeout=WAIT_S)
    assert track.client.peers == []
    track.has_room.set()
    track.connected()


def test_the_wait_that_was_asked_for_is_kept_and_can_be_stopped(lay: Callable[..., Track]) -> None:
    """After a takeover the link stays away, and a stop does not wait for that to end."""
    track = lay()
    track.delay_s = 600
    track.link.start()
    track.connected().close()
    assert track.ended.acquire(timeout=WAIT_S)
    assert not track.client.connected.acquire(timeout=0.1), "no attempt in the meantime"
    track.link.stop(WAIT_S)
    assert not track.link.is_alive


def test_a_stop_says_goodbye_once(lay: Callable[..., Track]) -> None:
    """Stopping leaves the broker and ends the thread; before a start it is harmless."""
    track = lay()
    track.link.start()
    track.connected()
    track.link.stop(WAIT_S)
    assert (track.left, track.link.is_alive) == (1, False)
    track.link.wake()  # after the end: nobody listens, and nothing breaks
    lay().link.stop(1)


def test_waits_grow_and_an_established_connection_resets_them(
    lay: Callable[..., Track], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure waits longer up to a bound, at least half of it; success begins anew."""
    track = lay()
    waits: list[float] = []
    monkeypatch.setattr(module, "RECONNECT_DELAYS_S", (1.0, 2.0, 4.0))
    monkeypatch.setattr(track.link, "_pause", waits.append)
    track.client.faults = [OSError("down") for _ in range(5)]
    track.link.start()
    peer = track.connected()
    assert len(waits) == 5
    for wait, usual in zip(waits, (1, 2, 4, 4, 4), strict=True):
        assert usual / 2 <= wait <= usual
    track.link.established()
    peer.close()
    track.connected()
    assert 0.5 <= waits[5] <= 1
