"""Futures by packet number: who waits for which answer of the broker.

Answers for: waiting with a deadline and forgetting afterwards. Does not: know what an answer means.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Confirmations(Generic[T]):
    """Awaitable answers. Lives on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[T]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, packet_id: int) -> asyncio.Future[T]:
        """Be ready for the answer to a packet just sent: it may come before anybody waits."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[packet_id] = future
        return future

    async def wait(self, packet_id: int, deadline: float) -> T:
        """Wait for the answer to a packet; TimeoutError at `deadline` (loop time)."""
        future = self._waiting.get(packet_id) or self.expect(packet_id)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
        finally:
            if self._waiting.get(packet_id) is future:
                del self._waiting[packet_id]

    def resolve(self, packet_id: int, answer: T) -> bool:
        """Give the answer to who waits for it; return whether anybody does."""
        future = self._waiting.get(packet_id)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    def fail(self, error: Exception) -> None:
        """Give everybody who waits this error."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
