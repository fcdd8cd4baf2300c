"""A network between the service and its broker: it can be cut, reset, swallow all that is sent, or
know MQTT 3.1.1 only."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CONNACK_WRONG_VERSION = b"\x20\x02\x00\x01"
LEVEL_PLACE = 6  # in the variable header of a CONNECT: length, "MQTT", level


class Relay:
    """Passes connections on to the broker behind; those of MQTT 5 only if `five`.

    `answers` says whether it refuses MQTT 5 politely or just closes.
    """

    def __init__(self, behind: int, *, five: bool = True, answers: bool = True) -> None:
        self._behind = behind
        self._five = five
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._cut: list[threading.Thread] = []
        self.port: int = self._listening.getsockname()[1]
        self._passable = threading.Event()
        self._passable.set()
        self.turned_away = 0
        self.let_in = 0
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

    def _serve(self, client: socket.socket) -> None:
        first = client.recv(4_096)
        if not first:
            client.close()
            return
        after_length = 2 if first[1] < 0x80 else 3
        if first[after_length + LEVEL_PLACE] == 5 and not self._five:
            self.turned_away += 1
            if self._answers:
                client.sendall(CONNACK_WRONG_VERSION)
            client.close()
            return
        self.let_in += 1
        self._passable.wait()
        try:
            broker = socket.create_connection(("127.0.0.1", self._behind))
        except OSError:  # there is no broker behind us just now
            client.close()
            return
        self._open += [client, broker]
        broker.sendall(first)
        self._run(self._pass_on, client, broker)
        self._pass_on(broker, client)

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self._passable.wait()
                target.sendall(data)
        except OSError:
            pass  # one side was reset
        try:
            target.shutdown(socket.SHUT_RDWR)  # one side has gone, and so goes the other
        except OSError:
            pass  # it was gone already

    def cut(self) -> None:
        """Break every connection that is open."""
        self._cut = self._threads[1:]
        for one in self._open:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it was gone already

    @property
    def is_idle(self) -> bool:
        """Whether no connection is open that was there before the last cut or reset."""
        return not any(thread.is_alive() for thread in self._cut)

    def reset(self) -> None:
        """Break every connection with a reset, as a router does that has forgotten it."""
        self._cut = self._threads[1:]
        broken, self._open = self._open, []
        for one in broken:
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.shutdown(socket.SHUT_RD)  # wakes the thread that reads here
            except OSError:
                pass  # it was gone already
            one.close()

    def swallow(self) -> None:
        """Be a black hole: connections stay open, and nothing comes through."""
        self._passable.clear()

    def heal(self) -> None:
        """Let everything through again."""
        self._passable.set()

    def close(self) -> None:
        """End it."""
        self.heal()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for one in self._open:
            one.close()


@contextmanager
def relay_to(behind: int, *, five: bool = True, answers: bool = True) -> Iterator[Relay]:
    """Run a relay."""
    relay = Relay(behind, five=five, answers=answers)
    try:
        yield relay
    finally:
        relay.close()
