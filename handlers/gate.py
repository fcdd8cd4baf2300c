"""Who may come in: keys, origins and the cap on readers, for HTTP and WebSocket alike.

Answers for: 401, 403 and the CORS headers. Does not: know resources.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from handlers.problems import Problem

EXPOSED_HEADERS = "Link, X-Request-Id, X-Log-Position, X-Log-Gap, Retry-After, ETag"
UNSAFE_METHODS = ("POST", "PUT", "PATCH", "DELETE")


def origin_allowed(origin: str, host: str, allowed: Sequence[str]) -> bool:
    """Return whether a web page from `origin` may talk to us: the one rule for CORS, preflight,
    WebSocket and SSE. `host` is our own Host header; a page of our own always may."""
    if "*" in allowed or origin.rstrip("/") in allowed:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.netloc == host


class Gate:
    """Admission. Immutable settings, so it may be called from anywhere on the loop."""

    def __init__(self, *, key: str, key_required: bool, origins: Sequence[str]) -> None:
        self._key = key.encode()
        self._key_required = key_required
        self._origins = tuple(origin.rstrip("/") for origin in origins)

    def admit_key(self, scope: str, authorization: str | None, api_key: str | None) -> None:
        """Raise a Problem 401 unless the operation is public or the caller has the key."""
        if scope == "public" or not self._key_required:
            return
        given = api_key or ""
        if authorization:
            kind, _, value = authorization.partition(" ")
            given = value.strip() if kind.lower() == "bearer" else ""
        # Headers arrive as Latin-1: back to the bytes that were sent, compared in constant time.
        sent = given.encode("latin-1", "replace")
        if not hmac.compare_digest(sent, self._key):
            raise Problem(
                401,
                "this needs a key: send Authorization: Bearer <key>, or X-API-Key: <key>",
                headers={"WWW-Authenticate": "Bearer"},
            )

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
