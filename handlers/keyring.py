"""The keys that callers show: who they are, what they may do, and until when.

Answers for: reading the keys file, finding a key in constant time, making a new one. Does not:
admit anybody; gate.py does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handlers.parsing import InvalidMoment, parse_moment
from store.topics import InvalidTopic, TopicFilter, check_filter

SCOPES = ("read", "publish", "subscribe", "admin")
# 256 random bits: a plain SHA-256 of them cannot be guessed back, so no slow hash is needed.
KEY_BYTES = 32
_FIELDS = {"name", "hash", "scopes", "read", "publish", "expires"}


class KeysFileError(ValueError):
    """The keys file cannot be used; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `read` and `publish` are the topics allowed; None is every topic."""

    name: str
    scopes: frozenset[str]
    read: TopicFilter | None = None
    publish: TopicFilter | None = None
    expires_us: int | None = None
    digest: bytes = b""

    def may(self, scope: str) -> bool:
        """Return whether the caller has the scope."""
        return scope in ("public", "any") or scope in self.scopes

    def may_read(self, topic: str) -> bool:
        """Return whether the caller may see a topic."""
        return self.read is None or self.read.matches(topic)

    def may_publish(self, topic: str) -> bool:
        """Return whether the caller may publish to a topic."""
        return self.publish is None or self.publish.matches(topic)


ANYBODY = Caller("anybody", frozenset(SCOPES))
NOBODY = Caller("nobody", frozenset())


class Keyring:
    """The valid keys. `reload` replaces them as a whole; a file that is wrong, or is not there,
    changes nothing: who wants no keys writes an empty list."""

    def __init__(self, key: str, path: str, now_us: Callable[[], int]) -> None:
        self._path = path
        self._now_us = now_us
        self._fixed = [_all_powerful(key)] if key else []
        # Before the first key is made there is no file yet; later it has no reason to be missing.
        made = path and Path(path).exists()
        self._callers = [*self._fixed, *(read_keys(Path(path)) if made else [])]

    @property
    def is_empty(self) -> bool:
        """Whether there is no key at all."""
        return not self._callers

    def reload(self) -> None:
        """Read the keys file again. KeysFileError leaves the keys as they were."""
        if self._path:
            self._callers = [*self._fixed, *read_keys(Path(self._path))]

    def find(self, key: bytes) -> Caller | None:
        """Return who shows this key, or None when it is wrong or expired."""
        digest = hashlib.sha256(key).digest()
        found = None
        for caller in self._callers:  # all of them: the time must not tell which one matched
            if hmac.compare_digest(caller.digest, digest):
                found = caller
        return found if found is not None and self.is_valid(found) else None

    def is_valid(self, caller: Caller) -> bool:
        """Return whether a caller that was admitted may stay: not revoked, not expired."""
        if caller.digest and caller not in self._callers:
            return False
        return caller.expires_us is None or self._now_us() < caller.expires_us


def _all_powerful(key: str) -> Caller:
    digest = hashlib.sha256(key.encode("utf-8")).digest()
    return Caller("API_KEY", frozenset(SCOPES), digest=digest)


def read_keys(path: Path) -> list[Caller]:
    """Read the keys file; KeysFileError names the entry that is wrong, or what hinders."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["keys"]
        if not isinstance(entries, list):
            raise TypeError("`keys` is no list")
    except OSError as error:
        raise KeysFileError(f"API_KEYS_FILE {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeysFileError(
            f"API_KEYS_FILE {path} is not a JSON object with a list `keys`: {error}"
        ) from None
    return [_caller(entry, number) for number, entry in enumerate(entries)]


def _caller(entry: Any, number: int) -> Caller:
    try:
        unknown = set(entry) - _FIELDS
        scopes = frozenset(entry["scopes"])
        if unknown or not scopes <= set(SCOPES):
            raise ValueError(f"unknown: {', '.join(sorted(unknown | (scopes - set(SCOPES))))}")
        digest = bytes.fromhex(entry["hash"].removeprefix("sha256:"))
        if len(digest) != hashlib.sha256().digest_size:
            raise ValueError("hash is not sha256:<64 hex digits>")
        expires = entry.get("expires")
        return Caller(
            str(entry["name"]),
            scopes,
            _filters(entry.get("read")),
            _filters(entry.get("publish")),
            None if expires is None else parse_moment(expires, 0),
            digest,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise KeysFileError(f"entry {number} of API_KEYS_FILE is incomplete: {error}") from None
    except (ValueError, InvalidTopic, InvalidMoment) as error:
        raise KeysFileError(f"entry {number} of API_KEYS_FILE is wrong: {error}") from None


def _filters(texts: Sequence[str] | None) -> TopicFilter | None:
    if texts is None:
        return None
    if not isinstance(texts, list):  # the characters of a text would be filters, too
        raise ValueError("read and publish are lists of topic filters")
    return TopicFilter([check_filter(text) for text in texts])


def new_key() -> tuple[str, str]:
    """Return a new key and the hash of it that is stored."""
    key = "gm_" + secrets.token_urlsafe(KEY_BYTES)
    return key, "sha256:" + hashlib.sha256(key.encode("ascii")).hexdigest()


def change_keys_file(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    """Let `change` edit the list of entries, check the result, and replace the file whole."""
    entries: list[dict[str, Any]] = []
    if path.exists():
        read_keys(path)
        entries = json.loads(path.read_text(encoding="utf-8"))["keys"]
    change(entries)
    for number, entry in enumerate(entries):
        _caller(entry, number)
    _write_whole(path, {"keys": entries})


def _write_whole(path: Path, document: Mapping[str, Any]) -> None:
    handle, name = tempfile.mkstemp(".tmp", path.name, path.parent)  # readable by us alone
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
