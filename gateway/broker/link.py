"""The broker's thread: one connection after the other, for ever.

Answers for: waiting on the socket, reading all that came before waiting again, backing off
between attempts, and pausing while the mailbox is full. Does not: know MQTT, or import paho;
it drives whatever client it is handed through the calls of an external event loop.
"""

from __future__ import annotations

import logging
import random
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from gateway.broker.buffered_socket import BufferedSocket
from gateway.broker.reasons import connecting_failed

log = logging.getLogger(__name__)

# Waits between attempts to connect, each shortened by up to half at random.
RECONNECT_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)
POLL_MS = 1_000
# Packets read before anything is written: bounds how long an acknowledgement waits.
READ_BURST = 500


class PollableClient(Protocol):
    """The calls of an MQTT client that an external loop needs."""

    def reconnect(self) -> object:
        """Connect, blocking; OSError when that fails."""

    def loop_read(self) -> object:
        """Read and handle one packet."""

    def loop_write(self) -> object:
        """Write what is queued."""

    def loop_misc(self) -> object:
        """Keep the connection alive."""

    def want_write(self) -> bool:
        """Whether something is queued."""


class Link:
    """Runs connections on a thread of its own until `stop`.

    `prepare` is called before each attempt and returns the client to connect with; `ended` after
    each, with the reason if the attempt itself failed; it returns how long to wait at least.
    """

    def __init__(
        self,
        prepare: Callable[[], tuple[PollableClient, Callable[[], BufferedSocket | None]]],
        ended: Callable[[str], float],
        wait_for_room: Callable[[float], bool],
        leave: Callable[[], None],
        break_off: Callable[[], None] = lambda: None,
        failed: Callable[[str, str], None] = lambda place, sentence: log.exception(sentence),
    ) -> None:
        self._prepare = prepare
        self._ended = ended
        self._wait_for_room = wait_for_room
        self._leave = leave
        self._break_off = break_off
        self._failed = failed
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._stopping = threading.Event()
        self._interrupted = threading.Event()
        self._attempt = 0
        self._accepted_at = 0.0
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self.last_turn = time.monotonic()
        """When the thread last went round its loop: for the liveness check."""
        self.connecting = False
        """Whether it is looking up a name, connecting or shaking hands, which may take long."""

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._thread.start()

    def wake(self) -> None:
        """Make the thread look for work now. From any thread."""
        try:
            self._wake_write.send(b"w")
        except (BlockingIOError, OSError):
            pass  # awake already, or stopped

    def interrupt(self) -> None:
        """Have the connection broken off and made anew. From any thread."""
        self._interrupted.set()
        self.wake()

    def established(self) -> None:
        """The broker accepted us: the next attempt need not wait long."""
        self._attempt = 0
        self._accepted_at = time.monotonic()

    @property
    def accepted_for_s(self) -> float:
        """How long ago the broker last accepted us."""
        return time.monotonic() - self._accepted_at

    def stop(self, within_s: float) -> None:
        """Leave the broker and end the thread; blocks for `within_s` at most."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(within_s)
        self._wake_read.close()
        self._wake_write.close()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.last_turn = time.monotonic()
            delay = 0.0
            try:
                if not self._wait_for_room(1.0):
                    continue
                delay = self._ended(self._one_connection())
            except Exception:  # the thread must live, whatever happens
                self._failed("broker_thread", "the broker's thread caught an error and goes on")
            usual = RECONNECT_DELAYS_S[min(self._attempt, len(RECONNECT_DELAYS_S) - 1)]
            self._attempt += 1
            self._pause(max(delay, usual * (0.5 + random.random() / 2)))

    def _one_connection(self) -> str:
        """Connect, and serve the connection until it ends; return why the attempt failed, if so."""
        try:
            client, find_socket = self._prepare()
            self._connect(client)
            self._interrupted.clear()
            self._serve(client, find_socket)
        except (OSError, ValueError) as error:
            return connecting_failed(error)
        except Exception:
            self._failed("broker_thread", "a connection to the broker ended by an error of ours")
            return "an unexpected error, which the log has"
        return ""

    def _connect(self, client: PollableClient) -> None:
        self.connecting = True
        try:
            client.reconnect()
        finally:
            self.last_turn = time.monotonic()
            self.connecting = False

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < until:
            self.last_turn = time.monotonic()
            self._stopping.wait(min(1.0, max(0.0, until - time.monotonic())))

    def _serve(
        self, client: PollableClient, find_socket: Callable[[], BufferedSocket | None]
    ) -> None:
        """Serve one connection until it ends."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        left = False
        next_misc = 0.0
        while (connected := find_socket()) is not None:
            now = self.last_turn = time.monotonic()
            if self._stopping.is_set() and not left:
                left = True
                self._leave()
            if self._interrupted.is_set():
                self._interrupted.clear()
                self._break_off()
            while client.want_write():  # again: a packet may come between its last look and ours
                client.loop_write()
                if find_socket() is None:
                    return
            blocked = not _flush(connected)
            poll.register(connected, select.POLLIN | (select.POLLOUT if blocked else 0))
            ready = dict(poll.poll(0 if connected.pending() else POLL_MS))
            if self._wake_read.fileno() in ready:
                self._wake_read.recv(4096)
            if connected.pending() or ready.get(connected.fileno(), 0) & ~select.POLLOUT:
                self._read(client, connected, find_socket)
            if now >= next_misc:
                client.loop_misc()
                next_misc = now + 1

    @staticmethod
    def _read(
        client: PollableClient,
        connected: BufferedSocket,
        find_socket: Callable[[], BufferedSocket | None],
    ) -> None:
        for _ in range(READ_BURST):
            client.loop_read()
            if find_socket() is not connected or not connected.pending():
                return


def _flush(connected: BufferedSocket) -> bool:
    try:
        return connected.flush()
    except OSError:
        return True  # the next read finds out why
