"""Who hangs on the service: every connected reader, live or behind.

Answers for: the cap on readers, and closing them all at the end. Does not: send messages; the
hub does that for those who are live.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Seat(Protocol):
    """A connected reader."""

    @property
    def is_behind(self) -> bool:
        """Whether it is being fed from the history."""

    @property
    def is_welcome(self) -> bool:
        """Whether it may stay: its key is neither revoked nor expired."""

    def dismiss(self) -> None:
        """Tell it that the service stops, and close it."""

    def expel(self) -> None:
        """Tell it that its key is no longer good, and close it."""


class Audience:
    """The connected readers, at most `seats` of them. Lives on the event loop."""

    def __init__(self, seats: int) -> None:
        self._seats = seats
        self._seated: set[Seat] = set()

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._seated) >= self._seats

    @property
    def count(self) -> int:
        """How many are connected."""
        return len(self._seated)

    @property
    def behind(self) -> int:
        """How many of them are being fed from the history."""
        return sum(seat.is_behind for seat in self._seated)

    def seat(self, reader: Seat) -> None:
        """Let one in."""
        self._seated.add(reader)

    def release(self, reader: Seat) -> None:
        """Let one go. No error when it is not there."""
        self._seated.discard(reader)

    async def watch(self, interval_s: float) -> None:
        """Close those who are no longer welcome, for ever."""
        while True:
            await asyncio.sleep(interval_s)
            for reader in [reader for reader in self._seated if not reader.is_welcome]:
                reader.expel()

    def dismiss_all(self) -> None:
        """Close them all: the service stops."""
        for reader in list(self._seated):
            reader.dismiss()
