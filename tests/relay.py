"""A network that fails on demand: connections to the port behind are passed on, cut, reset, half
closed, delayed, or stay open while nothing comes through."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Passes connections on to the port behind, one thread for each direction.

    With `piece_bytes` small a cut comes in the middle of frames.
    """

    def __init__(self, behind: int, *, piece_bytes: int = 65_536) -> None:
        self._behind = behind
        self._piece_bytes = piece_bytes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._towards_clients: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

        self._flows = threading.Event()
        self._flows.set()
        self._closed = threading.Event()
        self.delay_s = 0.0
        self.let_in = 0
        self.holds = threading.Event()
        """Set once something waits to be let through since the last `stall`."""
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
            self._run(self._serve, client)

    def admit(self, client: socket.socket) -> bytes | None:
        """Return what was read of a client's beginning to let it in; None, and it is left."""
        return b""

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):  # the client left, or nobody is behind us just now
            beginning = self.admit(client)
            if beginning is not None:
                # What has left for a client arrives, also after a cut: that may not be all.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._piece_bytes)
                server = socket.create_connection(("127.0.0.1", self._behind))
                with self._lock:
                    self._open += [client, server]
                    self._towards_clients.append(client)
                self.let_in += 1
                self._run(self._pass_on, client, server, beginning)
                self._pass_on(server, client)
                return
        client.close()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, beginning: bytes = b""
    ) -> None:
        data = beginning
        try:
            while data or (data := source.recv(self._piece_bytes)):
                if not self._flows.is_set():
                    self.holds.set()
                    self._flows.wait()
                if self.delay_s:
                    self._closed.wait(self.delay_s)
                target.sendall(data)
                data = b""
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for one in (source, target):  # one side was broken, and so the other one is
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break every connection that is open, in the middle of whatever flows."""
        for one in self._taken():
            with suppress(OSError):  # it was gone already
                one.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break every connection with a reset, as a router does that has forgotten it."""
        for one in self._taken(forget=True):
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD)  # wakes the thread that reads here
            one.close()

    def _taken(self, *, forget: bool = False) -> list[socket.socket]:
        with self._lock:
            taken, self._towards_clients = list(self._open), []
            if forget:
                self._open = []
        return taken

    def half_close(self) -> None:
        """End what goes to the clients; what they send still arrives."""
        with self._lock:
            for client in self._towards_clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)

    def stall(self) -> None:
        """Be a black hole: connections stay open, and nothing comes through."""
        self.holds.clear()
        self._flows.clear()

    def flow(self) -> None:
        """Let everything through again."""
        self._flows.set()

    def close(self) -> None:
        """End it."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._closed.set()
        self.flow()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for one in self._open:
            one.close()


@contextmanager
def relay_to(behind: int, *, piece_bytes: int = 65_536) -> Iterator[Relay]:
    """Run a relay."""
    relay = Relay(behind, piece_bytes=piece_bytes)
    try:
        yield relay
    finally:
        relay.close()
