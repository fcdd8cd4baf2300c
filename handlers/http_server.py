"""The HTTP server: the sockets it listens on, its limits, and how it ends.

Answers for: listening, sizes and times of a connection, closing readers with 1001. Does not:
accept connections (door.py), or know what is served.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import time
from collections.abc import Callable

import tornado.netutil
import tornado.web

from gateway.audience import Audience
from gateway.lobby import Guest, Lobby
from handlers.door import Server
from handlers.patience import Patience

log = logging.getLogger(__name__)

# Tornado's own limits stand above ours, so that we can answer with a problem document.
MAX_HEADER_BYTES = 64 * 1024
# A socket that sends its request drop by drop is closed after these.
IDLE_S = 10
BODY_S = 12
# A stop waits this long for readers to leave and for answers that are on their way, and as long
# again for the rest.
CLOSE_S = 1.0
# What waited for the broker, and is told to wait no longer, is answered in some turns of the loop.
LAST_ANSWERS_S = 0.1


class PortHeld(Exception):
    """The address to listen on is taken or not ours."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets; PortHeld when the address cannot be had. Port 0 is a free one."""
    family = socket.AF_INET if host == "0.0.0.0" else socket.AF_UNSPEC
    try:
        return tornado.netutil.bind_sockets(port, host, family)
    except OSError as error:
        advice = "API_HOST must be an address of this machine, and API_PORT a port that it may use"
        if error.errno == errno.EADDRINUSE:
            advice = (
                "does the service run already? `ss -ltnp` shows who listens there; else choose"
                " another API_PORT"
            )
        raise PortHeld(
            f"cannot listen on {host}:{port} (API_HOST, API_PORT): {error.strerror}; {advice}"
        ) from None


def make_http_server(
    application: tornado.web.Application,
    lobby: Lobby[Guest],
    tls: ssl.SSLContext | None,
    max_payload_bytes: int,
) -> Server:
    """Return a server that is not listening yet."""
    return Server(
        application,
        lobby=lobby,
        tls=tls,
        max_header_size=MAX_HEADER_BYTES,
        max_body_size=4 * max_payload_bytes + 4 * MAX_HEADER_BYTES,
        patience=Patience(IDLE_S, BODY_S, time.monotonic),
    )


async def close_connections(http: Server, audience: Audience, give_up: Callable[[], None]) -> None:
    """Send the readers away and let requests be answered; then `give_up` what they wait for, and
    close what is left, within little more than twice CLOSE_S."""
    audience.dismiss_all()
    await _until(lambda: audience.is_empty and not http.is_answering, CLOSE_S)
    give_up()
    await _until(lambda: not http.is_answering, LAST_ANSWERS_S)
    try:
        async with asyncio.timeout(CLOSE_S):
            await http.close_all_connections()
    except TimeoutError:
        log.warning("some connections did not close in time")


async def _until(condition: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
