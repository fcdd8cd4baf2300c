"""Whatever bytes come: frames and HTTP that is none are answered or hung up on; nothing breaks."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.guarded.asking import exchange, status_of, websocket
from tests.guarded.hostile import FEWER, JSON_VALUES, alive
from tests.service.talking import CLOSE, PING, TEXT
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def service(attacked: ServiceProcess) -> ServiceProcess:
    """The service that gets all of it."""
    return attacked


@FEWER
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 3, 9, 10, 11]),
            st.booleans() | st.just(True),
            st.binary(max_size=140)
            | JSON_VALUES.map(lambda value: json.dumps(value).encode())
            | st.builds(
                lambda action, more: json.dumps({"action": action, **more}).encode(),
                st.sampled_from(["auth", "ping", "filter", "publish", "subscribe", "unsubscribe"]),
                st.dictionaries(
                    st.sampled_from(["topic", "topics", "payload", "qos", "request_id", "key"]),
                    JSON_VALUES,
                    max_size=3,
                ),
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_frames_leave_the_service_alive(
    service: ServiceProcess, frames: list[tuple[int, bool, bytes]]
) -> None:
    """Whatever frames a client sends, it gets frames or is hung up on; others do not notice."""
    with websocket(service, "?topic=none") as socket:
        try:
            for opcode, fin, content in frames:
                socket.send_any(opcode, content if opcode < 8 else content[:125], fin=fin)
            socket.send_any(PING, b"last")
            while True:
                opcode, content = socket.frame()
                if opcode == TEXT:
                    answer = json.loads(content)
                    assert answer["type"] in ("welcome", "result", "error", "pong"), answer
                    assert answer.get("status", 0) < 500 or answer["status"] == 502, answer
                elif opcode == CLOSE or (opcode == 10 and content == b"last"):
                    break
        except (EOFError, OSError):
            pass  # hung up on, which is the right answer to what is no WebSocket


@FEWER
@given(
    raw=st.binary(min_size=1, max_size=300)
    | st.builds(
        lambda method, target, headers, body: (
            b"%b %b HTTP/1.1\r\n%b\r\n%b"
            % (method, target, b"".join(b"%b: %b\r\n" % pair for pair in headers), body)
        ),
        st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"DELETE", b"BREW", b"G\x00T", b""]),
        st.sampled_from(
            [
                b"/",
                b"/ws",
                b"/events?limit=1",
                b"/publish",
                b"*",
                b"http://x/health",
                b"//",
                b"/%",
                b"/messages?" + b"a=1&" * 50,
                b"/\xff\xfe",
                b"",
            ]
        )
        | st.binary(max_size=30),
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        b"Host",
                        b"Content-Length",
                        b"Transfer-Encoding",
                        b"Upgrade",
                        b"Connection",
                        b"Expect",
                        b"Origin",
                        b"Range",
                        b"Cookie",
                        b"Sec-WebSocket-Key",
                        b"Sec-WebSocket-Version",
                        b"X-Request-Id",
                        b"Content-Type",
                        b"Content-Encoding",
                        b"Accept",
                        b"If-None-Match",
                        b"Last-Event-ID",
                        b"Authorization",
                        b"X",
                    ]
                ),
                st.sampled_from(
                    [
                        b"127.0.0.1",
                        b"0",
                        b"-1",
                        b"5",
                        b"99999999999999999999",
                        b"1e3",
                        b"chunked",
                        b"chunked, chunked",
                        b"websocket",
                        b"Upgrade",
                        b"close",
                        b"100-continue",
                        b"gzip",
                        b"*",
                        b"\xff",
                        b"13",
                        b"",
                    ]
                )
                | st.binary(max_size=20),
            ),
            max_size=5,
        ),
        st.binary(max_size=40) | st.sampled_from([b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"{}"]),
    )
)
def test_any_bytes_leave_the_service_alive(service: ServiceProcess, raw: bytes) -> None:
    """Bytes that are no HTTP are answered with less than 500, or hung up on."""
    found = _half_closed(service.port, raw)
    assert status_of(found) < 500, (raw, found[:300])


def _half_closed(port: int, data: bytes) -> bytes:
    """Send bytes, say that no more will come, and return what comes back."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                found += part
        except OSError:
            pass  # reset or quiet
    return found


HAND_PICKED = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n",
    b"HEAD /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x\r\n\r\n",
    b"GET /ws HTTP/1.0\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    b"HEAD /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /events HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n{}",
    b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\n"
    b"Content-Length: 2\r\n\r\n{}",
    b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 5\r\n\r\n--x--",
    b"POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n%ff=%00",
    b"CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)


@pytest.mark.parametrize("number", range(len(HAND_PICKED)))
def test_odd_http_is_answered_or_hung_up_on(service: ServiceProcess, number: int) -> None:
    """Requests that real programs and scanners send by mistake are no fault of ours."""
    found = exchange(service.port, HAND_PICKED[number], 2)
    assert status_of(found) < 500, found[:300]
    assert found.count(b"HTTP/1.1 ") <= 2
    alive(service)
