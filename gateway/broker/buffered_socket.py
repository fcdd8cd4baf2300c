"""A socket that reads ahead and writes together.

Answers for: sparing system calls. paho asks for 1, 1 and n bytes of each packet and sends each
acknowledgement alone; read ahead, its thread takes half as many messages again (measured:
docs/decisions/0003-reading-ahead.md). Does not: know MQTT.
"""

from __future__ import annotations

import socket
import ssl

READ_BYTES = 64 * 1024


class BufferedSocket:
    """Wraps a connected, non-blocking socket. For one thread, the one that reads and writes.

    `send` keeps what it is given until `flush`, so that a burst of packets leaves as one.
    """

    def __init__(self, wrapped: socket.socket) -> None:
        self._socket = wrapped
        self._read = memoryview(b"")
        self._unsent = bytearray()

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes, b'' at the end; BlockingIOError when there is nothing."""
        if not self._read:
            self._read = memoryview(self._socket.recv(READ_BYTES))
        part = bytes(self._read[:size])
        self._read = self._read[size:]
        return part

    def pending(self) -> int:
        """Return how many bytes can be read without asking the system."""
        ahead = len(self._read)
        if not ahead and isinstance(self._socket, ssl.SSLSocket):
            return self._socket.pending()
        return ahead

    def send(self, data: bytes | bytearray) -> int:
        """Take all of the bytes; they leave with the next `flush`."""
        self._unsent += data
        return len(data)

    def flush(self) -> bool:
        """Send what was taken; return whether all of it left. OSError when the peer is gone."""
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return False
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
        try:
            self.flush()
        except OSError:
            pass  # the peer is gone, and so is what it would have got
        self._socket.close()
