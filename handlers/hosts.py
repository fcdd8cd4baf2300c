"""Names and addresses: which Host is ours, and where a request really comes from.

Answers for: the check against DNS rebinding, and whose forwarding headers are believed.
Pure functions; no look-ups.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
LOCAL_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa", ".localhost")
IPV6_SITE_BITS = 64


@lru_cache(maxsize=64)  # a caller names the same host in each request
def host_is_ours(host: str, allowed: tuple[str, ...], own_names: tuple[str, ...]) -> bool:
    """Return whether a Host header may name us.

    A page from outside can make its own name point at this machine; it cannot make up an
    address, a name without a dot, or one of the suffixes that no public name has.
    """
    name = host.strip().lower()
    if name.startswith("["):
        name, _, port = name[1:].partition("]")
        if port and not port.startswith(":"):
            return False
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    name = name.rstrip(".")
    if not name:
        return False
    try:
        ipaddress.ip_address(name)
        return True
    except ValueError:
        pass
    known = {one.lower().rstrip(".") for one in (*allowed, *own_names)}
    return "." not in name or name.endswith(LOCAL_SUFFIXES) or name in known


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and networks; ValueError when one is neither."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def caller_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return whose request it is: the last address in X-Forwarded-For that is no trusted proxy.

    `forwarded` is believed only as far as each hop that added to it is trusted. An IPv6 caller
    is its /64, since one household has 2^64 addresses.
    """
    address = peer
    for hop in reversed(forwarded):
        if not _is_in(address, trusted):
            break
        address = hop.strip()
    try:
        found = _unmapped(address)
    except ValueError:
        return peer
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, IPV6_SITE_BITS), strict=False))
    return str(found)


@lru_cache(maxsize=1024)  # a connection makes many requests
def address_of_peer(peer: str) -> str:
    """Return whose request it is when nobody forwarded it."""
    return caller_address(peer, (), ())


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = _unmapped(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


def _unmapped(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address; an IPv4 one that came over an IPv6 socket as what it is."""
    found = ipaddress.ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
