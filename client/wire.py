"""What the synchronous and the asynchronous client share on the way to httpx2.

Answers for: time-outs, and turning httpx2's failures into ours. Does not: send.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import httpx2

from client.call import Answer, Call
from client.errors import ConnectionFailed, MQTTAPIError

CONNECT_S = 5.0
Function = TypeVar("Function", bound=Callable[..., Any])
NEVER_MADE = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def time_out(seconds: float | None, call: Call[Any] | None = None) -> httpx2.Timeout:
    """Return the time-outs of a call: `seconds` without a byte, and less for connecting."""
    if seconds is None:
        return httpx2.Timeout(None, connect=CONNECT_S)
    read_s = seconds + (call.patience_s if call else 0)
    return httpx2.Timeout(read_s, connect=min(CONNECT_S, seconds))


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
