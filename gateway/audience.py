"""Who hangs on the service: every connected reader, live or behind, and who wants to become one.

Answers for: the cap on readers and on those who have not shown their key yet, and closing them
all at once. Does not: send messages; the hub does that for those who are live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from gateway.lobby import Guest, Lobby

# WebSockets that have not shown their key yet: they have no seat, so that nobody without a key
# can take those of others. A dashboard waits here for one round trip.
ANTEROOM_PLACES = 100
# Why everybody is closed at once: a reason that a WebSocket can carry, 123 bytes at most.
STOPPING = "the service stops"
NEW_LOG = "the history was damaged, and a new one has begun: come back"


class Seat(Protocol):
    """A connected reader."""

    @property
    def is_behind(self) -> bool:
        """Whether it is being fed from the history."""

    @property
    def is_welcome(self) -> bool:
        """Whether it may stay: its key is neither revoked nor expired."""

    def dismiss(self, why: str) -> None:
        """Tell it why it is closed now, though it did nothing wrong, and close it."""

    def expel(self) -> None:
        """Tell it that its key is no longer good, and close it."""


class Applicant(Guest, Protocol):
    """A connection that is to become a reader when it has shown its key."""

    def dismiss(self, why: str) -> None:
        """Tell it why it is closed now, though it did nothing wrong, and close it."""


class Audience:
    """The connected readers, at most `seats` of them. Lives on the event loop."""

    def __init__(
        self,
        seats: int,
        monotonic: Callable[[], float],
        failed: Callable[[str, str], None] = lambda _place, _sentence: None,
    ) -> None:
        self._seats = seats
        self._failed = failed
        self._seated: set[Seat] = set()
        self.anteroom = Lobby[Applicant](
            ANTEROOM_PLACES, "connections without a key yet", monotonic
        )

    @property
    def is_full(self) -> bool:
        """Whether there is no room for one more."""
        return len(self._seated) >= self._seats

    @property
    def is_empty(self) -> bool:
        """Whether nobody is here, not even without a seat."""
        return not self._seated and not self.anteroom.count

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
            for reader in list(self._seated):
                try:
                    if not reader.is_welcome:
                        reader.expel()
                except Exception:  # one that cannot be asked may not keep the others
                    self._failed("audience", "a reader could not be asked whether it may stay")

    def dismiss_all(self, why: str = STOPPING) -> None:
        """Close them all, with the reason; who comes back is let in again if he may be."""
        for one in [*self._seated, *self.anteroom]:
            try:
                one.dismiss(why)
            except Exception:
                self._failed("audience", "a reader could not be dismissed")
