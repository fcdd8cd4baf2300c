"""How large and how slow a caller may be."""

from __future__ import annotations

import base64
import json
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.guarded.asking import PROBLEM, Launch, ask, exchange, status_of, websocket
from tests.service.talking import TEXT
from tests.service_process import ServiceProcess

KIB = 1024
MAX_PAYLOAD = 64 * KIB
MAX_BODY = 2 * MAX_PAYLOAD + 64 * KIB


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """A service that takes payloads of 64 KiB."""
    yield launch(MAX_PAYLOAD_BYTES=str(MAX_PAYLOAD), RATE_LIMIT_ENABLED="false")


def as_utf8(value: Any) -> bytes:
    """Return JSON that escapes no more than it must."""
    return json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("size", "status"), [(MAX_PAYLOAD, 200), (MAX_PAYLOAD + 1, 413), (2 * MAX_PAYLOAD, 413)]
)
def test_the_payload_is_bounded_in_bytes(service: ServiceProcess, size: int, status: int) -> None:
    """A payload may have MAX_PAYLOAD_BYTES bytes, however it is written; one more is a 413."""
    text = "x" * size
    orders = [
        {"payload": text},
        {"payload": "ü" * (size // 2) + "x" * (size % 2)},
        {"payload": base64.b64encode(text.encode()).decode(), "encoding": "base64"},
        {"payload": ["x" * (size - 4)]},
    ]
    for order in orders:
        body = {"topic": "limits/payload", "qos": 1, **order}
        answer = ask(service, "POST", "/publish", as_utf8(body))
        assert answer.status == status, answer.content
        batch = ask(service, "POST", "/publish/batch", as_utf8({"messages": [body]}))
        outcome = batch.json().get("data", {}).get("results", [{"status": batch.status}])
        assert [one["status"] for one in outcome] == [status]
        with websocket(service, "?topic=none") as opened:
            opened.send_any(TEXT, as_utf8({"action": "publish", **body}))
            assert opened.answer()["status"] == status
    assert service.get("/health").json()["mqtt_connected"]


def test_bodies_headers_and_urls_are_bounded(service: ServiceProcess) -> None:
    """A body over the limit is 413, a URL over 8 KiB is 414, headers over 32 KiB are 431: each a
    problem. What is just below passes, what is far above may just be hung up on."""

    def body(size: int) -> bytes:
        return b'{"topic":"a/#","payload":"' + b"x" * (size - 28) + b'"}'

    for size, status in ((MAX_BODY, 422), (MAX_BODY + 1, 413), (int(1.9 * MAX_BODY), 413)):
        assert len(body(size)) == size
        answer = ask(service, "POST", "/publish", body(size))
        assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
    for size, status in ((8 * KIB, 422), (8 * KIB + 1, 414), (16 * KIB, 414)):
        url = "/messages?x=".ljust(size, "y")
        assert len(url) == size
        answer = ask(service, "GET", url)
        assert (answer.status, answer.headers["Content-Type"]) == (status, PROBLEM)
    for size, status in ((31 * KIB, 200), (33 * KIB, 431), (60 * KIB, 431)):
        answer = ask(service, "GET", "/stats", headers={"X-Long": "y" * size})
        assert answer.status == status
        if status != 200:
            assert answer.headers["Content-Type"] == PROBLEM
    for far in (
        b"GET /stats HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /publish HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n",
    ):
        assert status_of(exchange(service.port, far)) in (0, 400, 413, 414, 431)
    for count, statuses in ((5_000, (200,)), (6_000, (431,)), (20_000, (0, 400, 431))):
        many = b"GET /stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + b"A: b\r\n" * count
        assert status_of(exchange(service.port, many + b"\r\n")) in statuses


def test_a_body_that_says_how_long_it_is_is_not_read_in_vain(service: ServiceProcess) -> None:
    """Who announces far too much is refused at once, not after sending it."""
    head = b"POST /publish HTTP/1.1\r\nHost: a\r\nContent-Length: 900000000\r\n\r\n"
    begun = time.monotonic()
    assert status_of(exchange(service.port, head)) in (0, 400, 413)
    assert time.monotonic() - begun < 5


def test_frames_are_bounded(service: ServiceProcess) -> None:
    """A frame over the limit of a body ends that connection with 1009, and no other."""
    with websocket(service, "?topic=none") as other:
        assert other.next("welcome")
        with websocket(service, "?topic=none") as opened:
            opened.send_any(TEXT, b"x" * (MAX_BODY + 1))
            assert opened.close_code() == 1009
        other.command(action="ping")
        assert other.answer() == {"type": "pong"}


def test_a_batch_is_bounded(service: ServiceProcess) -> None:
    """1,000 messages are taken, 1,001 are a 413, as JSON and as NDJSON."""
    line = b'{"topic":"limits/batch","payload":1}\n'
    for count, status in ((1_000, 200), (1_001, 413)):
        for kind, body in (
            ("application/x-ndjson", line * count),
            ("application/json", b'{"messages":[' + b",".join([line] * count) + b"]}"),
        ):
            headers = {"Content-Type": kind}
            assert ask(service, "POST", "/publish/batch", body, headers).status == status
    # Too many are not even read: what is wrong in them is not told.
    headers = {"Content-Type": "application/x-ndjson"}
    assert ask(service, "POST", "/publish/batch", b"{\n" * 1_001, headers).status == 413


SLOW = 500
HALF_HEAD = b"GET /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
HALF_BODY = (
    b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n"
    b'{"topic": "slow", "payload": "'
)


def test_slow_callers_are_closed_while_health_goes_on(service: ServiceProcess) -> None:
    """500 sockets that send nothing, or half a head or half a body, drop by drop, are closed
    within 15 s, and /health answers all the while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * SLOW:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * SLOW), hard))
    selector = selectors.DefaultSelector()
    begun = time.monotonic()
    for number in range(SLOW):
        slow = socket.create_connection(("127.0.0.1", service.port), timeout=5)
        slow.sendall((HALF_HEAD, HALF_BODY, b"")[number % 3])
        slow.setblocking(False)
        selector.register(slow, selectors.EVENT_READ, number % 3 != 2)
    opened_s = time.monotonic() - begun
    next_drop, asked = begun + 1, 0
    try:
        while selector.get_map() and time.monotonic() - begun < opened_s + 15:
            for key, _ in selector.select(0.2):
                try:
                    over = not key.fileobj.recv(4096)  # type: ignore[union-attr]
                except OSError:
                    over = True
                if over:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
            if time.monotonic() > next_drop:
                next_drop += 1
                for key in list(selector.get_map().values()):
                    if not key.data:
                        continue
                    try:
                        key.fileobj.send(b"x")  # type: ignore[union-attr]
                    except OSError:
                        pass  # closed just now; the next turn reads the end
            assert ask(service, "GET", "/health").status == 200
            asked += 1
        left = len(selector.get_map())
    finally:
        for key in list(selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
    assert left == 0, f"{left} of {SLOW} are still open"
    assert asked > 20
