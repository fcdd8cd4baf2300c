"""A reader's wire for tests: an encoder that can be read back, and a transport that remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from store.message import Message


class PlainLines:
    """One JSON object a line; `encoded` counts how often a message was encoded."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, message: Message) -> bytes:
        """Return one message as a line."""
        self.encoded += 1
        return json.dumps({"id": message.id, "payload": message.payload}).encode() + b"\n"

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return the lines one after the other."""
        return b"".join(pieces)

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """Return any other frame as a line."""
        return json.dumps(fields).encode() + b"\n"


class Wire:
    """A transport and a live reader in one: what it was given, and whether the peer reads."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.unsent_bytes = 0
        self.is_stalled = False
        self.most_unsent_bytes = 0
        self._sent = asyncio.Event()
        self._sent.set()
        self._news = asyncio.Event()

    def write(self, data: bytes) -> None:
        """Take the bytes; while stalled they stay unsent."""
        self.writes.append(data)
        if self.is_stalled:
            self.unsent_bytes += len(data)
            self.most_unsent_bytes = max(self.most_unsent_bytes, self.unsent_bytes)
            self._sent.clear()
        self._news.set()

    send = write  # as a live reader at the hub

    async def wait_until_sent(self) -> None:
        """Wait until the peer has read."""
        await self._sent.wait()

    def stall(self) -> None:
        """The peer stops reading."""
        self.is_stalled = True

    def go_on(self) -> None:
        """The peer reads all that waits, and goes on reading."""
        self.is_stalled, self.unsent_bytes = False, 0
        self._sent.set()

    @property
    def frames(self) -> list[dict[str, Any]]:
        """Return everything written, in order."""
        return [json.loads(line) for line in b"".join(self.writes).splitlines()]

    @property
    def ids(self) -> list[int | None]:
        """Return the ids of the messages written, in order."""
        return [frame["id"] for frame in self.frames if "id" in frame]

    async def until(self, condition: Callable[[], bool], within_s: float = 10) -> None:
        """Wait for a write after which the condition holds; TimeoutError otherwise."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._news.clear()
                await self._news.wait()
