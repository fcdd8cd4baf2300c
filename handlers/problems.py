"""Errors as callers see them: one named exception, one JSON shape (RFC 9457).

Answers for: which failure of the floors below is which status. Does not: write responses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from gateway.broker.errors import (
    BrokerAway,
    BrokerRefused,
    PropertiesUnsupported,
    PublishTooLarge,
    PublishUnconfirmed,
)
from gateway.orders import NoReply, PayloadTooLarge, TooManyRequests
from store.errors import HistoryUnavailable, QueryTimeout
from store.message import InvalidPayload

RETRY_AFTER_S = "2"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with what was sent: `path` is a JSON pointer, or the parameter's name."""

    path: str
    message: str


@dataclass
class Problem(Exception):
    """An answer that is not a success. `detail` is one plain sentence."""

    status: int
    detail: str
    faults: list[Fault] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, object] = field(default_factory=dict)
    """Further members of the document (RFC 9457, section 3.2)."""

    def document(self, request_id: str) -> dict[str, object]:
        """Return the problem document."""
        body: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
            **self.more,
        }
        if self.faults:
            body["errors"] = [
                {"path": fault.path, "message": fault.message} for fault in self.faults
            ]
        return body


def unprocessable(faults: list[Fault]) -> Problem:
    """Return the 422 that names every fault."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = first.path or "the body"
    return Problem(422, f"{where} {first.message}{more}", faults)


def to_problem(error: BaseException) -> Problem | None:
    """Return the answer to a failure of the floors below, or None when it is our own fault."""
    match error:
        case Problem():
            return error
        case BrokerAway() | QueryTimeout() | HistoryUnavailable():
            advice = ""
            if isinstance(error, QueryTimeout):
                advice = "; ask for less: a shorter time, a narrower topic, a smaller limit"
            return Problem(503, f"{error}{advice}", headers={"Retry-After": RETRY_AFTER_S})
        case InvalidPayload():
            return unprocessable([Fault("/payload", str(error))])
        case PayloadTooLarge():
            return Problem(413, str(error))
        case TooManyRequests():
            return Problem(429, str(error), headers={"Retry-After": RETRY_AFTER_S})
        case NoReply():
            return Problem(504, str(error), more={"request_confirmed": error.confirmed})
        case BrokerRefused():
            return Problem(502, str(error))
        case PublishUnconfirmed():
            return Problem(504, str(error))
        case PublishTooLarge():
            return Problem(413, str(error))
        case PropertiesUnsupported():
            return unprocessable([Fault("/properties", f"cannot be sent: {error}")])
    return None
