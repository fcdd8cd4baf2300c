"""Keys from their making to their end: the command, the file, headers, tickets, first frames."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.gate import FAILURES_A_MINUTE, KEY_PARAMETERS
from handlers.keyring import SCOPES
from tests.guarded import asking
from tests.guarded.asking import (
    UPGRADE,
    Launch,
    bearer,
    events,
    exchange,
    hang_up,
    key_of,
    status_of,
    websocket,
    write_keys,
)
from tests.service.talking import TEXT
from tests.service_process import ROOT, Answer, ServiceProcess

SOON_S = 5.0
"""Within this an open stream must have noticed that its key is good no more."""


def keys(file: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `server.py keys`."""
    given = {"API_KEYS_FILE": str(file)} if file else {}
    return subprocess.run(
        [sys.executable, "server.py", "keys", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def ask(
    service: ServiceProcess, method: str, target: str, body: Any = None, headers: Any = None
) -> Answer:
    """Ask from an address of its own, since wrong keys are counted by address."""
    return asking.ask(service, method, target, body, {**fresh_address(), **(headers or {})})


def fresh_address() -> dict[str, str]:
    """Return the header of an address that nobody has used."""
    number = next(_ADDRESS)
    return {"X-Forwarded-For": f"10.9.{number // 250}.{number % 250}"}


def settings(file: Path, **more: str) -> dict[str, str]:
    """Return the variables of a service that wants keys of this file."""
    return {
        "API_KEY_REQUIRED": "true",
        "API_KEYS_FILE": str(file),
        "API_KEY": "the-root-key",
        "TRUSTED_PROXIES": "127.0.0.1",
        **more,
    }


_ADDRESS = itertools.count(1)
ROOT_KEY = bearer("the-root-key")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys file of the module's service."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, reader={"scopes": ["read"]})
    return path


@pytest.fixture(scope="module")
def service(launch: Launch, file: Path) -> Iterator[ServiceProcess]:
    """One service that wants keys, for all tests here that do not end it."""
    yield launch(headers=ROOT_KEY, **settings(file))


# -- the command -------------------------------------------------------------------------------


def test_a_key_is_made_listed_used_and_removed(service: ServiceProcess, file: Path) -> None:
    """`keys add` prints the key once; after SIGHUP it opens, and after `remove` no more."""
    made = keys(file, "add", "line 1", "--scope", "read", "--scope", "publish", "--read", "a/#",
                "--publish", "b/+", "--expires", "30d")  # fmt: skip
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert re.fullmatch(r"gm_[A-Za-z0-9_-]{43}", key)
    assert "SIGHUP" in made.stderr
    assert key not in made.stderr

    kept = file.read_text()
    assert key not in kept
    entry = next(one for one in json.loads(kept)["keys"] if one["name"] == "line 1")
    assert entry["hash"] == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert file.stat().st_mode & 0o077 == 0, "others may read the file"

    listed = keys(file, "list")
    expiry = datetime.now(UTC) + timedelta(days=30)
    assert re.search(
        rf"(?m)^line 1: publish, read; reads a/#; publishes b/\+; expires {expiry:%Y-%m-%d}",
        listed.stdout,
    )
    assert "reader: read; never expires" in listed.stdout
    assert key not in listed.stdout
    assert entry["hash"] not in listed.stdout

    assert ask(service, "GET", "/whoami", headers=bearer(key)).status == 401
    hang_up(service)
    who = ask(service, "GET", "/whoami", headers={"X-API-Key": key})
    assert (who.status, who.json()) == (
        200,
        {"name": "line 1", "scopes": ["read", "publish"], "read": ["a/#"], "publish": ["b/+"]},
    )
    assert keys(file, "remove", "line 1").returncode == 0
    assert "line 1" not in keys(file, "list").stdout
    hang_up(service)
    assert ask(service, "GET", "/whoami", headers=bearer(key)).status == 401
    assert key not in service.log()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "reader"), "there is a key named reader already"),
        (("remove", "nobody"), "there is no key named nobody"),
        (("add", "x", "--read", "a/#/b"), "#"),
        (("add", "x", "--read", "$share/g/a"), "$share"),
        (("add", "x", "--publish", ""), "empty"),
        (("add", "x", "--expires", "some day"), "must be a time"),
        (("add", "x", "--publish", "a/#"), "--scope publish"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    """A wrong order to `keys` ends with 78 and one sentence, and the file stays as it was."""
    file = tmp_path / "keys.json"
    write_keys(file, reader={})
    before = file.read_bytes()
    done = keys(file, *arguments)
    assert done.returncode == 78
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout
    assert file.read_bytes() == before


def test_the_file_must_be_named_and_writable(tmp_path: Path) -> None:
    """Without a file the command says which variable to set; a file that cannot be written is
    named."""
    unnamed = keys(None, "list")
    assert (unnamed.returncode, "API_KEYS_FILE" in unnamed.stderr) == (78, True)
    nowhere = keys(tmp_path / "nowhere" / "keys.json", "add", "x")
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (78, True)
    assert not nowhere.stdout, "a key was printed that nobody kept"


# -- the file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "{",
        "[]",
        '{"keys": 5}',
        '{"keys": null}',
        '{"keys": "reader"}',
        '{"keys": [5]}',
        '{"keys": [{"name": "x"}]}',
        '{"keys": [{"name": "x", "hash": "sha256:00", "scopes": ["read"]}]}',
        '{"keys": [{"name": "x", "hash": "sha256:%s", "scopes": ["fly"]}]}',
        '{"keys": [{"name": "x", "hash": "sha256:%s", "scopes": ["read"], "red": ["a"]}]}',
        '{"keys": [{"name": "x", "hash": "sha256:%s", "scopes": ["read"], "read": "a/#"}]}',
        '{"keys": [{"name": "x", "hash": "sha256:%s", "scopes": ["read"], "read": ["a#"]}]}',
        '{"keys": [{"name": "x", "hash": "sha256:%s", "scopes": ["read"], "expires": 5}]}',
        '{"keys": [{"name": "x", "hash": 5, "scopes": ["read"]}]}',
        '{"keys": [{"name": "x", "hash": "sha256:%s", "scopes": 5}]}',
        "\udcff",
    ],
)
def test_a_wrong_file_keeps_the_old_keys(service: ServiceProcess, file: Path, wrong: str) -> None:
    """After SIGHUP with a file that is wrong the old keys hold, and the log says why."""
    good = file.read_bytes()
    digest = hashlib.sha256(b"stranger").hexdigest()
    try:
        file.write_bytes(wrong.replace("%s", digest).encode("utf-8", "surrogateescape"))
        hang_up(service)
        last = service.log().rstrip().splitlines()[-1]
        assert "API_KEYS_FILE" in last
        assert "the keys stay as they were" in last
        assert ask(service, "GET", "/whoami", headers=bearer(key_of("reader"))).status == 200
        assert ask(service, "GET", "/whoami", headers=bearer("stranger")).status == 401
    finally:
        file.write_bytes(good)
        hang_up(service)


def test_a_missing_file_keeps_the_old_keys(service: ServiceProcess, file: Path) -> None:
    """A file that is missing or is no file when SIGHUP comes revokes nothing and opens nothing:
    the log says that it cannot be read and what holds. It may be on its way to its place."""
    good = file.read_bytes()
    try:
        for disturb in (file.unlink, file.mkdir):
            disturb()
            hang_up(service)
            last = service.log().rstrip().splitlines()[-1]
            assert "cannot be read" in last
            assert "the keys stay as they were" in last
            assert ask(service, "GET", "/whoami", headers=bearer(key_of("reader"))).status == 200
            assert ask(service, "GET", "/whoami", headers=bearer("stranger")).status == 401
            assert ask(service, "GET", "/whoami").status == 401
    finally:
        file.rmdir()
        file.write_bytes(good)
        hang_up(service)


def test_an_empty_list_revokes_every_key_of_the_file(launch: Launch, tmp_path: Path) -> None:
    """Who wants no keys says so with an empty list; then nobody gets in, and the log warns."""
    file = tmp_path / "keys.json"
    write_keys(file, reader={"scopes": ["read", "subscribe"]})
    shown = bearer(key_of("reader"))
    given = {"API_KEY_REQUIRED": "true", "API_KEYS_FILE": str(file)}
    service = launch(headers=shown, **given)
    assert keys(file, "remove", "reader").returncode == 0
    assert json.loads(file.read_text()) == {"keys": []}
    hang_up(service)
    for headers in (shown, {}):
        assert asking.ask(service, "GET", "/stats", headers=headers).status == 401
    service.wait_for(lambda: "there is no key any more" in service.log())


def test_a_start_with_a_wrong_file_is_refused(tmp_path: Path) -> None:
    """A service does not start with a keys file that it cannot use: 78 and one sentence."""
    file = tmp_path / "keys.json"
    file.write_text('{"keys": 5}')
    service = ServiceProcess(tmp_path, **settings(file))
    service.start(wait=False)
    assert service.process is not None
    assert service.process.wait(20) == 78
    assert "API_KEYS_FILE" in service.log()
    assert "Traceback" not in service.log()


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        ({"API_KEY_REQUIRED": "true"}, 78, "set API_KEY or API_KEYS_FILE"),
        ({"API_KEY_REQUIRED": "true", "API_KEYS_FILE": "{none}"}, 78, "holds no key"),
        ({"API_KEY_FILE": "{none}"}, 78, "API_KEY_FILE"),
        ({"API_KEY_REQUIRED": "true", "API_KEY": "k"}, 0, "is fine"),
        ({"API_KEY_REQUIRED": "true", "API_KEY_FILE": "{key}"}, 0, "is fine"),
        ({"API_KEY_REQUIRED": "maybe"}, 78, "API_KEY_REQUIRED"),
    ],
)
def test_required_with_no_key_is_refused(
    tmp_path: Path, given: dict[str, str], status: int, sentence: str
) -> None:
    """A key that is required and not configured ends the start with 78 and says what to set."""
    (tmp_path / "key").write_text("k\n")
    places = {"{none}": str(tmp_path / "none"), "{key}": str(tmp_path / "key")}
    service = ServiceProcess(
        tmp_path, "--check-config", **{name: places.get(text, text) for name, text in given.items()}
    )
    service.start(wait=False)
    assert service.process is not None
    assert service.process.wait(20) == status
    assert sentence in service.log()
    assert "Traceback" not in service.log()


def test_the_key_may_come_from_a_file(launch: Launch, tmp_path: Path) -> None:
    """API_KEY_FILE holds the one key, which may do everything; the line end is not part of it."""
    (tmp_path / "key").write_text("from-a-fïle\n", encoding="utf-8")
    shown = {"Authorization": "Bearer from-a-fïle".encode().decode("latin-1")}
    service = launch(headers=shown, API_KEY_REQUIRED="true", API_KEY_FILE=str(tmp_path / "key"))
    who = ask(service, "GET", "/whoami", headers=shown).json()
    assert who == {
        "name": "API_KEY",
        "scopes": list(SCOPES),
        "read": ["#", "$SYS/#"],
        "publish": ["#"],
    }
    assert ask(service, "GET", "/whoami", headers=bearer("from-a-file")).status == 401
    assert ask(service, "GET", "/whoami").status == 401


def test_without_a_key_on_all_addresses_the_start_warns(tmp_path: Path) -> None:
    """Who listens on the whole network without a key is told so; on 127.0.0.1 nobody is."""
    for host, given, warned in (
        ("0.0.0.0", {}, True),
        ("0.0.0.0", {"API_KEY_REQUIRED": "true", "API_KEY": "k"}, False),
        ("127.0.0.1", {}, False),
    ):
        directory = tmp_path / f"{host}-{len(given)}"
        directory.mkdir()
        service = ServiceProcess(directory, **{"API_HOST": host, **given})
        try:
            service.start()
            service.wait_for(lambda service=service: "server: listening on" in service.log())
            assert ("set API_KEY_REQUIRED and a key" in service.log()) is warned
        finally:
            service.kill()


def test_a_key_that_is_not_required_is_ignored(launch: Launch) -> None:
    """Where no key is asked for, a wrong one does no harm."""
    service = launch(API_KEY="unused")
    for headers in ({}, bearer("wrong"), {"X-API-Key": "unused"}):
        answer = ask(service, "GET", "/whoami", headers=headers)
        assert (answer.status, answer.json()["name"]) == (200, "anybody")


# -- what is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(KEY_PARAMETERS))
@pytest.mark.parametrize("path", ["/messages", "/ws", "/events"])
def test_a_key_in_a_url_is_never_taken(service: ServiceProcess, path: str, name: str) -> None:
    """Even the right key is refused with 401 in a URL, and the log does not repeat it."""
    headers = UPGRADE if path == "/ws" else {}
    answer = ask(service, "GET", f"{path}?{name}=the-root-key", headers=headers)
    assert answer.status == 401
    assert "URL" in answer.json()["detail"]
    assert "the-root-key" not in service.log()


@pytest.mark.parametrize("path", ["/messages", "/ws", "/events"])
def test_a_key_beside_a_ticket_in_a_url_is_never_taken(service: ServiceProcess, path: str) -> None:
    """A ticket does not make up for a key in the URL."""
    headers = UPGRADE if path == "/ws" else {}
    ticket = ask(service, "POST", "/ws/ticket", headers=ROOT_KEY).json()["ticket"]
    answer = ask(service, "GET", f"{path}?ticket={ticket}&key=the-root-key", headers=headers)
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
def test_a_bad_key_never_opens(service: ServiceProcess, number: int) -> None:
    """However odd its bytes are, a wrong key is a 401 (or 431, or the connection is closed where
    it is no HTTP any more), and a request like it follows with the right one."""
    key = BAD_KEYS[number]
    for header in (b"Authorization: Bearer ", b"X-API-Key: "):
        raw = exchange(
            service.port,
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
    assert ask(service, "GET", "/whoami", headers=ROOT_KEY).status == 200


def test_too_many_wrong_keys_are_a_429(service: ServiceProcess) -> None:
    """Guessing is slowed by address: a 429 that says truly when to come again; others go on."""
    here = {"X-Forwarded-For": "10.77.0.1"}
    for number in range(FAILURES_A_MINUTE):
        assert ask(service, "GET", "/stats", headers={**here, **bearer(f"w{number}")}).status == 401
    for headers in (bearer("w"), ROOT_KEY):
        answer = ask(service, "GET", "/stats", headers={**here, **headers})
        assert answer.status == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 62
    elsewhere = {"X-Forwarded-For": "10.77.0.2", **ROOT_KEY}
    assert ask(service, "GET", "/stats", headers=elsewhere).status == 200
    with websocket(service, "", here) as socket:
        socket.command(action="auth", key="the-root-key")
        assert socket.close_code() == 1008
    assert ask(service, "GET", "/health", headers=here).status == 200


# -- tickets ------------------------------------------------------------------------------------


def take_ticket(service: ServiceProcess, key: str = "the-root-key") -> str:
    """Return a new ticket."""
    answer = ask(service, "POST", "/ws/ticket", headers=bearer(key))
    assert answer.status == 200
    assert answer.json().keys() == {"ticket", "expires_in"}
    assert answer.json()["expires_in"] == 30
    ticket: str = answer.json()["ticket"]
    return ticket


def test_a_ticket_opens_one_stream_once(service: ServiceProcess) -> None:
    """A ticket opens a WebSocket or an SSE stream without a key, and a second one never."""
    for first, second in (("/ws", "/events"), ("/events", "/ws")):
        ticket = take_ticket(service)
        if first == "/ws":
            with websocket(service, f"?ticket={ticket}") as socket:
                assert socket.next("welcome")
        else:
            with events(service, f"?ticket={ticket}") as stream:
                assert stream.until(type="welcome")
        for path in (first, second):
            headers = UPGRADE if path == "/ws" else {}
            answer = ask(service, "GET", f"{path}?ticket={ticket}", headers=headers)
            assert answer.status == 401
            assert "ticket" in answer.json()["detail"]
        assert ticket not in service.log()


def test_a_ticket_opens_nothing_but_streams(service: ServiceProcess) -> None:
    """On any other path a ticket is no key, and it is not used up by trying."""
    ticket = take_ticket(service)
    assert ask(service, "GET", f"/messages?ticket={ticket}").status == 401
    with websocket(service, f"?ticket={ticket}") as socket:
        assert socket.next("welcome")


def test_a_ticket_of_a_revoked_key_opens_nothing(service: ServiceProcess, file: Path) -> None:
    """A ticket stands for its key: when the key is revoked, so is the ticket."""
    write_keys(file, reader={}, brief={})
    hang_up(service)
    tickets = [take_ticket(service, key_of("brief")) for _ in range(2)]
    write_keys(file, reader={})
    hang_up(service)
    assert ask(service, "GET", f"/ws?ticket={tickets[0]}", headers=UPGRADE).status == 401
    assert ask(service, "GET", f"/events?ticket={tickets[1]}").status == 401


# -- the first frame ----------------------------------------------------------------------------


def test_the_first_frame_may_bring_the_key(service: ServiceProcess) -> None:
    """Nothing is sent before the key; with it the stream begins, narrowed and asked as usual."""
    with websocket(service, "?since=all") as socket:
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
def test_a_bad_first_frame_is_closed_with_1008(service: ServiceProcess, frame: bytes) -> None:
    """A first frame that is no good key ends the connection, and nothing was sent before."""
    with websocket(service, "?since=all", fresh_address()) as socket:
        socket.send_any(TEXT, frame)
        assert socket.close_code() == 1008
        assert socket.seen[:1] == b"\x88", "something was sent before the end"
    assert ask(service, "GET", "/whoami", headers=ROOT_KEY).status == 200


def test_a_frame_after_a_refusal_changes_nothing(service: ServiceProcess) -> None:
    """Who was refused cannot bring the right key on the same connection."""
    with websocket(service, "?since=all", fresh_address()) as socket:
        socket.command(action="auth", key="wrong")
        socket.command(action="auth", key="the-root-key")
        assert socket.close_code() == 1008
        assert b"welcome" not in socket.seen


def test_no_first_frame_within_5_s_is_closed_with_1008(service: ServiceProcess) -> None:
    """Who shows nothing is not kept."""
    with websocket(service) as socket:
        begun = time.monotonic()
        assert socket.close_code(within_s=8) == 1008
        assert 4.5 <= time.monotonic() - begun <= 7
        assert socket.seen[:1] == b"\x88"


# -- the end of a key ---------------------------------------------------------------------------


def _revoke(service: ServiceProcess, file: Path) -> None:
    write_keys(file, reader={})
    hang_up(service)


def _narrow(service: ServiceProcess, file: Path) -> None:
    write_keys(file, reader={}, brief={"read": ["nothing"]})
    hang_up(service)


def _wait(_service: ServiceProcess, _file: Path) -> None:
    """The key expires by itself."""


@pytest.mark.parametrize(
    ("lasting_s", "end"),
    [(3600, _revoke), (3600, _narrow), (4, _wait)],  # 4 s are enough to open the streams
    ids=["revoked", "narrowed", "expired"],
)
def test_a_key_that_ends_loses_its_open_streams(
    service: ServiceProcess,
    file: Path,
    lasting_s: float,
    end: Callable[[ServiceProcess, Path], None],
) -> None:
    """Within 5 s every WebSocket of the key is closed with 1008 and every SSE stream ends,
    also when the peer does not answer the closing; other keys keep theirs."""
    expires = (datetime.now(UTC) + timedelta(seconds=lasting_s)).isoformat()
    write_keys(file, reader={}, brief={"expires": expires, "scopes": ["read", "publish"]})
    hang_up(service)
    brief, reader = bearer(key_of("brief")), bearer(key_of("reader"))
    with (
        websocket(service, "", {**brief, **fresh_address()}) as by_header,
        websocket(service) as by_frame,
        websocket(service, f"?ticket={take_ticket(service, key_of('brief'))}") as by_ticket,
        events(service, "", {**brief, **fresh_address()}) as stream,
        websocket(service, "", reader) as other,
        events(service, "", reader) as other_stream,
    ):
        by_frame.command(action="auth", key=key_of("brief"))
        for socket in (by_header, by_frame, by_ticket, other):
            assert socket.next("welcome")
        end(service, file)
        deadline = time.monotonic() + SOON_S + (lasting_s if end is _wait else 0)
        for socket in (by_header, by_frame, by_ticket):
            assert socket.close_code(deadline - time.monotonic()) == 1008
        stream.rest()
        assert time.monotonic() < deadline
        # `by_header` has not answered the closing: it must neither hear nor do anything more.
        by_header.command(action="publish", topic="after/the/end", payload="forbidden")
        _publish(service, "after/the/end", "later")
        assert other.until(lambda frame: frame["type"] == "message")["payload"] == "later"
        assert other_stream.until(type="message")["payload"] == "later"
        assert b"later" not in _what_comes(by_header)
    assert ask(service, "GET", "/whoami", headers=brief).status == (200 if end is _narrow else 401)


def _publish(service: ServiceProcess, topic: str, payload: str) -> None:
    body = {"topic": topic, "payload": payload, "qos": 1}
    assert ask(service, "POST", "/publish", body, ROOT_KEY).status == 200


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


def test_who_am_i_tells_what_a_key_may(service: ServiceProcess, file: Path) -> None:
    """Every key may ask what it is, whatever its scopes; without a key it is a 401. The broker's
    own topics may be read and never published to, whatever the entry of the key says."""
    everything = ["#", "$SYS/#"]
    write_keys(
        file,
        reader={},
        mute={"scopes": []},
        poster={"scopes": ["publish"], "read": ["a"]},
        narrow={"scopes": ["publish", "read"], "read": ["b/#", "a"], "publish": []},
        mistaken={"scopes": ["publish"], "publish": ["$SYS/#", "$SYS", "$SYSTEM/a", "b"]},
    )
    hang_up(service)
    for name, scopes, read, publish in (
        ("reader", ["read"], everything, []),
        ("mute", [], [], []),
        ("poster", ["publish"], [], ["#"]),
        ("narrow", ["read", "publish"], ["a", "b/#"], []),
        ("mistaken", ["publish"], [], ["$SYSTEM/a", "b"]),
    ):
        answer = ask(service, "GET", "/whoami", headers=bearer(key_of(name)))
        assert answer.status == 200
        assert answer.json() == {"name": name, "scopes": scopes, "read": read, "publish": publish}
    assert ask(service, "GET", "/whoami").status == 401
