"""Who leaves for whom when all places are taken."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lobby import SAY_EVERY_S, Lobby


class Caller:
    """A guest that notes that it was turned away."""

    def __init__(self, address: str = "a") -> None:
        self.address = address
        self.is_stalled = False
        self.is_gone = False

    def turn_away(self) -> None:
        self.is_gone = True


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lobby(places: int, clock: Clock | None = None) -> Lobby[Caller]:
    """Return an empty lobby."""
    return Lobby(places, "callers", clock or Clock())


def filled(places: int, addresses: str) -> tuple[Lobby[Caller], list[Caller]]:
    """Return a full lobby and who is in it, one from each address named by a letter."""
    full, callers = lobby(places), [Caller(address) for address in addresses]
    for caller in callers:
        assert full.enter(caller)
    return full, callers


@pytest.mark.parametrize(
    ("addresses", "leaves"), [("aaa", 0), ("abb", 1), ("babaaab", 1), ("abcc", 2)]
)
def test_the_longest_waiting_of_the_busiest_address_leaves(addresses: str, leaves: int) -> None:
    """A newcomer takes the place of the one that came first of those that crowd most."""
    full, callers = filled(len(addresses), addresses)
    assert full.enter(Caller("new"))
    assert [caller.is_gone for caller in callers] == [n == leaves for n in range(len(callers))]
    assert (full.count, full.displaced_total, full.refused_total) == (len(addresses), 1, 0)


def test_who_is_served_stays_and_waits_anew_after_that() -> None:
    """Being served protects; after it the waiting begins again, behind the others."""
    full, (first, second, third) = filled(3, "aaa")
    full.serve(first)
    full.wait(first)
    full.serve(second)
    assert full.enter(Caller("a"))
    assert [one.is_gone for one in (first, second, third)] == [False, False, True]
    assert full.enter(Caller("a"))
    assert [one.is_gone for one in (first, second)] == [True, False]


def test_one_that_does_not_read_leaves_when_nobody_waits() -> None:
    """Where all are served, one that is stalled goes; where none is, there is no room."""
    full, callers = filled(3, "aab")
    for caller in callers:
        full.serve(caller)
    assert not full.enter(Caller())
    callers[2].is_stalled = True
    assert full.enter(Caller())
    assert [caller.is_gone for caller in callers] == [False, False, True]
    assert (full.displaced_total, full.refused_total, full.count) == (1, 1, 3)


def test_a_flood_is_said_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Not each of a thousand guests is a line in the log."""
    clock = Clock()
    full = lobby(1, clock)
    with caplog.at_level(logging.WARNING, "gateway.lobby"):
        for second in range(2 * SAY_EVERY_S):
            clock.now = second
            for _ in range(10):
                full.enter(Caller())
    assert len(caplog.records) == 2
    assert "all 1 places for callers are taken" in caplog.text


@given(st.lists(st.tuples(st.sampled_from("eswl"), st.integers(0, 9)), max_size=60))
def test_the_count_is_always_that_of_those_inside(acts: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, twice or never, nobody is counted twice or forgotten,
    and the bound holds."""
    place, callers = lobby(4), [Caller("ab"[number % 2]) for number in range(10)]
    inside: set[Caller] = set()
    for act, number in acts:
        caller = callers[number]
        if act == "e" and caller not in inside:
            caller.is_gone = False
            if place.enter(caller):
                inside.add(caller)
        elif act == "s":
            place.serve(caller)
        elif act == "w":
            place.wait(caller)
        elif act == "l":
            place.leave(caller)
            inside.discard(caller)
        inside -= {one for one in inside if one.is_gone}
        assert set(place) == inside
        assert place.count == len(inside) <= 4
