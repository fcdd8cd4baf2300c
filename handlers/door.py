"""The door that connections come in by: each is counted, and each refusal is a problem document.

Answers for: accepting, the bound on connections and on bodies that are on their way, and the
answer to what is no HTTP. Does not: know what is served. Why it stands where it does is said in
docs/decisions/0015-the-door.md.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import tornado.httpserver
import tornado.httputil
import tornado.iostream
import tornado.netutil

from gateway.lobby import Guest, Lobby
from handlers.hosts import caller_address
from handlers.patience import Patience
from handlers.refusals import BARE_400, MALFORMED, NO_ROOM, TOO_BUSY, TOO_LARGE, refusal

log = logging.getLogger(__name__)

# Connections beside those of the readers: what a plant with some hundred programs needs, each
# with a few; more than that at once are a flood.
PLAIN_CONNECTIONS = 1_000
# Open files that are no connections: database, log, broker, and what Python opens by itself.
OTHER_FILES = 128
# Bodies that are on their way or being worked on, all together: a hundred callers that send the
# largest body slowly would else take half a gigabyte. Two of the largest always fit.
MIN_BODIES_BYTES = 64 * 1024 * 1024

# `curl -d` says that its JSON is a form.
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def places_for(readers: int) -> int:
    """Return how many connections may be open, beside `readers` as many as are sensible and as
    the system lets us have; asks it for more open files where it lets us."""
    wanted = readers + PLAIN_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + OTHER_FILES:
        most = wanted + OTHER_FILES
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted + OTHER_FILES:
        return wanted
    places = max(1, soft - OTHER_FILES)
    log.warning("only %d connections fit the limit of open files (%d)", places, soft)
    return places


class Connection(tornado.iostream.IOStream):
    """One connection, which takes a place in the lobby until it is closed."""

    address = ""
    is_plain = True
    """Whether its socket takes bytes as they are."""
    problem = MALFORMED
    """What is said to the caller when Tornado refuses the request."""
    is_detached = False
    """Whether it became a WebSocket or an SSE stream, which are counted elsewhere."""
    body_bytes = 0
    until = math.inf
    """When the peer must have sent what it is sending (monotonic s)."""
    on_end: Callable[[Connection], None] | None = None

    def set_nodelay(self, value: bool) -> None:
        """Nothing: it is set once (`_accept`). Answers leave in one write, and streams want it, so
        that Tornado's turning Nagle's algorithm off and on again with each answer is of no use."""

    @property
    def is_served(self) -> bool:
        """Whether its request is whole, and not answered yet."""
        return self.until == math.inf and not self.is_detached

    @property
    def is_stalled(self) -> bool:
        """Whether the peer does not take what it asked for."""
        return self.writing() and not self.is_detached

    def turn_away(self) -> None:
        """Close at once."""
        self.close()

    def write(self, data: bytes | memoryview) -> asyncio.Future[None]:
        """Write; a refusal of Tornado's gets its problem document.

        What the system takes at once goes past the stream, which would copy it into a buffer and
        have the loop call something, for each answer.
        """
        if data == BARE_400:
            data = refusal(self.problem)
        if not self.is_plain or self.writing() or self.closed() or not data:
            return super().write(data)
        try:
            sent = self.socket.send(data)
        except OSError:
            sent = 0  # nothing leaves now, or never again: the stream finds out which
        if sent < len(data):
            return super().write(memoryview(data)[sent:] if sent else data)
        done: asyncio.Future[None] = self.io_loop.asyncio_loop.create_future()  # type: ignore[attr-defined]
        done.set_result(None)
        return done

    def close_fd(self) -> None:
        """Close the socket, and say so, once."""
        super().close_fd()
        if self.on_end is not None:
            self.on_end(self)


class TlsConnection(Connection, tornado.iostream.SSLIOStream):
    """The same over TLS."""

    is_plain = False


class Request(tornado.httputil.HTTPMessageDelegate):
    """A request on its way in. Passes it on, and counts its body."""

    def __init__(
        self, then: tornado.httputil.HTTPMessageDelegate, connection: Connection, server: Server
    ) -> None:
        self._then = then
        self._connection = connection
        self._server = server

    def headers_received(
        self,
        start_line: tornado.httputil.RequestStartLine | tornado.httputil.ResponseStartLine,
        headers: tornado.httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        """Note what is to be said should Tornado find the body too long."""
        self._connection.until = self._server.patience.for_body()
        length = headers.get("Content-Length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._server.max_body_bytes:
            self._connection.problem = TOO_LARGE
        if headers.get("Content-Type", "").lower().startswith(FORMS):
            del headers["Content-Type"]  # Tornado would take the body apart, and refuse JSON
        return self._then.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Take a part of the body, if there is room for it."""
        if not self._server.has_room_for_body(self._connection, len(chunk)):
            self._connection.problem = TOO_BUSY
            raise tornado.httputil.HTTPInputError("too many bodies are on their way")
        return self._then.data_received(chunk)

    def finish(self) -> None:
        """The request is whole."""
        self._connection.until = math.inf
        self._server.lobby.serve(self._connection)
        self._then.finish()

    def on_connection_close(self) -> None:
        """It will never be whole."""
        self._then.on_connection_close()


class Server(tornado.httpserver.HTTPServer):
    """Tornado's server behind our own door. Lives on the event loop."""

    def initialize(  # type: ignore[override]
        self,
        request_callback: Any,
        *,
        lobby: Lobby[Guest],
        tls: ssl.SSLContext | None,
        max_body_size: int,
        patience: Patience,
        **limits: Any,
    ) -> None:
        """Take what Tornado's takes, and the lobby (tornado.util.Configurable)."""
        super().initialize(request_callback, max_body_size=max_body_size, **limits)
        self.conn_params.header_timeout = None  # Tornado's own is a timer for each request
        self.lobby = lobby
        self.patience = patience
        self.max_body_bytes = max_body_size
        self._tls = tls
        self._bodies_bytes = 0
        self._max_bodies_bytes = max(MIN_BODIES_BYTES, 2 * max_body_size)
        self._ends: list[Callable[[], None]] = []

    def add_sockets(self, sockets: Iterable[socket.socket]) -> None:
        """Accept connections from now on."""
        self._ends += [tornado.netutil.add_accept_handler(one, self._accept) for one in sockets]
        self._ends.append(self.patience.watch(cast(Iterable[Connection], self.lobby)))

    def stop(self) -> None:
        """Accept no more."""
        while self._ends:
            self._ends.pop()()

    @property
    def is_answering(self) -> bool:
        """Whether a request waits for its answer."""
        return any(connection.is_served for connection in cast(Iterable[Connection], self.lobby))

    def _accept(self, accepted: socket.socket, peer: Any) -> None:
        try:
            if accepted.family in (socket.AF_INET, socket.AF_INET6):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                connection = Connection(accepted)
            else:
                accepted = tornado.netutil.ssl_wrap_socket(
                    accepted, self._tls, server_side=True, do_handshake_on_connect=False
                )
                connection = TlsConnection(accepted)
        except OSError:  # it has gone already
            accepted.close()
            return
        connection.address = caller_address(peer[0], (), ())
        if not self.lobby.enter(connection):
            if self._tls is None:
                connection.write(refusal(NO_ROOM))
            connection.close()
            return
        connection.on_end = self._ended
        self.handle_stream(connection, peer)

    def start_request(
        self, server_conn: Any, request_conn: tornado.httputil.HTTPConnection
    ) -> tornado.httputil.HTTPMessageDelegate:
        """The connection waits for a request, its first or its next."""
        connection: Connection = server_conn.stream
        connection.problem = MALFORMED
        self._release_body(connection)
        self.lobby.wait(connection)
        connection.until = self.patience.for_head()
        then = super().start_request(server_conn, request_conn)
        return Request(then, connection, self)

    def on_close(self, server_conn: Any) -> None:
        """Tornado is done with it: it is closed, or it has become a stream."""
        super().on_close(server_conn)
        server_conn.stream.is_detached = True
        self._release_body(server_conn.stream)

    def has_room_for_body(self, connection: Connection, size: int) -> bool:
        """Count bytes of a body; False when there are too many of all bodies together."""
        if self._bodies_bytes + size > self._max_bodies_bytes:
            return False
        self._bodies_bytes += size
        connection.body_bytes += size
        return True

    def _release_body(self, connection: Connection) -> None:
        self._bodies_bytes -= connection.body_bytes
        connection.body_bytes = 0

    def _ended(self, connection: Connection) -> None:
        self._release_body(connection)
        self.lobby.leave(connection)
