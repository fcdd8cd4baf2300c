"""How a key is shown: in a header, as a ticket, in the first frame; and never in a URL."""

from __future__ import annotations

import time

import pytest

from handlers.gate import FAILURES_A_MINUTE, KEY_PARAMETERS
from tests.guarded.asking import UPGRADE, bearer, events, exchange, status_of, websocket
from tests.guarded.keyed import ROOT_KEY, ask, fresh_address, take_ticket
from tests.service.talking import TEXT
from tests.service_process import ServiceProcess


@pytest.mark.parametrize("name", sorted(KEY_PARAMETERS))
@pytest.mark.parametrize("path", ["/messages", "/ws", "/events"])
def test_a_key_in_a_url_is_never_taken(keyed: ServiceProcess, path: str, name: str) -> None:
    """Even the right key is refused with 401 in a URL, and the log does not repeat it."""
    headers = UPGRADE if path == "/ws" else {}
    answer = ask(keyed, "GET", f"{path}?{name}=the-root-key", headers=headers)
    assert answer.status == 401
    assert "URL" in answer.json()["detail"]
    assert "the-root-key" not in keyed.log()


@pytest.mark.parametrize("path", ["/messages", "/ws", "/events"])
def test_a_key_beside_a_ticket_in_a_url_is_never_taken(keyed: ServiceProcess, path: str) -> None:
    """A ticket does not make up for a key in the URL."""
    headers = UPGRADE if path == "/ws" else {}
    ticket = ask(keyed, "POST", "/ws/ticket", headers=ROOT_KEY).json()["ticket"]
    answer = ask(keyed, "GET", f"{path}?ticket={ticket}&key=the-root-key", headers=headers)
    assert answer.status == 401


BAD_KEYS = (
    b"wrong",
    b"schl\xc3\xbcssel",
    b"\xff\xfe",
    b"the-root-key ",
    b" ",
    b"",
    b"the-root-ke",
    b"THE-ROOT-KEY",
    b"the-root-key\x00",
    b"\x00",
    b"k" * 65_536,
    b"k" * 200_000,
)


@pytest.mark.parametrize("number", range(len(BAD_KEYS)))
def test_a_bad_key_never_opens(keyed: ServiceProcess, number: int) -> None:
    """However odd its bytes are, a wrong key is a 401 (or 431, or the connection is closed where
    it is no HTTP any more), and a request like it follows with the right one."""
    key = BAD_KEYS[number]
    for header in (b"Authorization: Bearer ", b"X-API-Key: "):
        raw = exchange(
            keyed.port,
            b"GET /whoami HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            + f"X-Forwarded-For: {fresh_address()['X-Forwarded-For']}\r\n".encode()
            + header
            + key
            + b"\r\n\r\n",
        )
        no_http = b"\x00" in key or len(key) >= 65_536
        if key.strip() == b"the-root-key":
            assert status_of(raw) == 200  # white space at the end is not part of a header
        else:
            assert status_of(raw) in ((0, 400, 401, 431) if no_http else (401,)), raw[:300]
        if status_of(raw) == 401:
            assert b"application/problem+json" in raw
    assert ask(keyed, "GET", "/whoami", headers=ROOT_KEY).status == 200


def test_too_many_wrong_keys_are_a_429(keyed: ServiceProcess) -> None:
    """Guessing is slowed by address: a 429 that says truly when to come again; others go on."""
    here = {"X-Forwarded-For": "10.77.0.1"}
    for number in range(FAILURES_A_MINUTE):
        assert ask(keyed, "GET", "/stats", headers={**here, **bearer(f"w{number}")}).status == 401
    for headers in (bearer("w"), ROOT_KEY):
        answer = ask(keyed, "GET", "/stats", headers={**here, **headers})
        assert answer.status == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 62
    elsewhere = {"X-Forwarded-For": "10.77.0.2", **ROOT_KEY}
    assert ask(keyed, "GET", "/stats", headers=elsewhere).status == 200
    with websocket(keyed, "", here) as socket:
        socket.command(action="auth", key="the-root-key")
        assert socket.close_code() == 1008
    assert ask(keyed, "GET", "/health", headers=here).status == 200


def test_a_ticket_opens_one_stream_once(keyed: ServiceProcess) -> None:
    """A ticket opens a WebSocket or an SSE stream without a key, and a second one never."""
    for first, second in (("/ws", "/events"), ("/events", "/ws")):
        ticket = take_ticket(keyed)
        if first == "/ws":
            with websocket(keyed, f"?ticket={ticket}") as socket:
                assert socket.next("welcome")
        else:
            with events(keyed, f"?ticket={ticket}") as stream:
                assert stream.until(type="welcome")
        for path in (first, second):
            headers = UPGRADE if path == "/ws" else {}
            answer = ask(keyed, "GET", f"{path}?ticket={ticket}", headers=headers)
            assert answer.status == 401
            assert "ticket" in answer.json()["detail"]
        assert ticket not in keyed.log()


def test_a_ticket_opens_nothing_but_streams(keyed: ServiceProcess) -> None:
    """On any other path a ticket is no key, and it is not used up by trying."""
    ticket = take_ticket(keyed)
    assert ask(keyed, "GET", f"/messages?ticket={ticket}").status == 401
    with websocket(keyed, f"?ticket={ticket}") as socket:
        assert socket.next("welcome")


def test_the_first_frame_may_bring_the_key(keyed: ServiceProcess) -> None:
    """Nothing is sent before the key; with it the stream begins, narrowed and asked as usual."""
    with websocket(keyed, "?since=all") as socket:
        socket.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            socket.frame()
        assert not socket.seen
        socket.socket.settimeout(10)
        socket.command(action="auth", key="the-root-key")
        assert socket.next("welcome")
        socket.command(action="ping")
        assert socket.answer() == {"type": "pong"}
        socket.command(action="auth", key="the-root-key", request_id=1)
        assert socket.answer()["ok"]


@pytest.mark.parametrize(
    "frame",
    [
        b'{"action": "auth", "key": "wrong"}',
        b'{"action": "auth"}',
        b'{"action": "auth", "key": 5}',
        b'{"action": "auth", "key": "the-root-key\\u0000"}',
        b'{"action": "auth", "key": ""}',
        '{"action": "auth", "key": "schlüssel"}'.encode(),
        b'{"action": "auth", "key": "' + b"k" * 65_536 + b'"}',
        b'{"action": "ping"}',
        b"ping",
        b'{"action": "publish", "topic": "a", "payload": 1}',
        b"the-root-key",
        b"",
        b"[" * 20_000,
        b'{"action": "auth", "key": "\\ud800"}',
    ],
)
def test_a_bad_first_frame_is_closed_with_1008(keyed: ServiceProcess, frame: bytes) -> None:
    """A first frame that is no good key ends the connection, and nothing was sent before."""
    with websocket(keyed, "?since=all", fresh_address()) as socket:
        socket.send_any(TEXT, frame)
        assert socket.close_code() == 1008
        assert socket.seen[:1] == b"\x88", "something was sent before the end"
    assert ask(keyed, "GET", "/whoami", headers=ROOT_KEY).status == 200


def test_a_frame_after_a_refusal_changes_nothing(keyed: ServiceProcess) -> None:
    """Who was refused cannot bring the right key on the same connection."""
    with websocket(keyed, "?since=all", fresh_address()) as socket:
        socket.command(action="auth", key="wrong")
        socket.command(action="auth", key="the-root-key")
        assert socket.close_code() == 1008
        assert b"welcome" not in socket.seen


def test_no_first_frame_within_5_s_is_closed_with_1008(keyed: ServiceProcess) -> None:
    """Who shows nothing is not kept."""
    with websocket(keyed) as socket:
        begun = time.monotonic()
        assert socket.close_code(within_s=8) == 1008
        assert 4.5 <= time.monotonic() - begun <= 7
        assert socket.seen[:1] == b"\x88"
