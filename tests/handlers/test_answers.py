"""handlers/answers.py: an answer in one piece is the one that Tornado would write."""

from __future__ import annotations

import asyncio
import gc
import inspect
import re
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import tornado.http1connection
import tornado.httpserver
import tornado.netutil
import tornado.web

from handlers.answers import AnswerInOnePiece, HttpDate, RequestIds

USUAL = "Host: a\r\n"
KEPT = "Host: a\r\nConnection: Keep-Alive\r\n"
CLOSED = "Host: a\r\nConnection: close\r\n"


class Handler(AnswerInOnePiece):
    """Answers with what it is asked for."""

    seen: ClassVar[list[Any]] = []

    def set_default_headers(self) -> None:
        self._headers["Content-Type"] = "application/json"
        self.add_header("Vary", "Origin")

    def get(self, status: str, body: str) -> None:
        self.seen.append(weakref.ref(self))
        self.set_status(int(status))
        self.add_header("Vary", "Accept")
        self.finish_whole(body.encode())

    head = get  # type: ignore[assignment]

    def compute_etag(self) -> None:
        return None


@pytest.mark.parametrize("path", ["200/x", "200/", "404/nothing", "207/some", "204/", "304/"])
async def test_both_ways_say_the_same(path: str) -> None:
    """What leaves in one write has the same status line, headers and body as what Tornado
    writes for a caller who wants the connection closed."""
    async with serving() as port:
        usual = await ask(port, f"GET /{path} HTTP/1.1\r\n{USUAL}\r\n")
        kept = await ask(port, f"GET /{path} HTTP/1.1\r\n{KEPT}\r\n")
        closed = await ask(port, f"GET /{path} HTTP/1.1\r\n{CLOSED}\r\n")
    assert usual == kept
    assert closed == (usual[0], {**usual[1], "connection": ["close"]}, usual[2])
    assert usual[1].get("content-length", ["0"]) == [str(len(usual[2]))]
    assert usual[1]["vary"] == ["Origin", "Accept"]


async def test_head_and_old_callers_are_answered_by_tornado() -> None:
    """HEAD has the headers and no body; who speaks HTTP/1.0 sees the connection end."""
    async with serving() as port:
        whole = await ask(port, f"GET /200/x HTTP/1.1\r\n{USUAL}\r\n")
        assert await ask(port, f"HEAD /200/x HTTP/1.1\r\n{USUAL}\r\n") == (*whole[:2], b"")
        assert await ask(port, f"GET /200/x HTTP/1.0\r\n{USUAL}\r\n", ends=True) == whole


async def test_requests_that_come_together_are_answered_one_after_the_other() -> None:
    """A caller may send the next request before it has the answer."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(3):
            writer.write(f"GET /200/{number} HTTP/1.1\r\n{USUAL}\r\n".encode())
        assert [(await read(reader))[2] for _ in range(3)] == [b"0", b"1", b"2"]
        writer.close()
        await writer.wait_closed()


async def test_a_handler_is_gone_with_its_answer() -> None:
    """Nothing refers to it in a circle, which only the garbage collector would find."""
    Handler.seen.clear()
    gc.disable()
    try:
        async with serving() as port:
            await ask(port, f"GET /200/x HTTP/1.1\r\n{USUAL}\r\n")
            await ask(port, f"GET /200/y HTTP/1.1\r\n{USUAL}\r\n")
            assert Handler.seen[0]() is None
    finally:
        gc.enable()


def test_a_date_is_that_of_rfc_9110() -> None:
    """In the one form that may be sent, and of the present second."""
    times = iter([784_111_777_000_000, 784_111_777_999_999, 784_111_778_000_000])
    date = HttpDate(lambda: next(times))
    assert [date(), date(), date()] == [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:38 GMT",
    ]


def test_no_two_requests_have_the_same_name() -> None:
    """Nor those of two starts; each is one that a caller might send."""
    one, another = RequestIds(), RequestIds()
    names = [*(one() for _ in range(1_000)), *(another() for _ in range(1_000))]
    assert len(set(names)) == 2_000
    assert all(re.fullmatch(r"[0-9a-f]{16}", name) for name in names)


def test_tornado_does_nothing_else() -> None:
    """What `clear` and `finish` do in Tornado, which ours stand for (docs/decisions/0024)."""
    clear = inspect.getsource(tornado.web.RequestHandler.clear)
    assert clear.count("self._") == 4, "headers, buffer, status and reason, and nothing else"
    for part in ("_headers", "_write_buffer", "_status_code", "_reason", "set_default_headers()"):
        assert f"self.{part}" in clear
    finish = inspect.getsource(tornado.web.RequestHandler.finish)
    last = finish[finish.index("connection.set_close_callback") :]
    steps = [line.strip() for line in last.splitlines() if line.strip()]
    assert steps == [
        "connection.set_close_callback(None)  # type: ignore",
        "future = self.flush(include_footers=True)",
        "self.request.connection.finish()",
        "self._log()",
        "self._finished = True",
        "self.on_finish()",
        "self._break_cycles()",
        "return future",
    ]
    assert "self.ui = None" in inspect.getsource(tornado.web.RequestHandler._break_cycles)
    log = inspect.getsource(tornado.web.RequestHandler._log)
    assert log.rstrip().endswith("self.application.log_request(self)")
    written = inspect.getsource(tornado.http1connection.HTTP1Connection.write)
    assert "pre-encoded header block" in written


Said = tuple[str, dict[str, list[str]], bytes]


async def ask(port: int, request: str, *, ends: bool = False) -> Said:
    """Send a request; return status line, headers without the date, and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request.encode())
        said = await read(reader, without_body=request.startswith("HEAD"))
        if ends:
            assert await reader.read() == b""
        return said
    finally:
        writer.close()
        await writer.wait_closed()


async def read(reader: asyncio.StreamReader, *, without_body: bool = False) -> Said:
    """Read one answer."""
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, text = line.split(": ", 1)
            headers.setdefault(name.lower(), []).append(text)
        assert headers.pop("date")
        length = 0 if without_body else int(headers.get("content-length", ["0"])[0])
        return first, headers, await reader.readexactly(length)


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A server of Tornado's with the handler at /<status>/<body>."""
    application = tornado.web.Application(
        [("/([0-9]+)/(.*)", Handler)],
        log_function=lambda _handler: None,
        date=HttpDate(lambda: time.time_ns() // 1_000),
    )
    server = tornado.httpserver.HTTPServer(application)
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.stop()
        await server.close_all_connections()
