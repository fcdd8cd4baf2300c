"""A socket that reads ahead and writes together.

Answers for: sparing system calls. paho asks for 1, 1 and n bytes of each packet and sends each
acknowledgement alone; read ahead, its thread takes half as many messages again (measured:
docs/decisions/0003-reading-ahead.md). Does not: know MQTT.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections import deque

READ_BYTES = 64 * 1024
QUICK_ACK: int = getattr(socket, "TCP_QUICKACK", 0)  # Linux has it


class BufferedSocket:
    """Wraps a connected, non-blocking socket. For one thread, the one that reads and writes, but
    for `post`, `offer` and `flush_now`, which any thread may call.

    `send` keeps what it is given until `flush`, so that a burst of packets leaves as one.
    `sending` is held by whoever sends; held over several calls, nothing comes between them.
    """

    def __init__(self, wrapped: socket.socket) -> None:
        self._socket = wrapped
        self._ahead = b""
        self._at = 0
        self._unsent = bytearray()
        self._posted: deque[bytes] = deque()
        # A broker that leaves Nagle's algorithm on, as mosquitto does, keeps the next message until
        # the system here acknowledges the one before: with our answer, which waits for a commit,
        # or after 40 ms.
        self._quick_ack = QUICK_ACK and wrapped.family in (socket.AF_INET, socket.AF_INET6)
        self.sending = threading.RLock()
        self.was_reset = False
        """The network or the peer broke the connection, instead of closing it."""

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, b'' at the end; BlockingIOError when there is nothing."""
        if self._at == len(self._ahead):
            self._read_ahead()
        part = self._ahead[self._at : self._at + size]
        self._at += len(part)
        return part

    def _read_ahead(self) -> None:
        try:
            self._ahead, self._at = self._socket.recv(READ_BYTES), 0
        except ConnectionResetError:
            self.was_reset = True
            raise
        if self._quick_ack and self._ahead:
            self._socket.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)  # the system forgets it

    def look(self) -> tuple[bytes, int]:
        """Read ahead if need be; return what was, and where in it the next unread byte is.

        The end of the connection, or an error, is for `recv` to tell.
        """
        if self._at == len(self._ahead):
            try:
                self._read_ahead()
            except OSError:
                pass
        return self._ahead, self._at

    def skip_to(self, at: int) -> None:
        """Take everything before `at`, a place in what `look` returned, as read."""
        self._at = at

    def pending(self) -> int:
        """Return how many bytes can be read without asking the system."""
        ahead = len(self._ahead) - self._at
        if not ahead and isinstance(self._socket, ssl.SSLSocket):
            return self._socket.pending()
        return ahead

    def send(self, data: bytes | bytearray) -> int:
        """Take all of the bytes; they leave with the next `flush`."""
        with self.sending:
            self._unsent += data
        return len(data)

    def post(self, data: bytes) -> None:
        """Take whole packets from any thread; they leave with the next `flush`."""
        self._posted.append(data)

    def offer(self, data: bytes) -> bool:
        """Take whole packets from any thread, behind all that was taken before; they leave with
        `flush_now`, or with the next `flush`. False when that cannot be, and nothing was taken."""
        # OpenSSL's connections are for one thread at a time, and another may be reading.
        if isinstance(self._socket, ssl.SSLSocket) or not self.sending.acquire(blocking=False):
            return False
        self._unsent += data
        self.sending.release()
        return True

    def flush_now(self) -> bool:
        """Send what was taken, from any thread, without waking the one that reads; return whether
        all of it left. When not, that thread has to be woken."""
        if isinstance(self._socket, ssl.SSLSocket) or not self.sending.acquire(blocking=False):
            return False
        try:
            return self.flush()
        except OSError:
            return False  # the peer is gone: the thread that reads finds out why
        finally:
            self.sending.release()

    def flush(self) -> bool:
        """Send what was taken; return whether all of it left. OSError when the peer is gone."""
        with self.sending:
            while self._posted:
                self._unsent += self._posted.popleft()
            try:
                while self._unsent:
                    sent = self._socket.send(self._unsent)
                    del self._unsent[:sent]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return False
            except (ConnectionResetError, BrokenPipeError):
                self.was_reset = True
                raise
            return True

    @property
    def unsent_bytes(self) -> int:
        """How many bytes wait for the peer."""
        return len(self._unsent)

    def setblocking(self, flag: bool) -> None:
        """As of a socket."""
        self._socket.setblocking(flag)

    def fileno(self) -> int:
        """As of a socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """As of a socket: a last flush, then closed."""
        with self.sending:  # nobody sends to a descriptor that may be another file's already
            try:
                self.flush()
            except OSError:
                pass  # the peer is gone, and so is what it would have got
            self._socket.close()
