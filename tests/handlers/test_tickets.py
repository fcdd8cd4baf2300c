"""Tickets, on a clock that the test sets."""

from __future__ import annotations

from handlers.keyring import Caller
from handlers.tickets import LIFE_S, MAX_TICKETS, Tickets

ONE = Caller("one", frozenset({"read"}), digest=b"1")
TWO = Caller("two", frozenset({"read"}), digest=b"2")


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_ticket_stands_for_its_caller_once() -> None:
    """It is redeemed once, for the one it was issued to."""
    tickets = Tickets(Clock())
    first, second = tickets.issue(ONE), tickets.issue(TWO)
    assert first != second
    assert tickets.redeem(second) is TWO
    assert tickets.redeem(second) is None
    assert tickets.redeem(first) is ONE


def test_a_ticket_lives_for_half_a_minute() -> None:
    """It is good until then, and trying too late does not bring it back."""
    clock = Clock()
    tickets = Tickets(clock)
    in_time, late = tickets.issue(ONE), tickets.issue(ONE)
    clock.now_s += LIFE_S - 0.001
    assert tickets.redeem(in_time) is ONE
    clock.now_s += 0.001
    assert tickets.redeem(late) is None
    clock.now_s -= LIFE_S
    assert tickets.redeem(late) is None


def test_what_was_never_issued_is_nothing() -> None:
    """Neither an empty text nor a guess opens."""
    tickets = Tickets(Clock())
    issued = tickets.issue(ONE)
    for guess in ("", "x", issued[:-1], issued + "=", issued.swapcase(), "\x00"):
        assert tickets.redeem(guess) is None
    assert len(issued) >= 32


def test_unused_tickets_are_bounded() -> None:
    """However many are asked for, only the newest are kept."""
    tickets = Tickets(Clock())
    issued = [tickets.issue(ONE) for _ in range(MAX_TICKETS + 5)]
    assert len(set(issued)) == len(issued)
    assert len(tickets._issued) == MAX_TICKETS
    assert [tickets.redeem(ticket) is ONE for ticket in issued[:6]] == [False] * 5 + [True]
    assert tickets.redeem(issued[-1]) is ONE
