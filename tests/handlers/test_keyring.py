"""The keys: finding them, reading their file, and their end."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from handlers.keyring import (
    ANYBODY,
    NOBODY,
    SCOPES,
    Keyring,
    KeysFileError,
    change_keys_file,
    new_key,
    read_keys,
)
from tests.recordings import NOW_US

HASH = "sha256:" + hashlib.sha256(b"key").hexdigest()


def entry(**fields: Any) -> dict[str, Any]:
    """Return an entry of a keys file, for the key `key`."""
    return {"name": "one", "hash": HASH, "scopes": ["read"], **fields}


def write(path: Path, *entries: Any) -> Path:
    """Write a keys file."""
    file = path / "keys.json"
    file.write_text(json.dumps({"keys": list(entries)}))
    return file


class Clock:
    """Microseconds since 1970 that a test sets."""

    def __init__(self) -> None:
        self.now_us = NOW_US

    def __call__(self) -> int:
        return self.now_us


def test_the_one_key_of_the_environment_may_do_everything() -> None:
    """API_KEY is found by its bytes and has every scope and topic, for ever."""
    keyring = Keyring("schlüssel", "", Clock())
    found = keyring.find("schlüssel".encode())
    assert found is not None
    assert (found.name, found.scopes) == ("API_KEY", set(SCOPES))
    assert found.may_read("$SYS/x")
    assert found.may_publish("any/thing")
    for wrong in (b"", b"schluessel", b"schl\xc3\xbcssel ", b"\x00", b"k" * 65_536, b"\xff"):
        assert keyring.find(wrong) is None


def test_an_empty_key_opens_nothing() -> None:
    """Without a key nobody has the empty one."""
    keyring = Keyring("", "", Clock())
    assert keyring.is_empty
    assert keyring.find(b"") is None


def test_a_key_of_the_file_is_what_its_entry_says(tmp_path: Path) -> None:
    """Name, scopes and topics come from the entry; without filters a key has every topic."""
    given = entry(scopes=["read", "publish"], read=["a/#", "b"], publish=[])
    keyring = Keyring("", str(write(tmp_path, given)), Clock())
    found = keyring.find(b"key")
    assert found is not None
    assert [found.may(scope) for scope in ("any", "public", *SCOPES)] == [True] * 4 + [False] * 2
    assert [found.may_read(topic) for topic in ("a", "a/x", "b", "b/x", "$SYS/a")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not found.may_publish("a")


def test_a_key_ends_when_its_time_has_come(tmp_path: Path) -> None:
    """It is good until the moment of its expiry, and an admitted caller is not welcome after."""
    clock = Clock()
    keyring = Keyring("", str(write(tmp_path, entry(expires="2026-11-23T11:00:00Z"))), clock)
    caller = keyring.find(b"key")
    assert caller is not None
    assert caller.expires_us is not None
    for now_us, good in ((caller.expires_us - 1, True), (caller.expires_us, False)):
        clock.now_us = now_us
        assert (keyring.find(b"key") is not None) is good
        assert keyring.is_valid(caller) is good


def test_reading_again_replaces_all_keys_as_a_whole(tmp_path: Path) -> None:
    """A caller stays welcome only while its entry is the same; API_KEY stays anyway."""
    file = write(tmp_path, entry(), entry(name="two", hash=HASH[:-1] + "0"))
    keyring = Keyring("root", str(file), Clock())
    caller, root = keyring.find(b"key"), keyring.find(b"root")
    assert caller is not None
    assert root is not None
    for entries, welcome in (
        ([entry()], True),
        ([entry(name="two", hash=HASH[:-1] + "0"), entry()], True),
        ([entry(scopes=["publish"])], False),
        ([entry(read=["a"])], False),
        ([entry(expires="2099-01-01")], False),
        ([], False),
    ):
        write(tmp_path, *entries)
        keyring.reload()
        assert keyring.is_valid(caller) is welcome, entries
        assert keyring.is_valid(root)


def test_those_without_a_key_are_always_welcome() -> None:
    """Nobody and anybody have no key that could end."""
    keyring = Keyring("k", "", Clock())
    assert keyring.is_valid(ANYBODY)
    assert keyring.is_valid(NOBODY)
    assert not NOBODY.may("read")


@pytest.mark.parametrize(
    "wrong",
    [
        entry(name=None) | {"scopes": ["fly"]},
        entry(colour="red"),
        entry(hash="md5:0"),
        entry(hash=HASH + "00"),
        entry(hash="sha256:zz"),
        entry(hash=None),
        entry(scopes="read"),
        entry(scopes=None),
        entry(scopes=[["read"]]),
        entry(read="a/#"),
        entry(read={"a/#": 1}),
        entry(read=[5]),
        entry(publish=["a+"]),
        entry(publish=["$share/g/a"]),
        entry(expires=5),
        entry(expires="tomorrow"),
        {"name": "one"},
        {},
        [],
        "key",
        None,
    ],
)
def test_a_wrong_entry_is_named_and_keeps_the_old_keys(tmp_path: Path, wrong: Any) -> None:
    """Nothing of a file with a wrong entry is taken, and the sentence has its number."""
    file = write(tmp_path, entry())
    keyring = Keyring("", str(file), Clock())
    write(tmp_path, entry(name="new", hash=HASH[:-1] + "1"), wrong)
    with pytest.raises(KeysFileError, match=r"entry 1 of API_KEYS_FILE is .+"):
        keyring.reload()
    assert keyring.find(b"key") is not None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"5", b'{"keys": 5}', b'{"keys": {}}', b"\xff", b"[" * 100_000]
)
def test_a_file_that_is_no_list_of_keys_is_refused(tmp_path: Path, content: bytes) -> None:
    """Whatever else the file is, it is a sentence and not a crash."""
    file = tmp_path / "keys.json"
    file.write_bytes(content)
    with pytest.raises(KeysFileError, match="API_KEYS_FILE"):
        read_keys(file)


def test_a_file_that_is_not_there_holds_no_key_at_the_start(tmp_path: Path) -> None:
    """The first `keys add` makes it; after that a missing file changes nothing, and neither does
    a directory in its place."""
    file = tmp_path / "keys.json"
    keyring = Keyring("", str(file), Clock())
    assert keyring.is_empty
    with pytest.raises(KeysFileError, match="cannot be read"):
        keyring.reload()
    write(tmp_path, entry())
    keyring.reload()
    file.unlink()
    with pytest.raises(KeysFileError, match="cannot be read"):
        keyring.reload()
    assert keyring.find(b"key") is not None
    with pytest.raises(KeysFileError):
        Keyring("", str(tmp_path), Clock())


def test_new_keys_are_long_and_never_the_same() -> None:
    """A key has 256 random bits, and what is stored does not contain it."""
    made = [new_key() for _ in range(50)]
    assert len({key for key, _ in made}) == 50
    for key, digest in made:
        assert re.fullmatch(r"gm_[A-Za-z0-9_-]{43}", key)
        assert digest == "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def test_the_file_is_changed_whole_or_not_at_all(tmp_path: Path) -> None:
    """A change that would make the file wrong leaves it as it was, and no rest beside it."""
    file = write(tmp_path, entry())
    before = file.read_bytes()
    with pytest.raises(KeysFileError):
        change_keys_file(file, lambda entries: entries.append(entry(scopes=["fly"])))
    assert file.read_bytes() == before
    change_keys_file(file, lambda entries: entries.append(entry(name="zwei ü")))
    assert [caller.name for caller in read_keys(file)] == ["one", "zwei ü"]
    assert file.stat().st_mode & 0o077 == 0
    assert [found.name for found in tmp_path.iterdir()] == ["keys.json"]
