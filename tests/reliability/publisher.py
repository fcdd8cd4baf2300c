"""A device that publishes the numbers from 0 on, steadily, and knows which the broker confirmed.

Raw packets on one socket, in a thread: it costs less than what it is there to load, and goes on
when the broker goes and comes, as a device does.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time

from bench.blaster import connect_packet

# Publishes on their way at once; mosquitto drops what exceeds its own window at QoS 2.
WINDOW = {1: 500, 2: 20}
TICK_S = 0.01
ANSWER_BYTES = 4
PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70


class Publisher(threading.Thread):
    """Publishes `rate_per_s` numbers a second until `finish`.

    A connection that is lost is made again, and what was not confirmed is sent again, as MQTT
    wants it; `again` has those numbers, since the broker may have had them already.
    """

    def __init__(
        self, port: int, rate_per_s: float, *, qos: int = 1, topics: int = 5, pad_bytes: int = 0
    ) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._rate_per_s = rate_per_s
        self._qos = qos
        self._topics = topics
        self._pad = b" " * pad_bytes
        self._ended = threading.Event()
        self._given_up = threading.Event()
        self._waiting: dict[int, int] = {}  # packet number -> number
        self._answers = b""
        self.sent = 0
        self.limit: int | None = None
        """Publish no more than so many in all; may be raised while it runs."""
        self.again: set[int] = set()

    def __enter__(self) -> Publisher:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._given_up.set()
        self._ended.set()
        self.join(10)

    def finish(self, within_s: float = 60.0) -> int:
        """Publish no more, wait until the broker has confirmed all, and return how many."""
        self._ended.set()
        self.join(within_s)
        assert not self._waiting, f"{len(self._waiting)} of {self.sent} were not confirmed"
        return self.sent

    def run(self) -> None:
        """Publish over one connection after the other."""
        while not self._is_over():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
                    self._greet(connection)
                    self._publish(connection)
            except OSError:
                self._given_up.wait(0.05)

    def _is_over(self) -> bool:
        return self._given_up.is_set() or (self._ended.is_set() and not self._waiting)

    def _greet(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(connect_packet(f"device-{id(self)}"))
        if len(connection.recv(ANSWER_BYTES)) < ANSWER_BYTES:
            raise ConnectionError("the broker went away")
        self._answers = b""
        self.again.update(self._waiting.values())
        for packet_id, number in self._waiting.items():
            connection.sendall(self._packet(number, packet_id, again=True))
        self._began = time.monotonic() - self.sent / self._rate_per_s

    def _publish(self, connection: socket.socket) -> None:
        while not self._is_over():
            if not self._ended.is_set():
                connection.sendall(b"".join(self._due()))
            readable, _, _ = select.select([connection], [], [], TICK_S)
            if readable:
                self._take_answers(connection)

    def _due(self) -> list[bytes]:
        due = int((time.monotonic() - self._began) * self._rate_per_s) - self.sent
        if self.limit is not None:
            due = min(due, self.limit - self.sent)
        packets = []
        for _ in range(min(due, WINDOW[self._qos] - len(self._waiting))):
            packet_id = self.sent % 65_535 + 1
            self._waiting[packet_id] = self.sent
            packets.append(self._packet(self.sent, packet_id))
            self.sent += 1
        return packets

    def _packet(self, number: int, packet_id: int, *, again: bool = False) -> bytes:
        topic = f"line{number % self._topics}".encode()
        body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", packet_id)
        body += str(number).encode() + self._pad
        size = len(body)
        length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
        return bytes([0x30 | self._qos << 1 | 8 * again]) + length + body

    def _take_answers(self, connection: socket.socket) -> None:
        found = connection.recv(65_536)
        if not found:
            raise ConnectionError("the broker went away")
        self._answers += found
        whole = len(self._answers) // ANSWER_BYTES * ANSWER_BYTES
        for place in range(0, whole, ANSWER_BYTES):
            kind, _, packet_id = struct.unpack_from("!BBH", self._answers, place)
            if kind == PUBREC:
                connection.sendall(struct.pack("!BBH", PUBREL, 2, packet_id))
            elif kind in (PUBACK, PUBCOMP):
                self._waiting.pop(packet_id, None)
        self._answers = self._answers[whole:]
