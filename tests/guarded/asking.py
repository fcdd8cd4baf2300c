"""What the tests of the guards talk with: keys, services with keys, and bare streams."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.service.talking import CLOSE, TEXT, BareListener, send
from tests.service_process import Answer, ServiceProcess

PROBLEM = "application/problem+json"
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def bearer(key: str) -> dict[str, str]:
    """Return the header that shows a key."""
    return {"Authorization": f"Bearer {key}"}


def write_keys(path: Path, **entries: Mapping[str, Any]) -> None:
    """Write a keys file in which the key of each entry is `key-of-<its name>`, whole at once."""
    listed = [
        {
            "name": name,
            "hash": "sha256:" + hashlib.sha256(key_of(name).encode()).hexdigest(),
            "scopes": ["read"],
            **entry,
        }
        for name, entry in entries.items()
    ]
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"keys": listed}))
    beside.replace(path)


def key_of(name: str) -> str:
    """Return the key that `write_keys` gives to an entry."""
    return f"key-of-{name}"


class Launch:
    """Starts services on one broker, and ends them all."""

    def __init__(
        self, broker: Mosquitto | EmbeddedStandIn, new_directory: Callable[[], Path]
    ) -> None:
        self.broker = broker
        self.new_directory = new_directory
        self.services: list[ServiceProcess] = []

    def __call__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        directory: Path | None = None,
        open_files: int = 0,
        **given: str,
    ) -> ServiceProcess:
        """Start one and wait until its subscription holds; `headers` show a key that may, and
        `open_files` is how many the system lets it open."""
        service = ServiceProcess(
            directory or self.new_directory(),
            **{
                "MQTT_BROKER_PORT": str(self.broker.port),
                "MAX_HISTORY_SIZE": "0",
                "MQTT_CLIENT_ID": f"guarded-{len(self.services)}",
                **self.broker.settings,
                **given,
            },
        )
        if open_files:
            service.before = ("sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh")
        self.services.append(service)
        service.start()
        wait_until_subscribed(service, dict(headers or {}))
        return service

    def end(self) -> None:
        """End what was started; AssertionError when one logged a traceback or died."""
        alive = [
            service.process is not None and service.process.poll() is None
            for service in self.services
        ]
        for service in self.services:
            service.kill()
        for service in self.services:
            assert "Traceback" not in service.log(), service.log()
        assert all(alive), "a service died"


def wait_until_subscribed(service: ServiceProcess, headers: dict[str, str]) -> None:
    """Wait until the broker has confirmed what the service subscribes to."""
    service.wait_for(lambda: service.get("/health/ready").status == 200)
    order = json.dumps({"topic": "#", "qos": 1})
    service.wait_for(
        lambda: send(service, "POST", "/subscribe", order.encode(), headers).status == 200
    )


def ask(
    service: ServiceProcess,
    method: str,
    target: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request word for word; a body that is not bytes goes as JSON."""
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return send(service, method, target, content, dict(headers or {}))


def exchange(port: int, data: bytes, within_s: float = 15) -> bytes:
    """Send bytes and return everything that comes back until the end, or a pause of a second
    after something came."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as connection:
        try:
            connection.sendall(data)
            while part := connection.recv(65_536):
                found += part
                connection.settimeout(1)
        except OSError:
            pass  # reset, or quiet: what has come is what counts
    return found


def status_of(raw: bytes) -> int:
    """Return the status of a raw answer, 0 when there was none."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", raw)
    return int(found.group(1)) if found else 0


def hang_up(service: ServiceProcess) -> None:
    """Send SIGHUP and wait until the service has said what it made of it."""
    told = re.compile(r"the keys were read again|the keys stay as they were")
    before = len(told.findall(service.log()))
    assert service.process is not None
    service.process.send_signal(signal.SIGHUP)
    service.wait_for(lambda: len(told.findall(service.log())) > before)


class EventStream:
    """`GET /events`, read event by event."""

    def __init__(
        self, service: ServiceProcess, query: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        self._connection.request("GET", f"/events{query}", headers=dict(headers or {}))
        self.answer = self._connection.getresponse()
        self.status = self.answer.status
        self.text = ""

    def next(self) -> dict[str, Any] | None:
        """Return the data of the next event, or None at the end of the stream."""
        while line := self.answer.readline().decode():
            self.text += line
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found
        return None

    def until(self, **wanted: Any) -> dict[str, Any]:
        """Return the next event with these members."""
        while (found := self.next()) is not None:
            if all(found.get(name) == value for name, value in wanted.items()):
                return found
        raise AssertionError(f"the stream ended without {wanted}: {self.text}")

    def rest(self) -> str:
        """Read to the end; return all that ever came."""
        while self.next() is not None:
            pass
        return self.text

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self._connection.close()


@contextmanager
def events(
    service: ServiceProcess, query: str = "", headers: Mapping[str, str] | None = None
) -> Iterator[EventStream]:
    """Follow /events, and hang up at the end."""
    stream = EventStream(service, query, headers)
    try:
        yield stream
    finally:
        stream.close()


class Socket(BareListener):
    """The bare WebSocket client with headers of one's own and frames of any size."""

    def __init__(
        self, service: ServiceProcess, query: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=10)
        lines = {"Host": f"127.0.0.1:{service.port}", **UPGRADE, **(headers or {})}
        head = "".join(f"{name}: {text}\r\n" for name, text in lines.items())
        self.socket.sendall(f"GET /ws{query} HTTP/1.1\r\n{head}\r\n".encode())
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            assert self.receive(), self._data
        answer, _, self._data = self._data.partition(b"\r\n\r\n")
        assert status_of(answer) == 101, answer
        self._frames = []
        self.seen = b""

    def receive(self) -> bool:
        """Read once; False at the end."""
        before = len(self._data)
        found = super().receive()
        self.seen = getattr(self, "seen", b"") + self._data[before:]
        return found

    def command(self, **fields: Any) -> None:
        """Send one command."""
        self.send_any(TEXT, json.dumps(fields).encode())

    def send_any(self, opcode: int, content: bytes, *, fin: bool = True) -> None:
        """Send one masked frame of any size."""
        size = len(content)
        first = bytes(((0x80 if fin else 0) | opcode,))
        if size < 126:
            length = bytes((0x80 | size,))
        elif size < 1 << 16:
            length = bytes((0x80 | 126,)) + size.to_bytes(2, "big")
        else:
            length = bytes((0x80 | 127,)) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        repeated = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(content, "big") ^ int.from_bytes(repeated, "big")).to_bytes(
            size, "big"
        )
        self.socket.sendall(first + length + mask + masked)

    def answer(self) -> dict[str, Any]:
        """Return the next result, error or pong; other frames are passed over."""
        return self.until(lambda frame: frame["type"] in ("result", "error", "pong"))

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next frame for which this holds."""
        while True:
            opcode, content = self.frame()
            assert opcode != CLOSE, content
            if opcode == TEXT and wanted(frame := json.loads(content)):
                return frame

    def close_code(self, within_s: float = 10) -> int:
        """Read on until the server closes; return its code."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            opcode, content = self.frame()
            if opcode == CLOSE:
                return int.from_bytes(content[:2], "big")
        raise AssertionError("it was not closed")


@contextmanager
def websocket(
    service: ServiceProcess, query: str = "", headers: Mapping[str, str] | None = None
) -> Iterator[Socket]:
    """Connect to /ws, and hang up at the end."""
    opened = Socket(service, query, headers)
    try:
        yield opened
    finally:
        opened.socket.close()
