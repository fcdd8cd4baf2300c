"""The door: how many connections there may be, who leaves for whom, and what is no HTTP."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import jsonschema
import pytest

from gateway.audience import ANTEROOM_PLACES
from handlers.contract import load_document
from handlers.door import OTHER_FILES
from tests.guarded.asking import (
    PROBLEM,
    UPGRADE,
    Launch,
    ask,
    bearer,
    exchange,
    status_of,
    websocket,
)
from tests.service_process import ServiceProcess

PLACES = 160
LAZY = 10
HALF_HEAD = b"GET /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
KEY = bearer("the-key")


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """A service that may open only so many files that 160 connections fit, and wants a key."""
    yield launch(
        headers=KEY,
        open_files=PLACES + OTHER_FILES,
        API_KEY_REQUIRED="true",
        API_KEY="the-key",
        RATE_LIMIT_ENABLED="false",
        WS_MAX_CONNECTIONS="10",
        MAX_PAYLOAD_BYTES="8000000",
        MAX_PENDING_REQUESTS="200",
    )


def figure(service: ServiceProcess, name: str) -> float:
    """Return one figure of /metrics."""
    text = ask(service, "GET", "/metrics", headers=KEY).content.decode()
    found = re.search(rf"(?m)^mqtt_api_{name} (\S+)$", text)
    assert found, text
    return float(found.group(1))


def connect(service: ServiceProcess, source: str = "127.0.0.1") -> socket.socket:
    """Open a connection from one of the addresses of this machine."""
    return socket.create_connection(("127.0.0.1", service.port), 10, source_address=(source, 0))


def is_let_in(service: ServiceProcess) -> bool:
    """Return whether there is a place for one more, who is answered."""
    try:
        return ask(service, "GET", "/health").status == 200
    except (OSError, http.client.HTTPException):
        return False


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other side has closed it; what has come is thrown away."""
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_flood_drives_out_itself(service: ServiceProcess) -> None:
    """With twice as many slow sockets as there are places, /health answers at every moment, the
    polite caller from another address keeps the connection that it has, the log says it once,
    and /metrics counts it."""
    with ExitStack() as stack:
        polite = http.client.HTTPConnection("127.0.0.1", service.port, 10, ("127.0.0.9", 0))
        stack.callback(polite.close)
        flood = []
        for number in range(2 * PLACES):
            if number % 100 == 0:
                polite.request("GET", "/health")
                assert polite.getresponse().read()
                assert ask(service, "GET", "/health").status == 200
            slow = stack.enter_context(connect(service, "127.0.0.2"))
            slow.sendall(HALF_HEAD)
            flood.append(slow)
        assert ask(service, "GET", "/health").status == 200
        kept = polite.sock
        polite.request("GET", "/health")
        assert polite.getresponse().read()
        assert polite.sock is kept, "the polite caller had to connect again"
        assert figure(service, "connections_max") == PLACES
        assert figure(service, "connections") <= PLACES
        displaced = figure(service, "connections_displaced_total")
        assert displaced >= PLACES
        closed = [is_closed(slow) for slow in flood]
        assert closed.index(False) > PLACES - 10, "those that came first must leave first"
        assert sum(closed) <= displaced + 5
        said = re.findall(r"all 160 places for connections are taken", service.log())
        assert len(said) == 1
    service.wait_for(lambda: figure(service, "connections") <= 2)


def test_those_who_do_not_read_leave_when_there_is_no_other_room(service: ServiceProcess) -> None:
    """Callers that ask for something large and do not take it hold no place for ever: when all
    are taken, such a one is closed for a new caller. Who waits for an answer keeps its place."""
    order = json.dumps({"topic": "door/nobody", "payload": 1, "timeout": 60}).encode()
    head = b"POST /request HTTP/1.1\r\nHost: a\r\nX-API-Key: the-key\r\nContent-Length: %d\r\n\r\n"
    with ExitStack() as stack:
        patient = [stack.enter_context(connect(service, "127.0.0.2")) for _ in range(PLACES - LAZY)]
        for one in patient:
            one.sendall(head % len(order) + order)
        service.wait_for(lambda: figure(service, "published_total") == len(patient))
        for _ in range(LAZY):
            lazy = stack.enter_context(connect(service, "127.0.0.3"))
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
            lazy.sendall(b"GET /assets/redoc.standalone.js HTTP/1.1\r\nHost: a\r\n\r\n" * 8)
        service.wait_for(lambda: is_let_in(service))
        assert figure(service, "connections") >= PLACES - 2
        before = figure(service, "connections_displaced_total")
        for _ in range(LAZY):
            stack.enter_context(connect(service)).sendall(HALF_HEAD)
            assert ask(service, "GET", "/health").status == 200
        assert figure(service, "connections_displaced_total") > before
        assert not any(is_closed(one) for one in patient)
    service.wait_for(lambda: figure(service, "connections") <= 2)


def test_sockets_without_a_key_take_no_seat(service: ServiceProcess) -> None:
    """WebSockets that show no key shut nobody out: with more of them than all places, a reader
    with a key comes in, by header, by first frame and over SSE; the flood leaves for itself."""
    with ExitStack() as stack:
        silent = [stack.enter_context(websocket(service)) for _ in range(ANTEROOM_PLACES + 20)]
        assert figure(service, "anteroom") == ANTEROOM_PLACES
        assert figure(service, "anteroom_displaced_total") == 20
        assert figure(service, "readers") == 0
        assert [one.close_code() for one in silent[:20]] == [1013] * 20
        assert stack.enter_context(websocket(service, "", KEY)).next("welcome")
        by_frame = stack.enter_context(websocket(service))
        by_frame.command(action="auth", key="the-key")
        assert by_frame.next("welcome")
        assert figure(service, "readers") == 2
        assert [one.close_code() for one in silent[-3:]] == [1008] * 3  # after 5 s
    service.wait_for(lambda: figure(service, "anteroom") == 0)


def test_a_key_that_comes_when_all_seats_are_taken(service: ServiceProcess) -> None:
    """Who was let in to show a key and finds no seat is told to come again: 1013."""
    with ExitStack() as stack:
        late = stack.enter_context(websocket(service))
        for _ in range(10):
            assert stack.enter_context(websocket(service, "", KEY)).next("welcome")
        late.command(action="auth", key="the-key")
        assert late.close_code() == 1013
        assert b"welcome" not in late.seen
    service.wait_for(lambda: figure(service, "readers") == 0)


HEAD = b"GET /health HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /publish HTTP/1.1\r\nHost: a\r\n"
MALFORMED = (
    b"GET\r\n\r\n",
    b"\x00\r\n\r\n",
    b"GET /health\r\n\r\n",
    b"GET /health HTTP/2.0\r\n\r\n",
    b"GET /hea lth HTTP/1.1\r\nHost: a\r\n\r\n",
    b"G\x00T /health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"hello\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    HEAD + b"X-Bad: a\x00b\r\n\r\n",
    HEAD + b"no colon\r\n\r\n",
    HEAD + b": no name\r\n\r\n",
    HEAD + b"Bad Name: x\r\n\r\n",
    HEAD + b"Authorization: Bearer the-key\x00\r\n\r\n",
    POST + b"Content-Length: five\r\n\r\nabcde",
    POST + b"Content-Length: -5\r\n\r\nabcde",
    POST + b"Content-Length: +5\r\n\r\nabcde",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: gzip\r\n\r\nx",
    POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabXX",
)


@pytest.mark.parametrize("request_", MALFORMED, ids=[str(n) for n in range(len(MALFORMED))])
def test_what_is_no_http_gets_a_problem_document(service: ServiceProcess, request_: bytes) -> None:
    """What Tornado's parser refuses is answered as every error is: a valid problem document with
    a request id, and the connection is closed. The log repeats nothing of it."""
    raw = exchange(service.port, request_)
    assert status_of(raw) == 400, raw
    assert_problem(raw)
    assert b"\r\nConnection: close\r\n" in raw
    assert "the-key" not in service.log()


def assert_problem(raw: bytes) -> None:
    """Check that a raw answer is a whole problem document of the contract."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert fields["Content-Type"] == PROBLEM
    assert int(fields["Content-Length"]) == len(body)
    document = json.loads(body)
    contract = load_document()
    schema = {**contract["components"]["schemas"]["Problem"], "components": contract["components"]}
    jsonschema.validate(document, schema)
    assert document["request_id"] == fields["X-Request-Id"]
    assert document["status"] == status_of(raw)


def test_a_body_that_is_announced_far_too_large_is_a_413(service: ServiceProcess) -> None:
    """Beyond what is read at all, the announcement alone is answered, as a problem."""
    raw = exchange(service.port, POST + b"Content-Length: 99999999999\r\n\r\n")
    assert status_of(raw) == 413
    assert_problem(raw)
    assert ask(service, "GET", "/health").status == 200


def test_bodies_on_their_way_are_bounded_together(service: ServiceProcess) -> None:
    """Many callers that send large bodies and never finish do not fill the memory: beyond the
    bound of all bodies together the next part is a 503, while small requests go on."""
    part, refused = b" " * 6_000_000, list[bytes]()
    head = POST + b"Content-Length: 16000000\r\n\r\n"
    order = {"topic": "door/small", "payload": 1}
    ending = threading.Event()
    with ExitStack() as stack:
        callers = [stack.enter_context(connect(service)) for _ in range(20)]

        def send(connection: socket.socket) -> None:
            connection.settimeout(60)
            try:
                connection.sendall(head + part)
                answer = connection.recv(65_536)
            except OSError:
                answer = b"closed"
            if not ending.is_set():  # else it was waited for, as it should be
                refused.append(answer)

        senders = [threading.Thread(target=send, args=(caller,)) for caller in callers]
        for sender in senders:
            sender.start()
        assert ask(service, "GET", "/whoami", headers=KEY).status == 200
        service.wait_for(lambda: len(refused) >= 5 and 503 in map(status_of, refused))
        ending.set()
        for caller in callers:
            with suppress(OSError):  # it was closed already
                caller.shutdown(socket.SHUT_RDWR)
        for sender in senders:
            sender.join()
        assert len(refused) < 20
        for answer in refused:
            assert answer == b"closed" or status_of(answer) == 503
    service.wait_for(lambda: figure(service, "connections") <= 2)
    assert ask(service, "POST", "/publish", order, KEY).status == 200


@pytest.mark.parametrize(
    "kind",
    [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "Multipart/Form-Data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-8",
    ],
)
def test_json_is_taken_whatever_it_is_said_to_be(service: ServiceProcess, kind: str) -> None:
    """The content type of a request is ignored: `curl -d` calls JSON a form, and nobody takes it
    apart as one, however many `&` it has."""
    order = {"topic": "door/form", "payload": "a&b=" * 3_000}
    answer = ask(service, "POST", "/publish", order, {**KEY, "Content-Type": kind})
    assert answer.status == 200, answer.content


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "X" * 100])
def test_an_unknown_method_is_a_405_that_names_the_known(
    service: ServiceProcess, method: str
) -> None:
    """Also a method that Tornado does not know gets its Allow; where there is nothing, a 404."""
    answer = ask(service, method, "/messages", headers=KEY)
    assert answer.status == 405
    assert answer.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert method in answer.json()["detail"]
    assert ask(service, method, "/nothing", headers=KEY).status == 404


@pytest.mark.parametrize(
    ("line", "wrong", "named"),
    [
        ("GET /ws HTTP/1.1", {"Sec-WebSocket-Version": "8"}, "Sec-WebSocket-Version: 13"),
        ("GET /ws HTTP/1.1", {"Sec-WebSocket-Key": None}, "Sec-WebSocket-Key"),
        ("GET /ws HTTP/1.1", {"Connection": "close"}, "Connection: Upgrade"),
        ("GET /ws HTTP/1.1", {"Upgrade": "h2c"}, "Upgrade: websocket"),
        ("GET /ws HTTP/1.0", {}, "GET over HTTP/1.1"),
        ("HEAD /ws HTTP/1.1", {}, ""),
    ],
)
def test_half_a_handshake_is_a_426_that_says_what_is_missing(
    service: ServiceProcess, line: str, wrong: dict[str, str | None], named: str
) -> None:
    """What cannot become a WebSocket is a problem document before anything begins; HEAD never
    opens one."""
    headers = {"Host": "a", **UPGRADE, "X-API-Key": "the-key", **wrong}
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items() if text)
    raw = exchange(service.port, f"{line}\r\n{lines}\r\n".encode())
    assert status_of(raw) == 426
    assert b"Sec-Websocket-Version: 13" in raw
    if named:
        assert_problem(raw)
        assert named in json.loads(raw.partition(b"\r\n\r\n")[2])["detail"]
    else:
        assert raw.endswith(b"\r\n\r\n")


def test_head_of_a_stream_promises_no_length(service: ServiceProcess) -> None:
    """HEAD answers as GET: an export is streamed, so neither names a length."""
    for query in ("", "?format=csv"):
        answer = ask(service, "HEAD", f"/export{query}", headers=KEY)
        assert (answer.status, answer.headers["Content-Length"]) == (200, None)


def test_looking_for_what_is_not_there_counts(launch: Launch) -> None:
    """Who tries out paths is limited like everybody; so are the large files of the pages."""
    service = launch(RATE_LIMIT_REQUESTS="30", RATE_LIMIT_WINDOW="600", MQTT_SUBSCRIPTIONS="")
    statuses = [ask(service, "GET", f"/nothing/{number}").status for number in range(40)]
    assert {404, 429} == set(statuses)
    assert ask(service, "GET", "/assets/docs.js").status == 429
    assert ask(service, "GET", "/health").status == 200
