"""Requests that are answered without waiting: no task, no further turn of the event loop.

Answers for: calling such a handler the moment its body is there. Does not: know what it answers.
Why this is worth a way of its own is said in docs/decisions/0016-orders-at-once.md.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import tornado.httputil
import tornado.web

from handlers.base import Handler

T = TypeVar("T")


class PromptHandler(Handler):
    """A handler that has answered when its method returns, or will `when` something is done, or
    returns what is yet to be awaited, after which it has answered. It takes no parts of the path.
    """

    prompt_method = "POST"
    """The one method of which that is true."""

    def run(self) -> None:
        """Admit and answer. Called once, when the whole request is there."""
        self._transforms = []  # what Tornado sets before it calls a handler
        try:
            self.admit_request()
            waiting = getattr(self, self.prompt_method.lower())()
        except Exception:
            self._refuse()
            return
        if waiting is not None:
            self._rest = asyncio.create_task(self._await(waiting))

    def when(self, waiting: asyncio.Future[T], answer: Callable[[T], None]) -> None:
        """Call `answer` with the result of what is waited for, or answer with its error."""

        def done(waited: asyncio.Future[T]) -> None:
            try:
                answer(waited.result())
            except Exception:
                self._refuse()

        waiting.add_done_callback(done)

    async def _await(self, waiting: Coroutine[Any, Any, None]) -> None:
        try:
            await waiting
        except Exception:
            self._refuse()

    def _refuse(self) -> None:
        """Answer with the error that is being handled, as Tornado would."""
        failure = sys.exc_info()
        self.log_exception(*failure)
        if not self._finished:
            self.send_error(500, exc_info=failure)


class PromptRequest(tornado.httputil.HTTPMessageDelegate):
    """The body of a request to a prompt handler on its way in."""

    def __init__(
        self,
        application: tornado.web.Application,
        request: tornado.httputil.HTTPServerRequest,
        handler: type[PromptHandler],
        collaborators: dict[str, Any],
    ) -> None:
        self._application = application
        self._request = request
        self._handler = handler
        self._collaborators = collaborators
        self._parts: list[bytes] = []

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body."""
        self._parts.append(chunk)

    def finish(self) -> None:
        """All of it is there."""
        self._request.body = b"".join(self._parts)
        self._handler(self._application, self._request, **self._collaborators).run()

    def on_connection_close(self) -> None:
        """It will never be whole."""
        self._parts.clear()


class LeanRequest(tornado.httputil.HTTPServerRequest):
    """A request whose query is left as it is: Tornado would take it apart into arguments, copy
    these, and refuse too many of them in its own words; ours are read by the contract."""

    def __init__(self, start_line: tornado.httputil.RequestStartLine, **others: Any) -> None:
        path, _, query = start_line.path.partition("?")
        super().__init__(start_line=start_line._replace(path=path), **others)
        self.uri, self.query = start_line.path, query


class Arriving(tornado.httputil.HTTPMessageDelegate):
    """A request on its way in, passed on to whom it is for once its head is there."""

    def __init__(
        self,
        application: tornado.web.Application,
        server_connection: object,
        connection: tornado.httputil.HTTPConnection,
    ) -> None:
        self._application = application
        self._server_connection = server_connection
        self._connection = connection
        self._then: tornado.httputil.HTTPMessageDelegate | None = None

    def headers_received(
        self,
        start_line: tornado.httputil.RequestStartLine | tornado.httputil.ResponseStartLine,
        headers: tornado.httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        """Find out who answers; from here on it is told all else."""
        assert isinstance(start_line, tornado.httputil.RequestStartLine)
        request = LeanRequest(
            start_line,
            connection=self._connection,
            server_connection=self._server_connection,
            headers=headers,
        )
        then: tornado.httputil.HTTPMessageDelegate = self._application.find_handler(request)
        self._then = then
        return then.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """Pass on a part of the body."""
        assert self._then is not None
        return self._then.data_received(chunk)

    def finish(self) -> None:
        """Pass on that it is whole."""
        assert self._then is not None
        self._then.finish()

    def on_connection_close(self) -> None:
        """It will never be whole."""
        if self._then is not None:
            self._then.on_connection_close()


class PromptApplication(tornado.web.Application):
    """Tornado's application, which leaves requests to prompt handlers to those.

    `literal` are the paths without parts, each with its handler and what that gets: they are
    looked up, where Tornado would try one pattern after the other.
    """

    def __init__(self, *args: Any, literal: Mapping[str, tuple[Any, Any]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._literal = literal

    def start_request(
        self, server_conn: object, request_conn: tornado.httputil.HTTPConnection
    ) -> tornado.httputil.HTTPMessageDelegate:
        """Return what receives the next request of a connection."""
        return Arriving(self, server_conn, request_conn)

    def find_handler(self, request: tornado.httputil.HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what receives the request."""
        found = self._literal.get(request.path)
        if found is None:
            return super().find_handler(request, **kwargs)
        return self.get_handler_delegate(request, *found)

    def get_handler_delegate(
        self,
        request: tornado.httputil.HTTPServerRequest,
        target_class: type[tornado.web.RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> Any:
        """Return what receives the request."""
        if issubclass(target_class, PromptHandler) and request.method == target_class.prompt_method:
            return PromptRequest(self, request, target_class, target_kwargs or {})
        return super().get_handler_delegate(
            request, target_class, target_kwargs, path_args, path_kwargs
        )
