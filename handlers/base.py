"""What every handler shares: admit, validated query and body, reply, and one shape of error.

Answers for: the four lines of a request and everything around them. Does not: know a resource.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable
from typing import Any

import tornado.web

from handlers.contract import Contract
from handlers.gate import Gate
from handlers.parsing import require_text
from handlers.problems import Problem, to_problem
from store.message import compact_json

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
PREFLIGHT_SECONDS = "600"


class Handler(tornado.web.RequestHandler):
    """Base of all handlers. `path` is the template of its route in the contract."""

    path_template: str
    contract: Contract
    gate: Gate

    def initialize(self, **collaborators: Any) -> None:
        """Take the collaborators that the route table hands over: the annotated attributes."""
        for name, collaborator in collaborators.items():
            setattr(self, name, collaborator)

    def prepare(self) -> Awaitable[None] | None:
        """Admit the request, or raise the Problem that says why not."""
        method = self.request.method or ""
        headers = self.request.headers
        self.gate.admit_origin(method, headers.get("Origin"), self.request.host)
        if method == "OPTIONS":
            return None
        known = self.contract.methods(self.path_template)
        if method not in known:
            raise Problem(
                405,
                f"{method} is not possible here; possible are {', '.join(known)}",
                headers={"Allow": ", ".join(known)},
            )
        scope = self.contract.scope(self.path_template, "GET" if method == "HEAD" else method)
        self.gate.admit_key(scope, headers.get("Authorization"), headers.get("X-API-Key"))
        return None

    def set_default_headers(self) -> None:
        """Headers of every answer, errors included."""
        given = self.request.headers.get("X-Request-Id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.clear_header("Server")
        self.set_header("Content-Type", JSON)
        self.set_header("X-Request-Id", self.request_id)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-store")

    def query(self) -> dict[str, Any]:
        """Return the query, checked against the contract."""
        method = "get" if self.request.method == "HEAD" else (self.request.method or "get")
        return self.contract.query(self.path_template, method, self.request.query)

    def body(self) -> Any:
        """Return the body, checked against the contract."""
        return self.contract.body(
            self.path_template, self.request.method or "post", self.request.body
        )

    def reply(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish_with(compact_json(value).encode("utf-8"))

    def finish_with(self, content: bytes) -> None:
        """Answer with bytes of the type already set."""
        self.add_cors_headers()
        self.finish(content or None)  # a 204 or 304 may have no body at all

    def add_cors_headers(self) -> None:
        """Let an allowed web page read the answer."""
        for name, text in self.gate.cors_headers(
            self.request.headers.get("Origin"), self.request.host
        ).items():
            self.add_header(name, text)

    def decode_argument(self, value: bytes, name: str | None = None) -> str:
        """Decode a part of the path strictly."""
        return require_text(value, name or "the path")

    def compute_etag(self) -> str | None:
        """No tag by hashing the answer: a tag here means a position in the log."""
        return None

    async def head(self, *parts: str) -> None:
        """Answer as GET does; Tornado leaves the body out."""
        await _finished(self.get(*parts))

    def options(self, *_parts: str) -> None:
        """Answer 204 with what is allowed, to anybody and to a browser's preflight."""
        allow = ", ".join(self.contract.methods(self.path_template))
        self.set_header("Allow", allow)
        headers = self.gate.cors_headers(self.request.headers.get("Origin"), self.request.host)
        if "Access-Control-Allow-Origin" in headers:
            self.set_header("Access-Control-Allow-Methods", allow)
            self.set_header(
                "Access-Control-Allow-Headers",
                "Authorization, Content-Type, X-API-Key, X-Request-Id, Last-Event-ID",
            )
            self.set_header("Access-Control-Max-Age", PREFLIGHT_SECONDS)
        self.clear_header("Content-Type")
        self.set_status(204)
        self.finish_with(b"")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log our own faults with their traceback; a caller's fault is in the access log."""
        if (
            isinstance(value, BaseException)
            and to_problem(value) is None
            and not isinstance(value, tornado.web.HTTPError)
        ):
            log.error(
                "request %s failed: %s %s",
                self.request_id,
                self.request.method,
                self.request.path,
                exc_info=(typ, value, tb),
            )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write every error as a problem document that shows nothing internal."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = to_problem(error) if error is not None else None
        if problem is None and status_code < 500:
            problem = Problem(status_code, "the request could not be understood")
        if problem is None:
            problem = Problem(
                500, "this is our fault; the log has the details under the request id"
            )
        self.set_status(problem.status)
        self.set_header("Content-Type", PROBLEM_JSON)
        for name, text in problem.headers.items():
            self.set_header(name, text)
        self.finish_with(compact_json(problem.document(self.request_id)).encode("utf-8"))


class NotFound(Handler):
    """What no route matches."""

    def prepare(self) -> None:
        """Answer 404, whatever the method."""
        raise Problem(404, "there is nothing here; /docs lists what there is")


async def _finished(answer: Awaitable[None] | None) -> None:
    if answer is not None:
        await answer
