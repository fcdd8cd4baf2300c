"""An answer in one piece: its head and its body as the bytes of one write.

Answers for: the headers that every answer begins with, and the shortest way out for the usual
answer. Does not: know what is answered. Which parts of Tornado this goes past, and why that is
worth it, is said in docs/decisions/0024-answers-in-one-piece.md.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from email.utils import formatdate

import tornado.httputil
import tornado.web

KEEP_ALIVE = "keep-alive"
# An answer of these has no body, nor a length.
BODILESS = (204, 304)


class HttpDate:
    """The present as the header Date has it (RFC 9110, section 5.6.7). Lives on the event loop."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us
        self._second = -1
        self._text = ""

    def __call__(self) -> str:
        """Return it; most answers leave in the same second as the one before."""
        second = self._now_us() // 1_000_000
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


class RequestIds:
    """Names for requests that brought none. Lives on the event loop.

    No two are alike, also of two starts. They are no secret: who sees two of them knows how many
    requests came in between.
    """

    def __init__(self) -> None:
        self._start = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def __call__(self) -> str:
        """Return the next one: sixteen characters, at least."""
        return f"{self._start}{next(self._numbers):08x}"


class AnswerInOnePiece(tornado.web.RequestHandler):
    """A handler whose usual answer is one write. Lives on the event loop.

    The application's setting `date` is an HttpDate.
    """

    def clear(self) -> None:
        """Begin an answer: 200, with the headers that every answer has."""
        self._headers = tornado.httputil.HTTPHeaders()
        self._headers["Date"] = self.application.settings["date"]()
        self.set_default_headers()
        self._write_buffer = []
        self._status_code, self._reason = 200, "OK"

    def finish_whole(self, content: bytes) -> None:
        """Answer with all of the body at once."""
        if not self._is_usual():
            self.finish(content or None)  # a 204 or 304 may have no body at all
            return
        connection = self.request.connection
        connection.set_close_callback(None)  # type: ignore[union-attr]
        self._headers_written = True
        # `set_header` and `add_header` let no line break into a value.
        lines = [f"{name}: {text}\r\n" for name, text in self._headers.get_all()]
        head = (
            f"HTTP/1.1 {self._status_code} {self._reason}\r\n{''.join(lines)}"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        connection.write(head.encode("latin-1") + content)  # type: ignore[union-attr]
        connection.finish()  # type: ignore[union-attr]
        self._finished = True
        self.application.log_request(self)
        self.on_finish()
        self.ui = None  # type: ignore[assignment]  # it refers to us, which only the GC would undo

    def _is_usual(self) -> bool:
        """Whether Tornado would add nothing to what is written, nor leave anything out."""
        request = self.request
        return (
            request.version == "HTTP/1.1"
            and request.method != "HEAD"
            and self._status_code not in BODILESS
            and not (self._headers_written or self._write_buffer or self._transforms)
            and request.headers.get("Connection", KEEP_ALIVE).lower() == KEEP_ALIVE
            and "Content-Length" not in self._headers
        )
