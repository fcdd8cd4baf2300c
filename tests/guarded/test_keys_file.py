"""Keys from their making on: the command, the file, and the start."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handlers.keyring import SCOPES
from tests.guarded import asking
from tests.guarded.asking import Launch, bearer, hang_up, key_of, write_keys
from tests.guarded.keyed import ask, keys, settings
from tests.service_process import ServiceProcess


def test_a_key_is_made_listed_used_and_removed(keyed: ServiceProcess, keys_file: Path) -> None:
    """`keys add` prints the key once; after SIGHUP it opens, and after `remove` no more."""
    may = ("--scope", "read", "--scope", "publish", "--read", "a/#", "--publish", "b/+")
    made = keys(keys_file, "add", "line 1", *may, "--expires", "30d")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert re.fullmatch(r"gm_[A-Za-z0-9_-]{43}", key)
    assert "SIGHUP" in made.stderr
    assert key not in made.stderr

    kept = keys_file.read_text()
    assert key not in kept
    entry = next(one for one in json.loads(kept)["keys"] if one["name"] == "line 1")
    assert entry["hash"] == "sha256:" + hashlib.sha256(key.encode()).hexdigest()
    assert keys_file.stat().st_mode & 0o077 == 0, "others may read the keys_file"

    listed = keys(keys_file, "list")
    expiry = datetime.now(UTC) + timedelta(days=30)
    assert re.search(
        rf"(?m)^line 1: publish, read; reads a/#; publishes b/\+; expires {expiry:%Y-%m-%d}",
        listed.stdout,
    )
    assert "reader: read; never expires" in listed.stdout
    assert key not in listed.stdout
    assert entry["hash"] not in listed.stdout

    assert ask(keyed, "GET", "/whoami", headers=bearer(key)).status == 401
    hang_up(keyed)
    who = ask(keyed, "GET", "/whoami", headers={"X-API-Key": key})
    assert (who.status, who.json()) == (
        200,
        {"name": "line 1", "scopes": ["read", "publish"], "read": ["a/#"], "publish": ["b/+"]},
    )
    assert keys(keys_file, "remove", "line 1").returncode == 0
    assert "line 1" not in keys(keys_file, "list").stdout
    hang_up(keyed)
    assert ask(keyed, "GET", "/whoami", headers=bearer(key)).status == 401
    assert key not in keyed.log()


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


@contextmanager
def put_back(keyed: ServiceProcess, keys_file: Path) -> Iterator[None]:
    """Have the file as it was, and its keys, at the end."""
    good = keys_file.read_bytes()
    try:
        yield
    finally:
        if keys_file.is_dir():
            keys_file.rmdir()
        keys_file.write_bytes(good)
        hang_up(keyed)


def what_keeps_the_old_keys(keyed: ServiceProcess) -> str:
    """Send SIGHUP; see that the old keys hold, and no others; return why, as the log says it."""
    hang_up(keyed)
    last = keyed.log().rstrip().splitlines()[-1]
    assert "the keys stay as they were" in last
    for headers, status in (
        (bearer(key_of("reader")), 200),
        (bearer("stranger"), 401),
        ({}, 401),
    ):
        assert ask(keyed, "GET", "/whoami", headers=headers).status == status
    return last


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
def test_a_wrong_file_keeps_the_old_keys(
    keyed: ServiceProcess, keys_file: Path, wrong: str
) -> None:
    """After SIGHUP with a file that is wrong the old keys hold, and the log says why."""
    digest = hashlib.sha256(b"stranger").hexdigest()
    with put_back(keyed, keys_file):
        keys_file.write_bytes(wrong.replace("%s", digest).encode("utf-8", "surrogateescape"))
        assert "API_KEYS_FILE" in what_keeps_the_old_keys(keyed)


def test_a_missing_file_keeps_the_old_keys(keyed: ServiceProcess, keys_file: Path) -> None:
    """A file that is missing or is no file when SIGHUP comes revokes nothing and opens nothing:
    the log says that it cannot be read and what holds. It may be on its way to its place."""
    with put_back(keyed, keys_file):
        for disturb in (keys_file.unlink, keys_file.mkdir):
            disturb()
            assert "cannot be read" in what_keeps_the_old_keys(keyed)


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
