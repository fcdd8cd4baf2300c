"""Requests that are answered without waiting: no task, no further turn of the event loop.

Answers for: calling such a handler the moment its body is there. Does not: know what it answers.
Why this is worth a way of its own is said in docs/decisions/0016-orders-at-once.md.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import tornado.httputil
import tornado.web

from handlers.base import Handler


class PromptHandler(Handler):
    """A handler whose `post` either answers before it returns, or returns what is yet to be
    awaited, after which it has answered."""

    def post(self) -> Coroutine[Any, Any, None] | None:
        """Answer a POST."""
        raise NotImplementedError

    def run(self) -> None:
        """Admit and answer. Called once, when the whole request is there."""
        self._transforms = []  # what Tornado sets before it calls a handler
        try:
            self.admit_request()
            waiting = self.post()
        except Exception:
            self._refuse()
            return
        if waiting is not None:
            self._rest = asyncio.create_task(self._await(waiting))

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


class PromptApplication(tornado.web.Application):
    """Tornado's application, which leaves POSTs to prompt handlers to those."""

    def get_handler_delegate(
        self,
        request: tornado.httputil.HTTPServerRequest,
        target_class: type[tornado.web.RequestHandler],
        target_kwargs: dict[str, Any] | None = None,
        path_args: list[bytes] | None = None,
        path_kwargs: dict[str, bytes] | None = None,
    ) -> Any:
        """Return what receives the request."""
        if request.method == "POST" and issubclass(target_class, PromptHandler):
            return PromptRequest(self, request, target_class, target_kwargs or {})
        return super().get_handler_delegate(
            request, target_class, target_kwargs, path_args, path_kwargs
        )
