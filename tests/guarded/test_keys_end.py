"""The end of a key, and what a key may do until then."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.guarded.asking import UPGRADE, bearer, events, hang_up, key_of, websocket, write_keys
from tests.guarded.keyed import ROOT_KEY, ask, fresh_address, take_ticket
from tests.service_process import ServiceProcess

# Within this an open stream must have noticed that its key is good no more.
SOON_S = 5.0


def test_a_ticket_of_a_revoked_key_opens_nothing(keyed: ServiceProcess, keys_file: Path) -> None:
    """A ticket stands for its key: when the key is revoked, so is the ticket."""
    write_keys(keys_file, reader={}, brief={})
    hang_up(keyed)
    tickets = [take_ticket(keyed, key_of("brief")) for _ in range(2)]
    write_keys(keys_file, reader={})
    hang_up(keyed)
    assert ask(keyed, "GET", f"/ws?ticket={tickets[0]}", headers=UPGRADE).status == 401
    assert ask(keyed, "GET", f"/events?ticket={tickets[1]}").status == 401


def _revoke(keyed: ServiceProcess, keys_file: Path) -> None:
    write_keys(keys_file, reader={})
    hang_up(keyed)


def _narrow(keyed: ServiceProcess, keys_file: Path) -> None:
    write_keys(keys_file, reader={}, brief={"read": ["nothing"]})
    hang_up(keyed)


def _wait(_service: ServiceProcess, _file: Path) -> None:
    """The key expires by itself."""


@pytest.mark.parametrize(
    ("lasting_s", "end"),
    [(3600, _revoke), (3600, _narrow), (4, _wait)],  # 4 s are enough to open the streams
    ids=["revoked", "narrowed", "expired"],
)
def test_a_key_that_ends_loses_its_open_streams(
    keyed: ServiceProcess,
    keys_file: Path,
    lasting_s: float,
    end: Callable[[ServiceProcess, Path], None],
) -> None:
    """Within 5 s every WebSocket of the key is closed with 1008 and every SSE stream ends,
    also when the peer does not answer the closing; other keys keep theirs."""
    expires = (datetime.now(UTC) + timedelta(seconds=lasting_s)).isoformat()
    write_keys(keys_file, reader={}, brief={"expires": expires, "scopes": ["read", "publish"]})
    hang_up(keyed)
    brief, reader = bearer(key_of("brief")), bearer(key_of("reader"))
    with (
        websocket(keyed, "", {**brief, **fresh_address()}) as by_header,
        websocket(keyed) as by_frame,
        websocket(keyed, f"?ticket={take_ticket(keyed, key_of('brief'))}") as by_ticket,
        events(keyed, "", {**brief, **fresh_address()}) as stream,
        websocket(keyed, "", reader) as other,
        events(keyed, "", reader) as other_stream,
    ):
        by_frame.command(action="auth", key=key_of("brief"))
        for socket in (by_header, by_frame, by_ticket, other):
            assert socket.next("welcome")
        end(keyed, keys_file)
        deadline = time.monotonic() + SOON_S + (lasting_s if end is _wait else 0)
        for socket in (by_header, by_frame, by_ticket):
            assert socket.close_code(deadline - time.monotonic()) == 1008
        assert stream.rest().endswith(": the key is revoked or expired\n\n")
        assert time.monotonic() < deadline
        # `by_header` has not answered the closing: it must neither hear nor do anything more.
        by_header.command(action="publish", topic="after/the/end", payload="forbidden")
        _publish(keyed, "after/the/end", "later")
        assert other.until(lambda frame: frame["type"] == "message")["payload"] == "later"
        assert other_stream.until(type="message")["payload"] == "later"
        assert b"later" not in _what_comes(by_header)
    assert ask(keyed, "GET", "/whoami", headers=brief).status == (200 if end is _narrow else 401)


def _publish(keyed: ServiceProcess, topic: str, payload: str) -> None:
    body = {"topic": topic, "payload": payload, "qos": 1}
    assert ask(keyed, "POST", "/publish", body, ROOT_KEY).status == 200


def _what_comes(socket: Any) -> bytes:
    """Return what comes within a second."""
    before = len(socket.seen)
    socket.socket.settimeout(1)
    try:
        while socket.receive():
            pass
    except OSError:
        pass
    found: bytes = socket.seen[before:]
    return found


def test_who_am_i_tells_what_a_key_may(keyed: ServiceProcess, keys_file: Path) -> None:
    """Every key may ask what it is, whatever its scopes; without a key it is a 401. The broker's
    own topics may be read and never published to, whatever the entry of the key says."""
    everything = ["#", "$SYS/#"]
    write_keys(
        keys_file,
        reader={},
        mute={"scopes": []},
        poster={"scopes": ["publish"], "read": ["a"]},
        narrow={"scopes": ["publish", "read"], "read": ["b/#", "a"], "publish": []},
        mistaken={"scopes": ["publish"], "publish": ["$SYS/#", "$SYS", "$SYSTEM/a", "b"]},
    )
    hang_up(keyed)
    for name, scopes, read, publish in (
        ("reader", ["read"], everything, []),
        ("mute", [], [], []),
        ("poster", ["publish"], [], ["#"]),
        ("narrow", ["read", "publish"], ["a", "b/#"], []),
        ("mistaken", ["publish"], [], ["$SYSTEM/a", "b"]),
    ):
        answer = ask(keyed, "GET", "/whoami", headers=bearer(key_of(name)))
        assert answer.status == 200
        assert answer.json() == {"name": name, "scopes": scopes, "read": read, "publish": publish}
    assert ask(keyed, "GET", "/whoami").status == 401
