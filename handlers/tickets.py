"""Tickets: how a browser opens a stream without a key in the URL.

Answers for: single use and a short life, in a bounded table. Does not: check keys.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable

from handlers.keyring import Caller

LIFE_S = 30
# Unused tickets at once; beyond it the oldest is void.
MAX_TICKETS = 1_000


class Tickets:
    """The unused tickets. Lives on the event loop."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._issued: OrderedDict[str, tuple[Caller, float]] = OrderedDict()

    def issue(self, caller: Caller) -> str:
        """Return a ticket that stands for the caller, once."""
        ticket = secrets.token_urlsafe(24)
        self._issued[ticket] = (caller, self._monotonic() + LIFE_S)
        if len(self._issued) > MAX_TICKETS:
            self._issued.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> Caller | None:
        """Return whom the ticket stands for, or None when it is unknown, used or too old."""
        caller, until = self._issued.pop(ticket, (None, 0.0))
        return caller if self._monotonic() < until else None
