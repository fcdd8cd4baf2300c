"""What the whole-service tests talk with: HTTP word for word, and two WebSocket clients."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

from paho.mqtt.client import Client
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client
from tests.service_process import Answer, ServiceProcess

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def send(
    service: ServiceProcess,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request whose target is not touched, and follow no redirection."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def device(broker: Mosquitto | EmbeddedStandIn) -> AbstractContextManager[Client]:
    """Return a plain client of the broker, in the newest version that it speaks."""
    return mqtt_client(broker.port, five=isinstance(broker, Mosquitto))


def wait_until_subscribed(service: ServiceProcess) -> None:
    """Wait until the broker has confirmed what the service subscribes to."""
    service.wait_until_subscribed()


def history(service: ServiceProcess, query: str = "") -> list[dict[str, Any]]:
    """Return the whole history, oldest first, read page by page."""
    found: list[dict[str, Any]] = []
    after = 0
    while True:
        answer = service.get(f"/messages?limit=10000&order=asc&after={after}{query}")
        assert answer.status == 200, answer.content
        page = answer.json()
        if not page:
            return found
        found += page
        after = page[-1]["id"]


def published(service: ServiceProcess, topic: str, payload: Any, **more: Any) -> dict[str, Any]:
    """Publish over HTTP, wait for the message in the history, and return it."""
    query = f"/messages?topic={quote(topic, safe='')}"
    before = len(service.get(query).json())
    answer = service.post("/publish", {"topic": topic, "payload": payload, "qos": 1, **more})
    assert answer.status == 200, answer.content
    service.wait_for(lambda: len(service.get(query).json()) == before + 1)
    message: dict[str, Any] = service.get(query).json()[0]
    return message


def subscribe_path(text: str) -> str:
    """Return the path of a subscription as curl users would write it: only what must is quoted."""
    return "/subscribe/" + quote(text, safe="/+$")


# -- WebSocket by Tornado ---------------------------------------------------------------------


class Listener:
    """A Tornado WebSocket client that reads frames as JSON."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self.connection = connection
        self._ended = False

    async def frame(self, within_s: float = 10) -> dict[str, Any]:
        """Return the next frame."""
        text = await asyncio.wait_for(self.connection.read_message(), within_s)
        self._ended = text is None
        assert text is not None, f"closed with {self.connection.close_code}"
        return json.loads(text)

    async def next(self, kind: str, within_s: float = 10) -> dict[str, Any]:
        """Return the next frame, which must be of this type; `status` frames are passed over."""
        found = await self.frame(within_s)
        while found["type"] == "status" != kind:
            found = await self.frame(within_s)
        assert found["type"] == kind, found
        return found

    async def messages(self, count: int) -> list[dict[str, Any]]:
        """Return the next messages."""
        return [await self.next("message") for _ in range(count)]

    async def closed(self, within_s: float = 10) -> int | None:
        """Read on until the connection is closed; return the code."""
        async with asyncio.timeout(within_s):
            while not self._ended:
                self._ended = await self.connection.read_message() is None
        return self.connection.close_code


@asynccontextmanager
async def listen(service: ServiceProcess, query: str = "") -> AsyncIterator[Listener]:
    """Connect to /ws, and leave in order at the end."""
    connection = await websocket_connect(
        f"ws://127.0.0.1:{service.port}/ws{query}", connect_timeout=10
    )
    listener = Listener(connection)
    try:
        yield listener
    finally:
        connection.close()
        await listener.closed()


# -- WebSocket on a bare socket ---------------------------------------------------------------


class BareListener:
    """The lightest WebSocket client: a socket, and the frames that came over it.

    It answers no ping unless told to.
    """

    def __init__(self, port: int, query: str = "", *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /ws{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        self.socket.sendall(head.encode())
        self._data = b""
        while b"\r\n\r\n" not in self._data:
            self.receive()
        answer, _, self._data = self._data.partition(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n")[0]:
            self.socket.close()
            raise AssertionError(answer)
        self._frames: list[tuple[int, bytes]] = []

    def receive(self) -> bool:
        """Read once; False at the end."""
        found = self.socket.recv(1 << 18)
        self._data += found
        return bool(found)

    def take_frames(self) -> list[tuple[int, bytes]]:
        """Return (opcode, content) of each frame that is complete, without reading."""
        data, place, found = self._data, 0, []
        while len(data) - place >= 2:
            size, start = data[place + 1] & 0x7F, place + 2
            if size == 126:
                (size,), start = struct.unpack("!H", data[start : start + 2].ljust(2)), start + 2
            elif size == 127:
                (size,), start = struct.unpack("!Q", data[start : start + 8].ljust(8)), start + 8
            if len(data) < start + size:
                break
            found.append((data[place] & 0x0F, data[start : start + size]))
            place = start + size
        self._data = data[place:]
        return found

    def frame(self) -> tuple[int, bytes]:
        """Return (opcode, content) of the next frame; EOFError when the peer has hung up."""
        self._frames += self.take_frames()
        while not self._frames:
            if not self.receive():
                raise EOFError("the connection was closed")
            self._frames += self.take_frames()
        return self._frames.pop(0)

    def next(self, kind: str) -> dict[str, Any]:
        """Return the next frame, which must be of this type; pings, and `status` frames unless
        asked for, are passed over."""
        while True:
            opcode, content = self.frame()
            assert opcode in (TEXT, PING), (opcode, content)
            found = json.loads(content) if opcode == TEXT else {"type": "status"}
            if opcode == TEXT and found["type"] == kind:
                return found
            assert found["type"] == "status", found

    def send(self, opcode: int, content: bytes) -> None:
        """Send one masked frame of at most 125 bytes."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
        self.socket.sendall(bytes((0x80 | opcode, 0x80 | len(content))) + mask + masked)


@contextmanager
def listen_bare(
    service: ServiceProcess, query: str = "", *, receive_buffer: int = 0
) -> Iterator[BareListener]:
    """Connect to /ws with the lightest client."""
    listener = BareListener(service.port, query, receive_buffer=receive_buffer)
    try:
        yield listener
    finally:
        listener.socket.close()
