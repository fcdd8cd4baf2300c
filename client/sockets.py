"""What the streams share on the way to the websockets library.

Answers for: the URL, the options of a connection, and turning failures into ours. Does not: open
anything.
"""

from __future__ import annotations

import os
import re
from typing import Any

from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)

from client.call import Answer
from client.errors import AuthenticationFailed, ConnectionFailed, MQTTAPIError, error_of

POLICY_VIOLATION = 1008
OPEN_S = 10.0
CLOSE_S = 2.0
# Where a key is required and none was sent, the service waits seconds for a first frame with one.
# Any other frame ends that at once; where no key is required, it is answered and means nothing.
FIRST_FRAME = "ping"
# Both libraries raise these; EOFError is a peer that left in the middle of the handshake.
SOCKET_ERRORS = (ConnectionClosed, InvalidHandshake, InvalidURI, OSError, TimeoutError, EOFError)


def socket_url(base_url: str) -> str:
    """Return the URL of the WebSocket for the URL of the service."""
    scheme, _, rest = base_url.partition("://")
    return f"{'wss' if scheme.lower() == 'https' else 'ws'}://{rest}/ws"


def options(headers: dict[str, str], heartbeat_s: float) -> dict[str, Any]:
    """Return how to open a connection: a peer silent for two heartbeats is given up."""
    agent = headers["User-Agent"]
    sent = {name: value for name, value in headers.items() if name == "Authorization"}
    return {
        "additional_headers": sent,
        "user_agent_header": agent,
        "open_timeout": OPEN_S,
        "close_timeout": CLOSE_S,
        "ping_interval": heartbeat_s,
        "ping_timeout": heartbeat_s,
        "max_size": None,  # one commit may bring many large messages in a frame
    }


def socket_failure(error: BaseException, url: str) -> MQTTAPIError:
    """Return our exception for one of SOCKET_ERRORS."""
    if isinstance(error, InvalidStatus):
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return error_of(Answer(response.status_code, headers, bytes(response.body or b""), url))
    if isinstance(error, InvalidURI):
        return MQTTAPIError(f"{url} is no URL of a WebSocket")
    if isinstance(error, ConnectionClosed):
        closed = error.rcvd
        if closed is not None and closed.code == POLICY_VIOLATION:
            return AuthenticationFailed(closed.reason or "the key is not accepted", status=401)
        why = closed.reason if closed is not None and closed.reason else "it broke off"
        return ConnectionFailed(f"the stream from {url} ended: {why}", never_made=False)
    if isinstance(error, TimeoutError):
        return ConnectionFailed(f"{url} could not be reached in time", never_made=True)
    return ConnectionFailed(f"{url} cannot be reached: {_reason(error)}", never_made=True)


def _reason(error: BaseException) -> str:
    """Return the words of the operating system; asyncio puts its own in their place."""
    number = re.search(r"\[Errno (\d+)\]", str(error))
    if number:
        return os.strerror(int(number[1]))
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
