"""What every handler shares: admit, validated query and body, reply, and one shape of error.

Answers for: the four lines of a request and everything around them. Does not: know a resource.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Iterable
from typing import Any

import tornado.web

from handlers.answers import AnswerInOnePiece
from handlers.contract import Contract
from handlers.gate import UNSAFE_METHODS, Gate, rate_headers
from handlers.keyring import NOBODY, Caller
from handlers.parsing import parse_query, require_text, without_credentials
from handlers.problems import Problem, to_problem
from handlers.rate_limit import Allowance
from store.message import compact_json
from store.topics import TopicFilter

log = logging.getLogger(__name__)
audit_log = logging.getLogger("audit")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
PREFLIGHT_SECONDS = "600"
# The bounds of the contract.
MAX_URL_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024


class Handler(AnswerInOnePiece):
    """Base of all handlers. `path` is the template of its route in the contract."""

    path_template: str
    contract: Contract
    gate: Gate
    max_body_bytes: int

    is_limited = True
    """Whether requests count against the rate limit."""
    request_id = ""
    audited = ""
    """What this request changes, for the audit; empty when it changes nothing."""
    caller: Caller = NOBODY
    address: str = ""
    _rate_headers: dict[str, str] | None = None

    def initialize(self, **collaborators: Any) -> None:
        """Take the collaborators that the route table hands over: the annotated attributes."""
        for name, collaborator in collaborators.items():
            setattr(self, name, collaborator)

    async def prepare(self) -> None:
        """Admit the request, or raise the Problem that says why not."""
        self.admit_request()

    def admit_request(self) -> None:
        """Check what every request is checked for; a Problem says what is wrong."""
        request, gate = self.request, self.gate
        self.check_sizes()
        self.address = gate.address(request.remote_ip or "", request.headers)
        gate.admit_host(request.host)
        method = request.method or ""
        gate.admit_origin(method, request.headers.get("Origin"), request.host)
        if method == "OPTIONS":
            return
        if method not in self.contract.methods(self.path_template):
            raise self._not_possible()
        self.admit(self.contract.scope(self.path_template, "GET" if method == "HEAD" else method))

    def _not_possible(self) -> Problem:
        known = ", ".join(self.contract.methods(self.path_template))
        detail = f"{self.request.method} is not possible here; possible are {known}"
        return Problem(405, detail, headers={"Allow": known})

    def admit(self, scope: str) -> None:
        """Find out who calls, count the call, and see whether it may do this."""
        shown = None
        if scope != "public":
            names = self.query_names() if self.gate.key_required else ()
            shown = self.gate.admit_caller(self.request.headers, names, self.address)
        self.count(1, shown)
        self.caller = shown or NOBODY
        self.caller = self.gate.require(shown, scope)

    def query_names(self) -> list[str]:
        """Return the names of the parameters that were sent, whatever they are."""
        return [name for name, _ in parse_query(self.request.query)]

    def count(self, cost: int, caller: Caller | None, counted: int = 0) -> None:
        """Count this request against the rate, and tell in its answer what is left."""
        allowance = self.charge(cost, caller, counted) if self.is_limited else None
        if allowance is not None:
            self._rate_headers = rate_headers(allowance)
            for name, text in self._rate_headers.items():
                self.set_header(name, text)

    def charge(self, cost: int, caller: Caller | None, counted: int = 0) -> Allowance | None:
        """Count against the rate of the caller's key, else of its address."""
        key = caller.digest.hex() if caller is not None and caller.digest else ""
        return self.gate.admit_rate(key or self.address, cost, counted)

    def check_sizes(self) -> None:
        """Raise a Problem for what is too large; Tornado's own bounds are twice as wide."""
        request = self.request
        if len(request.uri or "") > MAX_URL_BYTES:
            raise Problem(414, f"the URL is longer than {MAX_URL_BYTES:,} bytes")
        size = sum(len(name) + len(text) + 4 for name, text in request.headers.get_all())
        if size > MAX_HEADER_BYTES:
            raise Problem(431, f"the headers are larger than {MAX_HEADER_BYTES:,} bytes")
        if len(request.body) > self.max_body_bytes:
            raise Problem(413, f"the body is larger than {self.max_body_bytes:,} bytes")

    def visible(self, texts: Iterable[str] | None) -> TopicFilter | None:
        """Return what the caller asked for, narrowed to what it may see; None is everything."""
        within = self.caller.read
        if texts is None:
            return within
        return TopicFilter(texts, within)

    def require_topic(self, topic: str) -> None:
        """Raise a Problem 403 when the caller may not look this topic up."""
        if not self.caller.may_read(topic):
            raise Problem(403, f"the key {self.caller.name} may not see this topic")

    def set_default_headers(self) -> None:
        """Headers of every answer, errors included."""
        if not self.request_id:  # asked for again when an error is written: it stays the same
            given = self.request.headers.get("X-Request-Id", "")
            self.request_id = (
                given
                if given and _REQUEST_ID.fullmatch(given)
                else self.application.settings["request_ids"]()
            )
        headers = self._headers
        headers["Content-Type"] = JSON
        headers["X-Request-Id"] = self.request_id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cache-Control"] = "no-store"
        for name, text in (self._rate_headers or {}).items():  # an error is an answer, too
            headers[name] = text

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
        self.finish_whole(content)

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

    def on_finish(self) -> None:
        """Write down a change that was asked for, and what became of it."""
        status, method = self.get_status(), self.request.method
        if status == 403 and method in UNSAFE_METHODS and not self.audited:
            self.audited = (
                f"{method} {without_credentials(self.request.path)!r}"  # refused before it was read
            )
        if self.audited:
            self.audit(self.audited, str(status))

    def audit(self, action: str, outcome: str) -> None:
        """Write down who changed what."""
        who = self.caller.name if self.caller.digest else self.address
        audit_log.info(
            "who=%s from=%s %s: %s id=%s", who, self.address, action, outcome, self.request_id
        )

    @staticmethod
    def is_our_fault(error: object) -> bool:
        """Whether an exception is nothing that a caller can bring about."""
        return (
            isinstance(error, Exception)  # to be cancelled, as by a stop, is no fault
            and to_problem(error) is None
            and not isinstance(error, tornado.web.HTTPError)
        )

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log our own faults with their traceback; a caller's fault is in the access log."""
        if self.is_our_fault(value):
            log.error(
                "request %s failed: %s %s",
                self.request_id,
                self.request.method,
                without_credentials(self.request.path),
                exc_info=(typ, value, tb),
            )

    def break_off(self) -> None:
        """End an answer that has begun so that nobody takes it for whole."""
        self.request.connection.stream.close()  # type: ignore[union-attr]

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error; an answer that has begun is broken off, so that nobody takes it
        for whole: Tornado would end its chunks in order."""
        if self._headers_written and not self._finished:
            self.break_off()
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Write every error as a problem document that shows nothing internal."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        problem = to_problem(error) if error is not None else None
        if problem is None and status_code == 405:  # a method that Tornado does not know at all
            problem = self._not_possible()
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

    async def prepare(self) -> None:
        """Answer 404, whatever the method. To look for what is not there counts, too."""
        self.check_sizes()
        self.address = self.gate.address(self.request.remote_ip or "", self.request.headers)
        self.gate.admit_host(self.request.host)
        self.count(1, None)
        raise self._not_possible()

    def _not_possible(self) -> Problem:
        return Problem(404, "there is nothing here; /docs lists what there is")


async def _finished(answer: Awaitable[None] | None) -> None:
    if answer is not None:
        await answer
