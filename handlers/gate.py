"""Who may come in: hosts, origins, keys, scopes and rates, for HTTP and WebSocket alike.

Answers for: 401, 403, 421, 429 and the CORS headers. Does not: know resources.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from handlers.hosts import Network, address_of_peer, caller_address, host_is_ours
from handlers.keyring import ANYBODY, NOBODY, Caller, Keyring
from handlers.problems import Fault, Problem, unprocessable
from handlers.rate_limit import Allowance, SlidingWindow
from handlers.tickets import Tickets

log = logging.getLogger(__name__)

UNSAFE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
EXPOSED_HEADERS = (
    "ETag, Link, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After,"
    " X-Log-Gap, X-Log-Position, X-Request-Id"
)
# Names under which people try to pass a key in a URL, where logs and histories would keep it.
KEY_PARAMETERS = frozenset(
    ("key", "api_key", "apikey", "api-key", "x-api-key", "token", "access_token", "authorization")
)
# Wrong keys from one address in a minute: enough for a typing error, not for guessing.
FAILURES_A_MINUTE = 20


def origin_allowed(origin: str, host: str, allowed: Sequence[str]) -> bool:
    """Return whether a web page from `origin` may talk to us: the one rule for CORS, preflight,
    WebSocket and SSE. `host` is our own Host header; a page of our own always may."""
    if "*" in allowed or origin.rstrip("/") in allowed:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc == host


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the gate was told."""

    key_required: bool = False
    origins: tuple[str, ...] = ("*",)
    allowed_hosts: tuple[str, ...] = ()
    own_names: tuple[str, ...] = ()
    trusted_proxies: tuple[Network, ...] = ()
    rate_limit: int = 0
    """Requests in a window; 0 is no limit."""
    rate_window_s: float = 60


class Gate:
    """Admission. Lives on the event loop; one for the whole application."""

    def __init__(
        self, settings: GateSettings, keyring: Keyring, monotonic: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._origins = tuple(origin.rstrip("/") for origin in settings.origins)
        self.keyring = keyring
        self.tickets = Tickets(monotonic)
        self._rates = SlidingWindow(settings.rate_limit or 1, settings.rate_window_s, monotonic)
        self._failures = SlidingWindow(FAILURES_A_MINUTE, 60, monotonic)

    @property
    def key_required(self) -> bool:
        """Whether callers must show a key."""
        return self._settings.key_required

    def admit_host(self, host: str) -> None:
        """Raise a Problem 421 for a name that is not ours."""
        settings = self._settings
        if not host_is_ours(host, settings.allowed_hosts, settings.own_names):
            raise Problem(421, "this host name is not ours; ALLOWED_HOSTS can add it")

    def address(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return whose request it is, for limits and the audit."""
        forwarded = headers.get("X-Forwarded-For", "")
        if not forwarded:
            return address_of_peer(peer)
        return caller_address(peer, forwarded.split(","), self._settings.trusted_proxies)

    def admit_caller(
        self, headers: Mapping[str, str], query_names: Sequence[str], address: str
    ) -> Caller | None:
        """Return who calls, None when no key was shown; a Problem 401 when the key is no good."""
        if not self.key_required:
            return ANYBODY
        self.refuse_key_in_url(query_names)
        key = _key_of(headers)
        return None if key is None else self.check_key(key, address)

    def refuse_key_in_url(self, query_names: Sequence[str]) -> None:
        """Raise a Problem 401 for a query that seems to bring a key."""
        if KEY_PARAMETERS.intersection(name.lower() for name in query_names):
            raise self._unauthorized("a key in a URL is never accepted: send it as a header")

    def check_key(self, key: bytes, address: str) -> Caller:
        """Return who shows this key; a Problem 401, or 429 after too many wrong ones."""
        allowance = self._failures.look(address)
        if not allowance.allowed:
            raise Problem(
                429,
                "too many wrong keys from this address",
                headers={"Retry-After": str(allowance.retry_s)},
            )
        caller = self.keyring.find(key)
        if caller is None:
            self._failures.hit(address)
            raise self._unauthorized("the key is wrong or has expired")
        return caller

    def require(self, caller: Caller | None, scope: str) -> Caller:
        """Return the caller if it may do this; a Problem 401 or 403 otherwise."""
        if scope == "public":
            return caller or NOBODY
        if caller is None:
            raise self._unauthorized(
                "this needs a key: send Authorization: Bearer <key>, or X-API-Key: <key>"
            )
        if not caller.may(scope):
            raise Problem(403, f"the key {caller.name} lacks the scope {scope}")
        return caller

    @staticmethod
    def _unauthorized(detail: str) -> Problem:
        return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})

    def admit_rate(self, identity: str, cost: int = 1, counted: int = 0) -> Allowance | None:
        """Count a request; a Problem 429 over the limit, 422 for what could never fit.

        `counted` is what the same request has cost already. Returns None when there is no limit.
        """
        if not self._settings.rate_limit:
            return None
        whole, limit = cost + counted, self._rates.limit
        if whole > limit:
            raise unprocessable([Fault("", f"costs {whole} requests, and the limit is {limit}")])
        allowance = self._rates.hit(identity, cost)
        if not allowance.allowed:
            headers = {**rate_headers(allowance), "Retry-After": str(allowance.retry_s)}
            raise Problem(
                429,
                f"more than {allowance.limit} requests in {self._settings.rate_window_s:g} s",
                headers=headers,
            )
        return allowance

    def admit_origin(self, method: str, origin: str | None, host: str) -> None:
        """Raise a Problem 403 for an unsafe request from a page that may not make it."""
        if origin and method in UNSAFE_METHODS and not self.allows_origin(origin, host):
            raise Problem(403, "web pages of this origin may not do this (CORS_ORIGINS)")

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether a page from this origin may talk to us."""
        return origin_allowed(origin, host, self._origins)

    def cors_headers(self, origin: str | None, host: str) -> dict[str, str]:
        """Return the headers that let an allowed page read the answer."""
        if not origin or not self.allows_origin(origin, host):
            return {"Vary": "Origin"}
        anyone = "*" in self._origins
        return {
            "Access-Control-Allow-Origin": "*" if anyone else origin,
            "Access-Control-Expose-Headers": EXPOSED_HEADERS,
            **({} if anyone else {"Vary": "Origin"}),
        }


def rate_headers(allowance: Allowance) -> dict[str, str]:
    """Return the headers of a limited answer."""
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset_s),
    }


def _key_of(headers: Mapping[str, str]) -> bytes | None:
    """Return the key that was sent, as the bytes that were sent."""
    authorization = headers.get("Authorization")
    if authorization is not None:
        kind, _, value = authorization.partition(" ")
        given = value.strip() if kind.lower() == "bearer" else ""
    elif "X-API-Key" in headers:
        given = headers["X-API-Key"]
    else:
        return None
    return given.encode("latin-1", "replace")  # headers are decoded as Latin-1
