"""A history on a real file, and messages to put into it. The time is a number in these tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from store.database import Database
from store.history import History
from store.message import Message
from store.selection import Selection

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
# 2026-11-23T10:04:05.123456Z
NOW_US = 1_795_428_245_123_456


def message(
    topic: str = "a/b", payload: str | bytes = "1", at_us: int = NOW_US, **more: Any
) -> Message:
    """Return a message as it arrives, without an id."""
    return Message(topic, payload, at_us, **more)


def messages(count: int, topic: str = "a/b") -> list[Message]:
    """Return messages with payloads "0", "1" and so on, a millisecond apart."""
    return [message(topic, str(number), NOW_US + 1000 * number) for number in range(count)]


@asynccontextmanager
async def open_history(
    path: Path,
    *,
    clean: bool = True,
    now_us: int = NOW_US,
    query_timeout_s: float = 5.0,
    **limits: float,
) -> AsyncIterator[History]:
    """Open the log at `path`; not `clean` leaves it as a killed process does."""
    database = await Database.open(path, query_timeout_s=query_timeout_s)
    try:
        history = await History.open(database, now_us=now_us, **limits)
        yield history
        if clean:
            await history.close()
    finally:
        await database.close()


async def everything(history: History, selection: Selection | None = None) -> list[Message]:
    """Return what the log holds, oldest first."""
    page = await history.page(selection or Selection(), limit=10_000, ascending=True)
    assert page.complete
    return page.messages


async def ids(history: History) -> list[int | None]:
    """Return the ids in the log, oldest first."""
    return ids_of(await everything(history))


def ids_of(some: Iterable[Message]) -> list[int | None]:
    """Return the ids of messages, in their order."""
    return [one.id for one in some]


def payloads(some: Sequence[Message]) -> list[str | bytes]:
    """Return the payloads of messages, in their order."""
    return [one.payload for one in some]
