"""A network between client and service that can be cut, delayed, stalled and half closed."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PIECE_BYTES = 1_000  # so that a cut comes in the middle of frames


class BadNetwork:
    """Passes connections on to the port behind, one thread for each direction."""

    def __init__(self, behind: int) -> None:
        self._behind = behind
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._all: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._flows = threading.Event()
        self._flows.set()
        self.delay_s = 0.0
        self.accepted = 0
        self._never = threading.Event()
        self._run(self._accept)

    def _run(self, target: object, *values: object) -> None:
        thread = threading.Thread(target=target, args=values, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._behind))
            except OSError:
                client.close()
                continue
            self.accepted += 1
            with self._lock:
                self._pairs.append((client, server))
                self._all += [client, server]
            self._run(self._pass_on, client, server)
            self._run(self._pass_on, server, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(PIECE_BYTES):
                self._flows.wait()
                if self.delay_s:
                    self._never.wait(self.delay_s)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for one in (source, target):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Reset every connection that is open, in the middle of whatever flows."""
        for pair in self._taken():
            for one in pair:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RDWR)

    def half_close(self) -> None:
        """End what goes to the client; what it sends still arrives."""
        with self._lock:
            for client, _ in self._pairs:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_WR)

    def stall(self) -> None:
        """Let nothing through from now on, and close nothing."""
        self._flows.clear()

    def flow(self) -> None:
        """Let everything through again."""
        self._flows.set()

    def _taken(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._lock:
            taken, self._pairs = self._pairs, []
        return taken

    def close(self) -> None:
        """End it."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.flow()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for one in self._all:
            one.close()


@contextmanager
def bad_network(behind: int) -> Iterator[BadNetwork]:
    """Run one."""
    network = BadNetwork(behind)
    try:
        yield network
    finally:
        network.close()
