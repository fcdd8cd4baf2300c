"""How many may hang on at once before they have said what they want, and who leaves for whom.

Answers for: a bound on guests, and a place for the next one when all are taken. Does not: know
what a guest is; a connection is one, and a WebSocket that has not shown its key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

# A flood is said once in so many seconds, with its count, and not once for each guest.
SAY_EVERY_S = 60


class Guest(Protocol):
    """Somebody who takes a place."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    @property
    def is_stalled(self) -> bool:
        """Whether it is being served and does not take what it asked for."""

    def turn_away(self) -> None:
        """Close it at once. It leaves the lobby by that."""


Kind = TypeVar("Kind", bound=Guest)


class Lobby(Generic[Kind]):
    """At most `places` guests. Lives on the event loop.

    When all places are taken, the guest leaves that waited longest of those from the address
    that has most of them waiting: so whoever floods us drives out himself, and who asks at once
    always gets in. When none waits, it is one that is served and does not read. When all are
    served and read, there is no room.
    """

    def __init__(self, places: int, what: str, monotonic: Callable[[], float]) -> None:
        self.places = places
        self.displaced_total = 0
        self.refused_total = 0
        self._what = what
        self._monotonic = monotonic
        self._say_again = monotonic()
        self._waiting: dict[str, dict[Kind, None]] = {}
        self._served: dict[str, dict[Kind, None]] = {}
        self._count = 0

    @property
    def count(self) -> int:
        """How many are inside."""
        return self._count

    def __iter__(self) -> Iterator[Kind]:
        for crowds in (self._waiting, self._served):
            for crowd in crowds.values():
                yield from crowd

    def enter(self, guest: Kind) -> bool:
        """Let one in, to wait; False when there is no room for it."""
        if self._count >= self.places and not self._make_room():
            self.refused_total += 1
            self._say()
            return False
        self._count += 1
        _add(self._waiting, guest)
        return True

    def serve(self, guest: Kind) -> None:
        """It has said what it wants, and waits no more."""
        if _remove(self._waiting, guest):
            _add(self._served, guest)

    def wait(self, guest: Kind) -> None:
        """It has what it wanted, and may ask again. From now on it waits anew."""
        if _remove(self._served, guest):
            _add(self._waiting, guest)

    def leave(self, guest: Kind) -> None:
        """It goes. No error when it is not here."""
        if _remove(self._waiting, guest) or _remove(self._served, guest):
            self._count -= 1

    def _make_room(self) -> bool:
        guest: Kind | None = None
        if self._waiting:
            crowd = max(self._waiting.values(), key=_size)
            guest = next(iter(crowd))
        else:
            for crowd in sorted(self._served.values(), key=_size, reverse=True):
                guest = next((one for one in crowd if one.is_stalled), None)
                if guest is not None:
                    break
        if guest is None:
            return False
        self.displaced_total += 1
        self.leave(guest)
        guest.turn_away()
        self._say()
        return True

    def _say(self) -> None:
        now = self._monotonic()
        if now >= self._say_again:
            self._say_again = now + SAY_EVERY_S
            log.warning(
                "all %d places for %s are taken: %d were closed for others so far, %d refused",
                self.places,
                self._what,
                self.displaced_total,
                self.refused_total,
            )


def _size(crowd: dict[Kind, None]) -> int:
    return len(crowd)


def _add(crowds: dict[str, dict[Kind, None]], guest: Kind) -> None:
    crowds.setdefault(guest.address, {})[guest] = None


def _remove(crowds: dict[str, dict[Kind, None]], guest: Kind) -> bool:
    crowd = crowds.get(guest.address)
    if crowd is None or guest not in crowd:
        return False
    del crowd[guest]
    if not crowd:
        del crowds[guest.address]
    return True
