"""What the synchronous and the asynchronous client share on the way to httpx2.

Answers for: time-outs, whom to trust, and turning httpx2's failures into ours. Does not: send.
"""

from __future__ import annotations

import functools
import inspect
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

from client.call import Answer, Call
from client.errors import ConnectionFailed, MQTTAPIError, error_of

CONNECT_S = 5.0
Verify = ssl.SSLContext | str | os.PathLike[str] | None
Function = TypeVar("Function", bound=Callable[..., Any])
# StreamError is an answer that another thread has closed.
FAILURES = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, UnicodeError)
NEVER_MADE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def time_out(seconds: float | None, call: Call[Any] | None = None) -> httpx2.Timeout:
    """Return the time-outs of a call: `seconds` without a byte, and less for connecting."""
    if seconds is None:
        return httpx2.Timeout(None, connect=CONNECT_S)
    read_s = seconds + (call.patience_s if call else 0)
    return httpx2.Timeout(read_s, connect=min(CONNECT_S, seconds))


def trust_of(verify: Verify) -> ssl.SSLContext | None:
    """Return whom to trust, None for the system's authorities (and those of SSL_CERT_FILE)."""
    if verify is None or isinstance(verify, ssl.SSLContext):
        return verify
    try:
        return ssl.create_default_context(cafile=os.fspath(verify))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = error.strerror if isinstance(error, FileNotFoundError) else "it is no PEM file"
        raise MQTTAPIError(f"the certificates in {verify} cannot be used: {why}") from None


def answer_of(response: httpx2.Response) -> Answer:
    """Return a response, read to its end, as an answer."""
    return Answer(response.status_code, response.headers, response.content, str(response.url))


def failure_of(error: Exception, url: str) -> MQTTAPIError:
    """Return our exception for one of httpx2's."""
    if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | UnicodeError):
        return MQTTAPIError(f"{url} is no URL of the service: {error}")
    if isinstance(error, httpx2.TimeoutException):
        what = "could not be reached" if isinstance(error, NEVER_MADE) else "did not answer"
        sentence = f"{url} {what} in time"
    elif isinstance(error, NEVER_MADE):
        sentence = f"{url} cannot be reached: {_reason(error)}"
    else:
        sentence = f"the connection to {url} broke off: {_reason(error)}"
    return ConnectionFailed(sentence, never_made=isinstance(error, NEVER_MADE))


@dataclass(frozen=True, slots=True)
class EventWay:
    """Where Server-Sent Events are, and how they are asked for."""

    url: str
    headers: dict[str, str]
    time_out: httpx2.Timeout

    def check(self, response: httpx2.Response) -> None:
        """Raise the MQTTAPIError that an answer is; one that is no success has been read."""
        if response.status_code != 200:
            raise error_of(answer_of(response))
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise MQTTAPIError(f"{self.url} sends no events; is this the URL of the service?")

    def ended(self) -> MQTTAPIError:
        """Return the error that the end of events is: they never end by themselves."""
        return ConnectionFailed(f"the stream from {self.url} ended", never_made=False)


def event_way(base_url: str, headers: dict[str, str], heartbeat_s: float) -> EventWay:
    """Return the way to the events; a service silent for two heartbeats is given up."""
    asked = {**headers, "Accept": "text/event-stream", "Cache-Control": "no-store"}
    silence = httpx2.Timeout(2 * heartbeat_s, connect=CONNECT_S)
    return EventWay(f"{base_url}/events", asked, silence)


def _reason(error: Exception) -> str:
    """Return the words of the operating system, without its number."""
    return str(error).partition("] ")[2] or str(error) or type(error).__name__


def described(method: Function, like: Callable[..., Any]) -> Function:
    """Give a method the name, the docstring and the signature of the function it carries out."""
    functools.update_wrapper(method, like)
    del method.__dict__["__wrapped__"]  # its signature lacks self
    given = inspect.signature(like)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [itself, *given.parameters.values()]
    result = str(given.return_annotation).removeprefix("Call[").removesuffix("]")
    method.__annotations__ = {**like.__annotations__, "return": result}
    method.__signature__ = given.replace(  # type: ignore[attr-defined]
        parameters=parameters, return_annotation=result
    )
    return method
