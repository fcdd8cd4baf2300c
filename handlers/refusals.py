"""Answers to what never became a request: whole, as bytes, and the connection is closed after them.

Answers for: the problem document of each such refusal. Does not: know when one is due (door.py).
"""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus

from handlers.problems import RETRY_AFTER_S, Problem
from store.message import compact_json

access_log = logging.getLogger("access")

# What Tornado writes, word for word, when a request is malformed (tornado/http1connection.py).
BARE_400 = b"HTTP/1.1 400 Bad Request\r\n\r\n"

MALFORMED = Problem(400, "this is no well-formed HTTP/1.1 request")
TOO_LARGE = Problem(413, "the body is far too large")
TOO_BUSY = Problem(
    503, "too many bodies are on their way at once", headers={"Retry-After": RETRY_AFTER_S}
)
NO_ROOM = Problem(503, "all connections are taken", headers={"Retry-After": RETRY_AFTER_S})


def refusal(problem: Problem) -> bytes:
    """Return a whole answer, after which the connection is closed."""
    request_id = secrets.token_hex(8)
    access_log.info("- - %d id=%s", problem.status, request_id)
    body = compact_json(problem.document(request_id)).encode("utf-8")
    headers = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "X-Request-Id": request_id,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Connection": "close",
        **problem.headers,
    }
    lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
    status = f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\n"
    return f"{status}{lines}\r\n".encode("ascii") + body
