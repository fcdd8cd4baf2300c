"""Names and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.hosts import caller_address, host_is_ours, parse_networks

TRUSTED = parse_networks(("10.0.0.0/8", "192.168.1.1", "fd00::/8"))


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("127.0.0.1:8000", True),
        ("8.8.8.8:80", True),
        ("[::1]", True),
        ("[::1]:8000", True),
        ("[fe80::1%25eth0]:8000", True),
        ("::1", True),
        ("localhost", True),
        ("gateway:8000", True),
        (" gateway ", True),
        ("gateway.", True),
        ("GATEWAY.Local:8000", True),
        ("a.b.lan", True),
        ("pi.home.arpa", True),
        ("db.internal", True),
        ("x.localhost", True),
        ("extra.example", True),
        ("EXTRA.example.:443", True),
        ("own.example", True),
        ("", False),
        (".", False),
        (":8000", False),
        ("[]", False),
        ("[::1].evil.example", False),
        ("[::1]evil.example", False),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("extra.example.evil.example", False),
        ("notextra.example", False),
        ("local.evil", False),
        ("127.0.0.1.evil.example", False),
        ("1.2.3", False),
        ("256.1.1.1", False),
        ("0x7f.0.0.1", False),
        ("user@evil.example", False),
    ],
)
def test_a_host_is_ours_or_not(host: str, ours: bool) -> None:
    """What a page outside cannot make point here is ours, and what was named."""
    assert host_is_ours(host, ("extra.example", "Other.Example."), ("own.example",)) is ours


@given(st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}\.(com|org|de|example)", fullmatch=True))
def test_no_public_name_is_ours(name: str) -> None:
    """Nobody can register a name that passes."""
    assert not host_is_ours(name, (), ("gateway",))
    assert host_is_ours(name, (name.upper(),), ())


@given(st.text(max_size=30))
def test_any_host_is_an_answer(host: str) -> None:
    """Whatever the header says, it is ours or not, and never an error."""
    assert host_is_ours(host, (), ()) in (True, False)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("1.2.3.4", (), "1.2.3.4"),
        ("1.2.3.4", ("5.6.7.8",), "1.2.3.4"),  # an untrusted peer is not believed
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("5.6.7.8",), "5.6.7.8"),
        ("10.0.0.1", ("9.9.9.9", " 5.6.7.8 "), "5.6.7.8"),
        ("10.0.0.1", ("5.6.7.8", "10.0.0.2"), "5.6.7.8"),
        ("10.0.0.1", ("9.9.9.9", "5.6.7.8", "192.168.1.1", "10.0.0.2"), "5.6.7.8"),
        ("10.0.0.1", ("10.0.0.3", "10.0.0.2"), "10.0.0.3"),
        ("10.0.0.1", ("nonsense",), "10.0.0.1"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", ("5.6.7.8", "unknown"), "10.0.0.1"),
        ("10.0.0.1", ("5.6.7.8:4711",), "10.0.0.1"),
        ("192.168.1.2", ("5.6.7.8",), "192.168.1.2"),
        ("fd00::1", ("5.6.7.8",), "5.6.7.8"),
        ("2001:db8:1:2:3::4", (), "2001:db8:1:2::/64"),
        ("10.0.0.1", ("2001:db8:1:2:ffff::9",), "2001:db8:1:2::/64"),
        ("::1", (), "::/64"),
        ("::ffff:1.2.3.4", (), "1.2.3.4"),  # IPv4 over a socket of both kinds
        ("::ffff:10.0.0.1", ("5.6.7.8", "::ffff:10.0.0.2"), "5.6.7.8"),
        ("", (), ""),
    ],
)
def test_whose_request_it_is(peer: str, forwarded: tuple[str, ...], address: str) -> None:
    """The last hop that no trusted proxy wrote counts; an IPv6 caller is its /64."""
    assert caller_address(peer, forwarded, TRUSTED) == address


@given(st.ip_addresses(v=4).map(str), st.lists(st.text(max_size=20), max_size=5))
def test_nobody_untrusted_chooses_an_address(peer: str, forwarded: list[str]) -> None:
    """Without trusted proxies the peer counts, whatever was sent."""
    assert caller_address(peer, forwarded, ()) == peer


@pytest.mark.parametrize("text", ["10.0.0.0/33", "x", "", "10.0.0.0.0", "fd00::/129"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """A wrong network is an error at the start, not a silent hole."""
    with pytest.raises(ValueError):
        parse_networks((text,))
