"""What can go wrong, as a small tree of exceptions.

Answers for: which answer of the service is which exception, and what it says. Does not: decide
whether to try again (retry.py).

    MQTTAPIError
    ├── ConnectionFailed        no answer: not reached, broken off, or too slow
    ├── Refused                 4xx: what was asked for will not be done
    │   ├── AuthenticationFailed  401
    │   ├── Forbidden             403, 421
    │   ├── NotFound              404
    │   ├── Invalid               422, with `errors`
    │   └── RateLimited           429, with `retry_after`
    ├── ServiceFailed           5xx: could not be done now
    │   ├── BrokerRefused         502
    │   ├── Unavailable           503, with `retry_after`
    │   └── OutcomeUnknown        504
    └── LogGap                  messages that were asked for are gone, with `gap`
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.call import Answer
    from client.shapes import Outcome
    from client.values import Gap


# A URL may carry a password for a proxy in front of the service; errors end up in logs.
_PASSWORD = re.compile(r"(://[^/@:\s]*):[^/@\s]*@")


class MQTTAPIError(Exception):
    """Base of all. `detail` is one sentence; `status` and `request_id` are None where no answer
    came."""

    def __init__(
        self, detail: str, *, status: int | None = None, request_id: str | None = None
    ) -> None:
        detail = _PASSWORD.sub(r"\1:***@", detail)
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.request_id = request_id
        self.retry_after: float | None = None
        """Seconds that the service asks to wait, if it does."""
        self.errors: list[dict[str, str]] = []
        """Each fault of what was sent: `path` and `message` (422)."""
        self.outcomes: list[Outcome] = []
        """Of `publish_many`: what became of the messages before the request that failed."""

    def __str__(self) -> str:
        return self.detail


class ConnectionFailed(MQTTAPIError):
    """No answer. `never_made` says that nothing was sent, so that a repeat is harmless."""

    def __init__(self, detail: str, *, never_made: bool) -> None:
        super().__init__(detail)
        self.never_made = never_made


class Refused(MQTTAPIError):
    """The service will not do it (4xx)."""


class AuthenticationFailed(Refused):
    """The key is missing, wrong or expired (401)."""


class Forbidden(Refused):
    """The key does not allow it, or the host name is not the service's (403, 421)."""


class NotFound(Refused):
    """There is no such thing (404)."""


class Invalid(Refused):
    """What was sent is wrong (422); `errors` names every fault."""


class RateLimited(Refused):
    """Too many requests (429); `retry_after` says how long to wait."""


class ServiceFailed(MQTTAPIError):
    """The service could not do it (5xx)."""


class BrokerRefused(ServiceFailed):
    """The broker refused (502)."""


class Unavailable(ServiceFailed):
    """The broker is away, the service is stopping or busy (503)."""


class OutcomeUnknown(ServiceFailed):
    """No confirmation, or no reply, came in time (504).

    `request_confirmed` says of a request whether the broker took it; else it is None.
    """

    request_confirmed: bool | None = None


class LogGap(MQTTAPIError):
    """Messages that were asked for are gone; `gap` says which and why.

    To go on behind them, begin again after `gap.position`.
    """

    def __init__(self, gap: Gap) -> None:
        super().__init__(
            f"messages after {gap.after} and before {gap.next} are gone ({gap.reason})"
        )
        self.gap = gap


BY_STATUS: dict[int, type[MQTTAPIError]] = {
    401: AuthenticationFailed,
    403: Forbidden,
    404: NotFound,
    421: Forbidden,
    422: Invalid,
    429: RateLimited,
    502: BrokerRefused,
    503: Unavailable,
    504: OutcomeUnknown,
}


def error_of(answer: Answer) -> MQTTAPIError:
    """Return the exception for an answer that is no success, from its problem document."""
    problem = _problem(answer)
    kind = BY_STATUS.get(answer.status, ServiceFailed if answer.status >= 500 else Refused)
    detail = problem.get("detail") or _foreign(answer)
    error = kind(
        str(detail),
        status=answer.status,
        request_id=problem.get("request_id") or answer.headers.get("x-request-id"),
    )
    error.errors = list(problem.get("errors", ()))
    error.retry_after = _seconds(answer.headers)
    if isinstance(error, OutcomeUnknown):
        error.request_confirmed = problem.get("request_confirmed")
    return error


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        document = json.loads(answer.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _foreign(answer: Answer) -> str:
    """Return a sentence for an answer that this service cannot have given."""
    try:
        phrase = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = ""
    return f"{answer.url} answered {answer.status}{phrase}; is this the URL of the service?"


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After: seconds, or a date as a proxy in front of the service may send it."""
    text = headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return None
