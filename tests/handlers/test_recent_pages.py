"""`GET /messages`: whether memory or the file answers cannot be told from the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import server
from gateway.config import Config
from store import tail
from store.history import History
from store.message import Message
from tests.handlers.test_answers import ask
from tests.recordings import NOW_US

ROWS = 40
STORED = 120
QUERIES = [
    "",
    "?limit=5",
    "?limit=5&offset=3",
    "?limit=5&offset=70",
    "?limit=1000",
    "?limit=7&format=ndjson",
    "?limit=7&format=csv",
    "?topic=a/1",
    "?topic=a/%2B&limit=3",
    "?topic=a/1&topic=$SYS/%23&limit=3",
    "?qos=1&limit=4",
    "?retain=true",
    "?contains=%C3%BC&limit=2",
    "?since=1970-01-01&limit=4",
    "?order=asc&limit=4",
    "?after=0",
    "?after=0&order=desc&limit=3",
    "?after=0&topic=a/1",
    "?after=10&topic=a/1",
    "?after=10&topic=a/1&order=desc&limit=2",
    "?after={epoch}.100&limit=4",
    "?after={epoch}.100",
    "?after=120",
    "?after=121",
    "?after=500&topic=a/1",
    "?after=other.3",
    "?after=other.3&topic=a/1",
    "?before=100&limit=4",
    "?before={epoch}.100&after=95",
]


@asynccontextmanager
async def serving(directory: Path, **settings: str) -> AsyncIterator[server.Service]:
    """A service whose broker is away, with STORED messages."""
    config = {
        "API_HOST": "127.0.0.1",
        "API_PORT": "0",
        "HISTORY_DB": str(directory / "history.db"),
        "MQTT_BROKER_PORT": "1",
        "RATE_LIMIT_ENABLED": "false",
        **settings,
    }
    async with server.serve(Config.from_mapping(config)) as service:
        for number in range(0, STORED, 10):
            some = [_message(number + index) for index in range(10)]
            service.hub.publish(await service.state.history.append(some))
        yield service


def _message(number: int) -> Message:
    payload = ["text", "ü", b"\xff", "=1+1"][number % 4]
    topic = "$SYS/x" if number % 10 == 9 else f"a/{number % 3}"
    return Message(topic, payload, NOW_US + number, number % 2, number % 5 == 0)


@pytest.mark.parametrize("cap", ["0", "100", "20"])
async def test_both_ways_answer_the_same(
    cap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, headers and bytes, whatever is asked, of a log that is whole, cut, or all in memory;
    and memory is used."""
    monkeypatch.setattr(tail, "ROWS", ROWS)
    known = 0
    recent = History.recent

    def counted(self: History, *args: Any, **kwargs: Any) -> Any:
        nonlocal known
        page = recent(self, *args, **kwargs)
        known += page is not None
        return page

    def nothing(*_args: Any, **_kwargs: Any) -> None:
        return None

    async with serving(tmp_path, MAX_HISTORY_SIZE=cap) as service:
        epoch = service.state.history.totals().epoch
        for query in QUERIES:
            request = f"/messages{query.replace('{epoch}', epoch)} HTTP/1.1\r\nHost: a\r\n"
            request += "X-Request-Id: same\r\n\r\n"
            for method in ("GET", "HEAD"):
                monkeypatch.setattr(History, "recent", counted)
                one = await ask(service.port, f"{method} {request}")
                monkeypatch.setattr(History, "recent", nothing)
                assert one == await ask(service.port, f"{method} {request}"), query
    assert known >= len(QUERIES)


async def test_what_is_not_shown_yet_is_not_answered(tmp_path: Path) -> None:
    """A message that is committed and not acknowledged is on no page."""
    async with serving(tmp_path) as service:
        await service.state.history.append([_message(0)])
        async with asyncio.timeout(10):
            _, headers, body = await ask(
                service.port, "GET /messages?limit=1 HTTP/1.1\r\nHost: a\r\n\r\n"
            )
    assert headers["x-log-position"][0].endswith(f".{STORED}")
    assert body.startswith(f'[{{"id":{STORED},'.encode())
