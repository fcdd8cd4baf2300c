"""What the stream tests read and write with: events as they are on the wire, and a steady tap."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.mqtt_client import mqtt_client
from tests.service_process import ServiceProcess

_NUMBERS = itertools.count()


def own_topic() -> str:
    """Return a topic that no other test uses."""
    return f"streams/{next(_NUMBERS)}"


@dataclass
class Event:
    """One block of an event stream: its fields, each with the lines it had, and its comments."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    comments: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The event type; empty for a block that is no event."""
        return self.fields.get("event", [""])[0]

    @property
    def id(self) -> str | None:
        """The position, where there is one."""
        return self.fields.get("id", [None])[0]  # type: ignore[list-item]

    @property
    def data(self) -> dict[str, Any]:
        """The data."""
        (line,) = self.fields["data"]
        found: dict[str, Any] = json.loads(line)
        return found


class EventStream:
    """`GET /events` on a bare socket: chunks and lines as they come, nothing made up."""

    def __init__(
        self,
        port: int,
        query: str = "",
        headers: dict[str, str] | None = None,
        *,
        receive_buffer: int = 0,
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        lines = [f"GET /events{query} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self._raw = b""
        self._text = b""
        self.ended = False
        """Whether the last chunk has come: the end was in order."""
        try:
            while b"\r\n\r\n" not in self._raw:
                self._receive()
        except BaseException:
            self.socket.close()
            raise
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        pairs = (line.partition(": ") for line in rest)
        self.headers = {name.lower(): value for name, _, value in pairs}

    def _receive(self) -> None:
        found = self.socket.recv(1 << 16)
        if not found:
            raise EOFError("the connection was closed")
        self._raw += found

    def _chunk(self) -> None:
        """Read one chunk into the text."""
        while b"\r\n" not in self._raw:
            self._receive()
        size_text, _, _ = self._raw.partition(b"\r\n")
        size, start = int(size_text, 16), len(size_text) + 2
        while len(self._raw) < start + size + 2:
            self._receive()
        assert self._raw[start + size : start + size + 2] == b"\r\n"
        self._text += self._raw[start : start + size]
        self._raw = self._raw[start + size + 2 :]
        self.ended = size == 0

    def block(self) -> Event:
        """Return the next block; EOFError at the end."""
        while b"\n\n" not in self._text:
            if self.ended:
                raise EOFError("the stream has ended")
            self._chunk()
        block, _, self._text = self._text.partition(b"\n\n")
        event = Event()
        for line in block.decode("utf-8").split("\n"):
            name, colon, value = line.partition(":")
            assert colon, f"a line without a colon: {line!r}"
            if name:
                event.fields.setdefault(name, []).append(value.removeprefix(" "))
            else:
                event.comments.append(value.removeprefix(" "))
        return event

    def event(self) -> Event:
        """Return the next event; comments and `retry` are passed over."""
        while not (found := self.block()).kind:
            pass
        return found

    def next(self, kind: str) -> Event:
        """Return the next event, which must be of this type; `status` is passed unless asked."""
        found = self.event()
        while found.kind == "status" != kind:
            found = self.event()
        assert found.kind == kind, found
        return found

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@contextmanager
def event_stream(
    service: ServiceProcess,
    query: str = "",
    headers: dict[str, str] | None = None,
    *,
    receive_buffer: int = 0,
) -> Iterator[EventStream]:
    """Read /events."""
    stream = EventStream(service.port, query, headers, receive_buffer=receive_buffer)
    try:
        yield stream
    finally:
        stream.close()


class Tap:
    """A publisher of its own thread that lets messages flow at a steady rate, QoS 1.

    Payloads begin with a number from 0 on and the moment of publishing.
    """

    INTERVAL_S = 0.01

    def __init__(self, port: int, topic: str, per_second: int, size: int = 0) -> None:
        self._port = port
        self._topic = topic
        self._per_second = per_second
        self._size = size
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.count = 0
        self.confirmed = 0

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> int:
        """Stop, wait until the broker has confirmed everything, and return how many there were."""
        self._closed.set()
        self._thread.join(60)
        assert self.confirmed == self.count > 0, (self.confirmed, self.count)
        return self.count

    def _run(self) -> None:
        with mqtt_client(self._port) as client:
            began = time.monotonic()
            waiting = []
            while not self._closed.wait(self.INTERVAL_S):
                due = int((time.monotonic() - began) * self._per_second)
                while self.count < due:
                    payload = f"{self.count} {time.monotonic()} ".ljust(self._size, "x")
                    waiting.append(client.publish(self._topic, payload, qos=1))
                    self.count += 1
            for info in waiting:
                info.wait_for_publish(30)
                self.confirmed += info.is_published()


def number_of(payload: str) -> int:
    """Return the number that a tap gave to a message."""
    return int(payload.split(" ", 1)[0])


def until(condition: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.005)
