"""handlers/patience.py: who takes too long over a request is closed, and nobody else."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import tornado.netutil
import tornado.web

from gateway.lobby import Guest, Lobby
from handlers import patience
from handlers.door import Server
from handlers.patience import Patience

HEAD_S, BODY_S = 10.0, 12.0


class Clock:
    """A clock that is set by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Sender:
    """One who sends, or has sent."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.is_closed = False

    def turn_away(self) -> None:
        self.is_closed = True


def test_only_those_whose_time_is_over_are_closed() -> None:
    """One that is being served has all the time there is."""
    clock = Clock()
    rule = Patience(HEAD_S, BODY_S, clock)
    head, body, served = Sender(rule.for_head()), Sender(rule.for_body()), Sender(math.inf)
    senders = [head, body, served]
    clock.now += HEAD_S
    rule.look_at(senders)
    assert [one.is_closed for one in senders] == [False, False, False]
    clock.now += 1
    rule.look_at(senders)
    assert [one.is_closed for one in senders] == [True, False, False]
    clock.now += BODY_S
    rule.look_at(senders)
    assert [one.is_closed for one in senders] == [True, True, False]


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nonly",
    ],
)
async def test_a_request_that_is_never_whole_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever part of it is missing: its connection ends, and leaves the lobby."""
    monkeypatch.setattr(patience, "LOOK_EVERY_S", 0.02)
    lobby: Lobby[Guest] = Lobby(10, "connections", time.monotonic)
    async with _serving(lobby, Patience(0.1, 0.1, time.monotonic)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        assert lobby.count == 0
        await _closed(writer)


async def test_an_answer_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has sent a whole request is not closed while it is worked on, and not after it while it
    may send the next."""
    monkeypatch.setattr(patience, "LOOK_EVERY_S", 0.02)
    clock, looked = Clock(), asyncio.Event()
    rule = Patience(HEAD_S, BODY_S, clock)
    look_at = rule.look_at

    def noted(senders: Any) -> None:
        look_at(senders)
        looked.set()

    monkeypatch.setattr(rule, "look_at", noted)

    class Slow(tornado.web.RequestHandler):
        async def post(self) -> None:
            clock.now += 10 * BODY_S
            looked.clear()
            await looked.wait()
            self.finish("answered")

    async with _serving(Lobby(10, "connections", time.monotonic), rule, Slow) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")
            answer = await asyncio.wait_for(reader.readuntil(b"answered"), 10)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            clock.now += HEAD_S / 2
        await _closed(writer)


@asynccontextmanager
async def _serving(
    lobby: Lobby[Any],
    rule: Patience,
    handler: type[tornado.web.RequestHandler] = tornado.web.RequestHandler,
) -> AsyncIterator[int]:
    server = Server(
        tornado.web.Application([("/", handler)], log_function=lambda _handler: None),
        lobby=lobby,
        tls=None,
        max_body_size=1_000,
        patience=rule,
    )
    bound = tornado.netutil.bind_sockets(0, "127.0.0.1")
    server.add_sockets(bound)
    try:
        yield bound[0].getsockname()[1]
    finally:
        server.stop()
        await server.close_all_connections()
        for one in bound:
            one.close()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()
