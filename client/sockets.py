"""What the streams share on the way to the websockets library.

Answers for: the URL, the options of a connection, and turning failures into ours. Does not: open
anything.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class SocketWay:
    """Where a WebSocket is, and how it is opened."""

    url: str
    options: dict[str, Any]

    @property
    def has_key(self) -> bool:
        """Whether a key goes along, so that nobody waits for a first frame with one."""
        return bool(self.options["additional_headers"])


def socket_way(
    url: str, headers: dict[str, str], heartbeat_s: float, trust: ssl.SSLContext | None
) -> SocketWay:
    """Return the way to a WebSocket; a peer silent for two heartbeats is given up."""
    sent = {name: value for name, value in headers.items() if name == "Authorization"}
    options: dict[str, Any] = {
        "additional_headers": sent,
        "user_agent_header": headers["User-Agent"],
        "open_timeout": OPEN_S,
        "close_timeout": CLOSE_S,
        "ping_interval": heartbeat_s,
        "ping_timeout": heartbeat_s,
        "max_size": None,  # one commit may bring many large messages in a frame
    }
    if trust is not None and url.lower().startswith("wss:"):
        options["ssl"] = trust
    return SocketWay(url, options)


def socket_url(base_url: str) -> str:
    """Return the URL of the WebSocket for the URL of the service."""
    scheme, _, rest = base_url.partition("://")
    return f"{'wss' if scheme.lower() == 'https' else 'ws'}://{rest}/ws"


def socket_failure(error: BaseException, way: SocketWay) -> MQTTAPIError:
    """Return our exception for one of SOCKET_ERRORS."""
    url = way.url
    if isinstance(error, InvalidStatus):
        response = error.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return error_of(Answer(response.status_code, headers, bytes(response.body or b""), url))
    if isinstance(error, InvalidURI):
        return MQTTAPIError(f"{url} is no URL of a WebSocket")
    if isinstance(error, ConnectionClosed):
        closed = error.rcvd
        if closed is not None and closed.code == POLICY_VIOLATION:
            why = closed.reason or "the key is not accepted"
            return AuthenticationFailed(why if way.has_key else "this needs a key", status=401)
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
