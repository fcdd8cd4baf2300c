"""Who may come in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from handlers.gate import EXPOSED_HEADERS, FAILURES_A_MINUTE, Gate, GateSettings, origin_allowed
from handlers.keyring import Keyring
from handlers.problems import Problem
from tests.recordings import NOW_US

PAGE = "https://page.example"


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def gate(*origins: str, key: str = "", path: str = "", clock: Any = None, **more: Any) -> Gate:
    """Return a gate; without a key nobody is asked for one."""
    settings = GateSettings(key_required=bool(key or path), origins=origins, **more)
    return Gate(settings, Keyring(key, path, lambda: NOW_US), clock or Clock())


def status(caught: pytest.ExceptionInfo[Problem]) -> int:
    """Return the status of the Problem that was raised."""
    return caught.value.status


def latin(text: str) -> str:
    """Return a header as Tornado gives it: the bytes that were sent, read as Latin-1."""
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": latin("Bearer schlüssel")},
        {"Authorization": latin("bearer  schlüssel ")},
        {"X-API-Key": latin("schlüssel")},
        {"Authorization": latin("Bearer schlüssel"), "X-API-Key": "wrong"},
    ],
)
def test_the_key_opens(headers: Mapping[str, str]) -> None:
    """Either header with the right key is admitted to everything, also beyond ASCII."""
    ours = gate(key="schlüssel")
    caller = ours.admit_caller(headers, (), "peer")
    for scope in ("public", "read", "publish", "subscribe", "admin"):
        assert ours.require(caller, scope) is caller


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
        {"Authorization": "Basic key"},
        {"Authorization": "key"},
        {"Authorization": "Bearer wrong", "X-API-Key": "key"},
        {"X-API-Key": "wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": "KEY"},
        {"X-API-Key": "\u20ac"},
    ],
)
def test_a_wrong_key_is_a_401(headers: Mapping[str, str]) -> None:
    """A wrong key, an empty one, or another scheme is refused."""
    with pytest.raises(Problem) as caught:
        gate(key="key").admit_caller(headers, (), "peer")
    assert status(caught) == 401
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


def test_no_key_is_a_401_that_says_how_unless_it_is_public() -> None:
    """Without a key only what is public is open."""
    ours = gate(key="key")
    caller = ours.admit_caller({}, (), "peer")
    ours.require(caller, "public")
    with pytest.raises(Problem) as caught:
        ours.require(caller, "read")
    assert status(caught) == 401
    assert "X-API-Key" in caught.value.detail


def test_no_key_is_asked_for_where_none_is_needed() -> None:
    """Where keys are not required a key that is sent is ignored, right or wrong."""
    ours = gate()
    for headers in ({}, {"X-API-Key": "wrong"}):
        ours.require(ours.admit_caller(headers, ("api_key",), "peer"), "admin")


@pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "token", "access_token"])
def test_a_key_in_a_url_is_refused(name: str) -> None:
    """Even beside a right key in a header: URLs end up in logs."""
    with pytest.raises(Problem) as caught:
        gate(key="key").admit_caller({"X-API-Key": "key"}, (name,), "peer")
    assert status(caught) == 401
    assert "URL" in caught.value.detail


def test_keys_have_scopes_topics_and_an_end(tmp_path: Path) -> None:
    """A key of the file may do what its entry says until it expires, and no more."""
    entries = [
        {"name": name, "hash": "sha256:" + hashlib.sha256(name.encode()).hexdigest(), **more}
        for name, more in {
            "reader": {"scopes": ["read"], "read": ["a/#"], "expires": "2027-01-01"},
            "late": {"scopes": ["read"], "expires": "2026-01-01"},
        }.items()
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": entries}))
    ours = gate(path=str(tmp_path / "keys.json"))
    reader = ours.admit_caller({"X-API-Key": "reader"}, (), "peer")
    assert reader is not None
    assert ours.require(reader, "read") is reader
    assert (reader.may_read("a/b"), reader.may_read("b")) == (True, False)
    with pytest.raises(Problem) as caught:
        ours.require(reader, "publish")
    assert status(caught) == 403
    with pytest.raises(Problem) as caught:
        ours.admit_caller({"X-API-Key": "late"}, (), "peer")
    assert status(caught) == 401


def test_guessing_keys_is_slowed_by_address() -> None:
    """After some wrong keys an address gets 429 for a minute, even with the right one."""
    clock = Clock()
    ours = gate(key="key", clock=clock)
    right, wrong = {"X-API-Key": "key"}, {"X-API-Key": "wrong"}
    for _ in range(FAILURES_A_MINUTE):
        with pytest.raises(Problem) as caught:
            ours.admit_caller(wrong, (), "here")
        assert status(caught) == 401
    with pytest.raises(Problem) as caught:
        ours.admit_caller(right, (), "here")
    assert status(caught) == 429
    assert ours.admit_caller(right, (), "elsewhere")
    clock.now_s += 121
    assert ours.admit_caller(right, (), "here")


def test_right_keys_are_never_counted_as_guesses() -> None:
    """However often the right key is shown, it opens."""
    ours = gate(key="key")
    for _ in range(10 * FAILURES_A_MINUTE):
        assert ours.admit_caller({"X-API-Key": "key"}, (), "here")


def test_the_rate_is_limited_by_caller() -> None:
    """Over the limit is a 429 that says when; a cost that never fits is a 422; others go on."""
    clock = Clock()
    ours = gate(rate_limit=10, rate_window_s=60, clock=clock)
    ours.admit_rate("a", 9)
    assert ours.admit_rate("a").remaining == 0
    with pytest.raises(Problem) as caught:
        ours.admit_rate("a")
    assert status(caught) == 429
    assert int(caught.value.headers["Retry-After"]) > 0
    assert caught.value.headers["RateLimit-Limit"] == "10"
    ours.admit_rate("b")
    with pytest.raises(Problem) as caught:
        ours.admit_rate("c", 11)
    assert status(caught) == 422
    clock.now_s += 121
    ours.admit_rate("a", 10)
    assert gate(rate_limit=0).admit_rate("a", 10**9) is None


@pytest.mark.parametrize(
    ("origin", "allowed", "expected"),
    [
        (PAGE, ("*",), True),
        (PAGE, (PAGE,), True),
        (PAGE, (PAGE, "https://other.example"), True),
        (PAGE, (), False),
        (PAGE, ("https://other.example",), False),
        ("http://page.example", (PAGE,), False),
        (f"{PAGE}.evil.example", (PAGE,), False),
        (f"{PAGE}:8443", (PAGE,), False),
        ("null", (), False),
        ("", (), False),
        ("file://", (), False),
        ("http://gateway:8000", (), True),
        ("https://gateway:8000", (), True),
        ("http://gateway:8001", (), False),
        ("http://gateway", (), False),
        ("ftp://gateway:8000", (), False),
        ("http://gateway:8000.evil.example", (), False),
    ],
)
def test_origins_are_those_allowed_and_our_own(
    origin: str, allowed: tuple[str, ...], expected: bool
) -> None:
    """Only the very origins that are listed, a star, or a page of our own host."""
    assert origin_allowed(origin, "gateway:8000", allowed) is expected


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b", "//", "http:///x"])
def test_a_malformed_origin_is_not_allowed(origin: str) -> None:
    """A header that is no origin is refused like a foreign one, never an error of ours."""
    assert origin_allowed(origin, "gateway:8000", ()) is False


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_foreign_page_may_not_change_anything(method: str) -> None:
    """An unsafe request with a foreign Origin is a 403; from a program without one it is fine."""
    ours = gate("https://friend.example/")
    with pytest.raises(Problem) as caught:
        ours.admit_origin(method, PAGE, "gateway:8000")
    assert status(caught) == 403
    for origin in (None, "", "https://friend.example", "http://gateway:8000"):
        ours.admit_origin(method, origin, "gateway:8000")
    ours.admit_origin("GET", PAGE, "gateway:8000")


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("192.168.1.5:8000", True),
        ("[::1]:8000", True),
        ("localhost", True),
        ("gateway.local", True),
        ("gateway.example:8000", True),
        ("evil.example", False),
        ("gateway.example.evil.example", False),
        ("", False),
    ],
)
def test_a_host_name_that_is_not_ours_is_a_421(host: str, is_ours: bool) -> None:
    """A page that rebinds its own name to our address is turned away."""
    ours = gate(allowed_hosts=("gateway.example",))
    if is_ours:
        ours.admit_host(host)
        return
    with pytest.raises(Problem) as caught:
        ours.admit_host(host)
    assert status(caught) == 421


def test_cors_headers_say_who_may_read() -> None:
    """A star for all; the very origin, varying, for a listed one; nothing for others."""
    expose = {"Access-Control-Expose-Headers": EXPOSED_HEADERS}
    star = {"Access-Control-Allow-Origin": "*", **expose}
    assert gate("*").cors_headers(PAGE, "h") == star
    named = {"Access-Control-Allow-Origin": PAGE, **expose, "Vary": "Origin"}
    assert gate(PAGE).cors_headers(PAGE, "h") == named
    for origin in (None, "https://other.example"):
        assert gate(PAGE).cors_headers(origin, "h") == {"Vary": "Origin"}
    for origins in (("*",), (PAGE,)):
        assert "Access-Control-Allow-Credentials" not in gate(*origins).cors_headers(PAGE, "h")
