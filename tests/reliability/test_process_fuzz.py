"""Fuzzed HTTP requests and WebSocket frames: no fault of ours, no restart, hardly any memory."""

from __future__ import annotations

import json
import os
import random
import re
import socket
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from tests.reliability.findings import memory_bytes
from tests.reliability.scale import Scale
from tests.service.talking import BareListener
from tests.service_process import ServiceProcess

MIB = 1024 * 1024
MAX_MORE_BYTES = 10 * MIB
SETTINGS = {"RATE_LIMIT_ENABLED": "false", "QUERY_TIMEOUT": "20", "MAX_PAYLOAD_BYTES": "20000"}
# All but POST /request, which answers 504 as it should when nobody answers it.
PATHS = tuple(
    f"/{path}"
    for path in (
        *("", "health", "health/live", "health/ready", "publish", "publish/batch", "subscribe"),
        *("subscriptions", "subscribe/a/b", "messages", "messages/1", "messages/1/payload"),
        *("topics", "topics/a/b", "series", "stats", "whoami", "metrics", "export", "ws"),
        *("ws/ticket", "events", "docs", "openapi.json", "asyncapi.json", "nothing"),
    )
)
NAMES = (
    *("topic", "limit", "offset", "after", "before", "since", "until", "order", "qos", "retain"),
    *("contains", "format", "prefix", "details", "wait", "field", "bucket", "max_points", "raw"),
    *("batch", "conflate", "ticket", "x"),
)
POSTS = ("/publish", "/publish/batch", "/subscribe", "/ws/ticket")
METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "TRACE", "X")
ODD = "\x00\x01\t\n\r\x7f\x85\u2028\ufffe\uffff\U0001ffff/+#$\"\\'%&?;=aZ09 äß"
ATOMS = (None, True, False, 0, 1, 2, -1, 10**30, 1.5, 1e308, "", "a/b", "#", "+", "$SYS/x", [], {})
FIELDS = ("topic", "payload", "qos", "retain", "encoding", "properties", "messages", "topics")
ACTIONS = ("ping", "filter", "publish", "subscribe", "unsubscribe", "auth", "x")


def text(chance: random.Random) -> str:
    """Return a text that has broken parsers before."""
    if chance.random() < 0.5:
        return str(chance.choice(ATOMS))
    return "".join(chance.choices(ODD, k=chance.randrange(20)))


def value(chance: random.Random, depth: int = 0) -> Any:
    """Return a JSON value."""
    kind = chance.random()
    if kind < 0.5 or depth > 3:
        return chance.choice(ATOMS)
    if kind < 0.7:
        return text(chance)
    if kind < 0.8:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    names = [chance.choice((*FIELDS, text(chance))) for _ in range(chance.randrange(5))]
    return {name: value(chance, depth + 1) for name in names}


def broken(chance: random.Random, data: bytes, likely: float) -> bytes:
    """Return the bytes, sometimes with a few of them changed."""
    found = bytearray(data)
    while found and chance.random() < likely:
        place = chance.randrange(len(found))
        if chance.random() < 0.5:
            found[place] = chance.randrange(256)
        else:
            found[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
    return bytes(found)


def http_request(chance: random.Random) -> bytes:
    """Return a request, more or less."""
    path = chance.choice(PATHS) + (quote(text(chance)) if chance.random() < 0.2 else "")
    pairs = [(chance.choice(NAMES), text(chance)) for _ in range(chance.randrange(3))]
    query = "&".join(f"{name}={quote(one, safe='+')}" for name, one in pairs)
    body = b""
    if chance.random() < 0.5:
        body = broken(chance, json.dumps(value(chance)).encode("utf-8", "replace"), 0.2)
    usual = "POST" if path in POSTS else "GET"
    method = usual if chance.random() < 0.8 else chance.choice(METHODS)
    head = f"{method} {path}{'?' + query if query else ''} HTTP/1.1\r\n"
    head += f"Host: 127.0.0.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return broken(chance, head.encode() + body, 0.15)


def status_of_answer(port: int, request: bytes) -> int:
    """Send it, and return the status that came back; 0 when the connection was just closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65_536)
        except OSError:  # reset: the server would not read it to the end
            return 0
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found.group(1)) if found else 0


def healthy(service: ServiceProcess, before: int) -> str:
    """Check that the service is as well as before; return by how much its memory grew."""
    assert service.process is not None
    assert service.process.poll() is None
    more = memory_bytes(service.process.pid) - before
    service.wait_for(lambda: service.get("/health").json()["status"] == "healthy")
    log = service.log()
    assert "Traceback" not in log
    assert " ERROR " not in log
    assert not service.get("/stats").json()["failures_total"]
    assert more < MAX_MORE_BYTES, more
    return f"+{more / MIB:.1f} MiB"


@pytest.fixture
def well(service: ServiceProcess) -> ServiceProcess:
    """The service, running, with what it keeps for good already in its memory."""
    service.start(ready=True, **SETTINGS)
    warm = random.Random(1)
    for _ in range(300):
        status_of_answer(service.port, http_request(warm))
    return service


def test_fuzzed_requests(well: ServiceProcess, scale: Scale, chance: random.Random) -> None:
    """Whatever is sent over HTTP: no 5xx, no traceback, no restart, 10 MB more at most."""
    assert well.process is not None
    before = memory_bytes(well.process.pid)
    seen: Counter[int] = Counter()
    for _ in range(scale.fuzz_requests):
        request = http_request(chance)
        status = status_of_answer(well.port, request)
        assert status < 500, (status, request)
        seen[status] += 1
    print(f"{scale.fuzz_requests} requests, {healthy(well, before)}; by status {dict(seen)}")
    assert seen[200] and seen[422] and seen[404]


def frame(chance: random.Random) -> bytes:
    """Return a frame from a client: mostly a command, sometimes nonsense."""
    command = {"action": chance.choice(ACTIONS)}
    command |= {name: value(chance) for name in chance.sample(FIELDS, chance.randrange(4))}
    content = broken(chance, json.dumps(command).encode("utf-8", "replace")[:60_000], 0.2)
    first = 0x81 if chance.random() < 0.8 else chance.randrange(256)
    size = len(content)
    if chance.random() < 0.03:
        size = chance.randrange(126)  # the header lies
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(content))
    return bytes([first]) + length + mask + masked


def test_fuzzed_frames(well: ServiceProcess, scale: Scale, chance: random.Random) -> None:
    """Whatever is sent over a WebSocket: at most its connection ends."""
    assert well.process is not None
    before = memory_bytes(well.process.pid)
    sent = connections = 0
    while sent < scale.fuzz_frames:
        listener = BareListener(well.port)
        connections += 1
        with listener.socket as connection:
            try:
                for _ in range(50):
                    connection.sendall(frame(chance))
                    sent += 1
                connection.shutdown(socket.SHUT_WR)
                while listener.receive():
                    listener.take_frames()
            except OSError:
                pass  # the connection was ended for it
    well.wait_for(lambda: well.get("/health").json()["websocket_connections"] == 0)
    print(f"{sent} frames on {connections} connections, {healthy(well, before)}")
