"""What every handler shares, on a real socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import tornado.httpserver
import tornado.web

from handlers.answers import HttpDate
from handlers.base import Handler
from store.errors import HistoryUnavailable


class Breaks(Handler):
    """Fails in the midst of an answer of unknown length, as an export from a failing disk does."""

    def set_default_headers(self) -> None:
        """None are needed."""

    async def prepare(self) -> None:
        """Everybody may come in."""

    async def get(self) -> None:
        """Send one line, and fail at the second."""
        self.write("one\n")
        await self.flush()
        raise HistoryUnavailable("the disk fails")


async def test_an_answer_that_breaks_off_does_not_look_whole() -> None:
    """The last chunk, which says that all was sent, is never sent after an error."""
    collaborators: dict[str, Any] = {"path_template": "/"}
    application = tornado.web.Application([("/", Breaks, collaborators)], date=HttpDate(lambda: 0))
    server = tornado.httpserver.HTTPServer(application)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    server.add_sockets([listening])
    try:
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
        assert b"4\r\none\n\r\n" in answer
        assert not answer.endswith(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    finally:
        server.stop()
        await server.close_all_connections()


def test_what_a_stop_cancels_is_no_fault() -> None:
    """A command that waits on a WebSocket when the service stops leaves no traceback in the log."""
    assert Handler.is_our_fault(RuntimeError("a bug"))
    assert not Handler.is_our_fault(asyncio.CancelledError())
