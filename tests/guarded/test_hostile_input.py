"""Whatever is sent: no fault of ours, no lost broker connection, and the process lives."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.topics import InvalidTopic, check_filter, check_publish_name
from tests.guarded.asking import Launch, ask, exchange, status_of, websocket
from tests.guarded.documents import OpenApiJudge
from tests.service.talking import CLOSE, PING, TEXT
from tests.service_process import ServiceProcess

CAREFUL = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
FEWER = settings(CAREFUL, max_examples=80)
MAX_PAYLOAD = 40_000
# Characters that have broken brokers, parsers and logs before, beside any other.
ODD = st.sampled_from(
    "\x00\x01\t\n\r\x1b\x7f\x85\u2028\ufffe\uffff\ufdd0\U0001ffff/+#$\"\\'%&?;=\ud800"
)
TEXTS = st.text(st.one_of(ODD, st.characters()), max_size=40)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """One service for all of it, which must keep its one connection to the broker."""
    started = launch(
        RATE_LIMIT_ENABLED="false", MAX_PAYLOAD_BYTES=str(MAX_PAYLOAD), MAX_HISTORY_SIZE="1000"
    )
    connections = connected(started)
    assert connections == 1
    yield started
    assert started.get("/health").json()["mqtt_connected"]
    assert connected(started) == connections, "the broker connection was lost"
    log = started.log()
    assert not re.search(r" 5\d\d [\d.]+ ms", log), re.findall(r".* 5\d\d [\d.]+ ms.*", log)
    assert "Task exception was never retrieved" not in log
    assert " ERROR " not in log


@pytest.fixture(scope="module")
def judge(service: ServiceProcess) -> OpenApiJudge:
    """The document as served."""
    return OpenApiJudge(service.get("/openapi.json").json())


def connected(service: ServiceProcess) -> int:
    """Return how often the service has connected to the broker."""
    return len(re.findall(r"connected to the broker", service.log().replace("not connected", "")))


def alive(service: ServiceProcess) -> None:
    """Check that the service is there and well."""
    health = service.get("/health").json()
    assert health["status"] == "healthy", health


# -- the poison cupboard ----------------------------------------------------

POISON: dict[str, Any] = {
    "NUL": {"topic": "a\x00b", "payload": "x"},
    "control character": {"topic": "a\x1fb", "payload": "x"},
    "C1 control character": {"topic": "a\x85b", "payload": "x"},
    "U+FFFE": {"topic": "a\ufffe", "payload": "x"},
    "noncharacter of another plane": {"topic": "a\U0010ffff", "payload": "x"},
    "lone surrogate": b'{"topic": "a\\ud800", "payload": "x", "qos": 1}',
    "lone surrogate as payload": b'{"topic": "a", "payload": "\\udfff", "qos": 1}',
    "empty": {"topic": "", "payload": "x"},
    "plus": {"topic": "a/+/b", "payload": "x"},
    "hash": {"topic": "a/#", "payload": "x"},
    "65,536 bytes": {"topic": "a" * 65_536, "payload": "x"},
    "201 slashes": {"topic": "/" * 201, "payload": "x"},
    "oversize payload": {"topic": "a", "payload": "x" * (MAX_PAYLOAD + 1)},
    "oversize payload as base64": {
        "topic": "a",
        "payload": base64.b64encode(bytes(MAX_PAYLOAD + 1)).decode(),
        "encoding": "base64",
    },
    "NUL in a user property": {
        "topic": "a",
        "payload": "x",
        "properties": {"user_properties": [["a\x00", "b"]]},
    },
    "NUL in the content type": {
        "topic": "a",
        "payload": "x",
        "properties": {"content_type": "text\x00"},
    },
    "wildcard as response topic": {
        "topic": "a",
        "payload": "x",
        "properties": {"response_topic": "a/#"},
    },
    "expiry beyond 32 bits": {
        "topic": "a",
        "payload": "x",
        "properties": {"message_expiry_interval": 2**32},
    },
    "correlation data too long": {
        "topic": "a",
        "payload": "x",
        "properties": {"correlation_data": base64.b64encode(bytes(65_536)).decode()},
    },
    "$SYS": {"topic": "$SYS/broker/uptime", "payload": "x"},
    "$share": {"topic": "$share/group/a", "payload": "x"},
    "bad base64": {"topic": "a", "payload": "AP8", "encoding": "base64"},
    "deep nesting": b'{"topic": "a", "payload": ' + b"[" * 100_000 + b"}",
    "deep nesting, closed": b'{"topic": "a", "payload": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
    "NaN": b'{"topic": "a", "payload": NaN}',
    "infinity": b'{"topic": "a", "payload": 1e999}',
    "5,000-digit integer": b'{"topic": "a", "payload": ' + b"9" * 5_000 + b"}",
    "bad UTF-8": b'{"topic": "a\xff", "payload": "x"}',
    "UTF-16": '{"topic": "a", "payload": "x"}'.encode("utf-16"),
    "doubled name": b'{"topic": "a", "topic": "b", "payload": "x"}',
    "empty body": b"",
    "qos with a fraction": b'{"topic": "a", "payload": "x", "qos": 2.0}',
    "expiry with a fraction": {
        "topic": "a",
        "payload": "x",
        "properties": {"message_expiry_interval": 5.0},
    },
    "huge qos": b'{"topic": "a", "payload": "x", "qos": 99999999999999999999}',
}


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("qos", [0, 1])
def test_poison_never_reaches_the_broker(
    service: ServiceProcess, judge: OpenApiJudge, poison: str, qos: int
) -> None:
    """A publish that would cost the connection, over HTTP or as a command, is a 4xx that says
    why, and the connection stays what it was."""
    before, body = connected(service), POISON[poison]
    if isinstance(body, dict):
        body = {**body, "qos": qos}
    answer = ask(service, "POST", "/publish", body)
    assert 400 <= answer.status < 500, (answer.status, answer.content)
    judge.check("POST", "/publish", answer)
    if isinstance(body, dict):
        batch = ask(service, "POST", "/publish/batch", {"messages": [body]})
        results = batch.json().get("data", {}).get("results", [{"status": batch.status}])
        assert [one["status"] for one in results] == [answer.status]
        request = {name: body[name] for name in body if name in ("topic", "payload", "encoding")}
        if "properties" not in body:
            assert ask(service, "POST", "/request", request).status == answer.status
        with websocket(service, "?topic=none") as socket:
            socket.command(action="publish", **body)
            assert socket.answer()["status"] == answer.status
    assert connected(service) == before
    assert service.get("/health").json()["mqtt_connected"]
    harmless = {"topic": "harmless", "payload": 1, "qos": 1}
    assert ask(service, "POST", "/publish", harmless).status == 200


@pytest.mark.parametrize("filter_", ["", "a\x00", "a/#/b", "a+", "$share/g/a", "\ufffe", "/" * 201])
def test_poisoned_subscriptions_never_reach_the_broker(
    service: ServiceProcess, filter_: str
) -> None:
    """A filter that would cost the connection is a 422 everywhere that one is taken."""
    before = connected(service)
    assert ask(service, "POST", "/subscribe", {"topic": filter_}).status == 422
    for target in ("/messages?topic=", "/events?topic=", "/topics?topic=", "/export?topic="):
        assert ask(service, "GET", target + quote(filter_)).status == 422, target
    assert ask(service, "DELETE", "/subscribe/" + quote(filter_, safe="")).status in (404, 422)
    with websocket(service, "?topic=none") as socket:
        for command in (
            {"action": "filter", "topics": [filter_]},
            {"action": "subscribe", "topic": filter_},
            {"action": "unsubscribe", "topic": filter_},
        ):
            socket.command(**command)
            assert socket.answer()["status"] == 422
    assert connected(service) == before


@pytest.mark.parametrize("part", ["%00", "%0d%0a", "%0D%0AX-Injected:%201", "%2F", "%2f..%2f",
                                  "%ff", "%", "%zz", "%u0000", "..%2f..%2fetc%2fpasswd", "%7f",
                                  "%C0%AF", "%ED%A0%80", "%E2%80%A8", "%23", "%2B"])  # fmt: skip
def test_odd_paths_are_told_apart_and_harmless(
    service: ServiceProcess, judge: OpenApiJudge, part: str
) -> None:
    """What is quoted in a path is one text, checked like any other; no header grows from it and
    no line of the log breaks."""
    for method, path, target in (
        ("GET", "/topics/{topic}", f"/topics/odd{part}"),
        ("DELETE", "/subscribe/{topic}", f"/subscribe/odd{part}"),
        ("GET", "/messages/{id}", f"/messages/{part}"),
        ("GET", "/messages/{id}/payload", f"/messages/{part}/payload"),
        ("GET", "/assets/{file}", f"/assets/{part}"),
        ("GET", "/messages", f"/messages?topic=odd{part}"),
        ("GET", "/topics", f"/topics?prefix=odd{part}"),
    ):
        answer = ask(service, method, target)
        assert answer.status in (200, 404, 422), (target, answer.status)
        judge.check(method, path, answer)
        assert answer.headers["X-Injected"] is None
    assert not re.search(r"(?m)^X-Injected", service.log())
    assert "root:" not in service.log()


# -- found by hypothesis ----------------------------------------------------


@CAREFUL
@given(topic=TEXTS, payload=JSON_VALUES | TEXTS, qos=st.integers(-1, 3) | JSON_VALUES)
def test_any_order_is_done_or_refused(
    service: ServiceProcess, judge: OpenApiJudge, topic: str, payload: Any, qos: Any
) -> None:
    """Any topic with any payload is published, or refused with a problem; never anything else."""
    answer = ask(service, "POST", "/publish", {"topic": topic, "payload": payload, "qos": qos})
    judge.check("POST", "/publish", answer)
    assert answer.status in (200, 422)
    if answer.status == 200:
        check_publish_name(topic)


@CAREFUL
@given(body=st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("path", ["/publish", "/publish/batch", "/request", "/subscribe"])
def test_any_body_is_understood_or_refused(
    service: ServiceProcess, judge: OpenApiJudge, path: str, body: bytes
) -> None:
    """Bytes that are no order are a 422 and nothing happens."""
    answer = ask(service, "POST", path, body)
    assert answer.status in (207, 422)
    judge.check("POST", path, answer)


@FEWER
@given(
    payload=st.binary(max_size=300),
    topic=st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}", fullmatch=True),
)
def test_any_bytes_come_back_unchanged(service: ServiceProcess, payload: bytes, topic: str) -> None:
    """What was published as base64 is stored and read back byte for byte."""
    body = {"topic": topic, "payload": base64.b64encode(payload).decode(), "encoding": "base64"}
    before = service.get("/messages?limit=1").headers["X-Log-Position"]
    assert ask(service, "POST", "/publish", {**body, "qos": 1}).status == 200
    found: list[Any] = []

    def came() -> bool:
        found[:] = service.get(f"/messages?after={before}&topic={quote(topic)}").json()
        return bool(found)

    service.wait_for(came)
    assert ask(service, "GET", f"/messages/{found[0]['id']}/payload").content == payload


@CAREFUL
@given(text=TEXTS)
def test_any_filter_is_taken_or_refused(service: ServiceProcess, text: str) -> None:
    """A filter is good for the service exactly when it is one for MQTT."""
    try:
        raw = quote(text, safe="")
    except UnicodeEncodeError:
        raw = quote(text, safe="", errors="surrogatepass")
    try:
        check_filter(text)
        expected = 200
    except InvalidTopic:
        expected = 422
    assert ask(service, "GET", f"/messages?limit=1&topic={raw}").status == expected


@CAREFUL
@given(
    path=st.sampled_from(
        ["/messages", "/topics", "/export", "/series", "/topics/a", "/messages/1"]
    ),
    pairs=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "topic",
                    "limit",
                    "offset",
                    "after",
                    "before",
                    "since",
                    "until",
                    "order",
                    "qos",
                    "retain",
                    "contains",
                    "format",
                    "field",
                    "bucket",
                    "prefix",
                    "details",
                    "max_points",
                    "raw",
                    "x",
                ]
            )
            | TEXTS,
            TEXTS
            | st.integers().map(str)
            | st.floats().map(str)
            | st.datetimes().map(str)
            | st.sampled_from(["asc", "csv", "true", "a/#", "$.a", "auto", "1h", "0", "", "a.1"]),
        ),
        max_size=4,
    ),
)
def test_any_query_is_answered_or_refused(
    service: ServiceProcess, judge: OpenApiJudge, path: str, pairs: list[tuple[str, str]]
) -> None:
    """Any parameters with any values are an answer or a problem that names them."""
    query = "&".join(
        f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        for name, value in pairs
    )
    answer = ask(service, "GET", f"{path}?{query}")
    assert answer.status in (200, 404, 422), answer.content
    template = {"/topics/a": "/topics/{topic}", "/messages/1": "/messages/{id}"}.get(path, path)
    judge.check("GET", template, answer)


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
    import socket

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
