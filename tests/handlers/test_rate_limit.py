"""The sliding window, on a clock that the test sets."""

from __future__ import annotations

import random

import pytest

from handlers.rate_limit import MAX_CALLERS, PARTS, SlidingWindow

LIMIT, WINDOW_S = 100, 60.0


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def window(clock: Clock, limit: int = LIMIT, window_s: float = WINDOW_S) -> SlidingWindow:
    """Return a window."""
    return SlidingWindow(limit, window_s, clock)


def test_the_limit_passes_and_not_one_more() -> None:
    """What is left counts down to nothing; what is refused costs nothing."""
    found = window(Clock())
    left = [found.hit("a").remaining for _ in range(LIMIT)]
    assert left == list(range(LIMIT - 1, -1, -1))
    for _ in range(10):
        refused = found.hit("a")
        assert (refused.allowed, refused.remaining, refused.limit) == (False, 0, LIMIT)
    assert found.hit("b").allowed


@pytest.mark.parametrize("start_s", [0.0, 0.3, 29.9, 54.0, 59.999])
@pytest.mark.parametrize("factor", [1.1, 2, 10, 100])
def test_never_more_than_the_limit_in_any_window(start_s: float, factor: float) -> None:
    """Wherever a window begins, at most the limit lies in it, and with a demand of up to
    ten times that at least 98 % of it."""
    clock = Clock(600.0 + start_s)
    found, accepted = window(clock), list[float]()
    step_s = WINDOW_S / (LIMIT * factor)
    for _ in range(int(4 * WINDOW_S / step_s)):
        if found.hit("a").allowed:
            accepted.append(clock.now_s)
        clock.now_s += step_s
    begun = 600.0 + start_s
    for start in accepted:
        inside = sum(start <= at < start + WINDOW_S for at in accepted)
        assert inside <= LIMIT
        if factor <= 10 and start < begun + 2.9 * WINDOW_S:
            assert inside >= 0.98 * LIMIT


def test_bursts_at_random_never_pass_the_limit() -> None:
    """Costs and pauses of any size change nothing about that."""
    dice = random.Random(7)
    clock = Clock()
    found, accepted = window(clock), list[tuple[float, int]]()
    for _ in range(5_000):
        cost = dice.choice((0, 1, 1, 5, 40, LIMIT))
        if found.hit("a", cost).allowed:
            accepted.append((clock.now_s, cost))
        clock.now_s += dice.choice((0.0, 0.01, 0.6, 5.0, 59.9, 70.0)) * dice.random()
    assert len(accepted) > 1_000
    for start, _ in accepted:
        assert sum(cost for at, cost in accepted if start <= at < start + WINDOW_S) <= LIMIT


def test_retry_after_is_true_and_not_idle() -> None:
    """After the seconds that a refusal names the same cost fits, and not long before."""
    dice = random.Random(8)
    clock = Clock()
    found, tried = window(clock), 0
    for _ in range(3_000):
        cost = dice.choice((1, 3, 20))
        allowance = found.hit("a", cost)
        if allowance.allowed:
            assert allowance.retry_s == 0
        else:
            tried += 1
            assert 1 <= allowance.retry_s <= WINDOW_S * (1 + 1 / PARTS) + 1
            now_s = clock.now_s
            clock.now_s = now_s + allowance.retry_s
            assert found.look("a", cost).allowed
            clock.now_s = now_s
        clock.now_s += dice.random() * 2
    assert tried > 200


def test_early_is_too_early() -> None:
    """One second before the time that was named it does not fit yet."""
    clock = Clock(600.0)
    found = window(clock)
    found.hit("a", LIMIT)
    allowance = found.hit("a")
    clock.now_s += allowance.retry_s - 1.001
    assert not found.look("a").allowed


def test_reset_says_when_all_is_there_again() -> None:
    """After `reset_s` the whole limit fits."""
    clock = Clock()
    found = window(clock)
    assert found.look("a").reset_s == 0
    found.hit("a", 10)
    clock.now_s += 30
    reset_s = found.hit("a", 10).reset_s
    assert WINDOW_S <= reset_s <= WINDOW_S * (1 + 1 / PARTS) + 1
    clock.now_s += reset_s
    assert found.hit("a", LIMIT).allowed


def test_looking_costs_and_keeps_nothing() -> None:
    """However often one looks, the table stays empty and the limit whole."""
    found = window(Clock())
    for number in range(1_000):
        assert found.look(f"caller {number}").allowed
    assert len(found) == 0
    assert found.hit("caller 1", LIMIT).allowed


@pytest.mark.parametrize("window_s", [0.1, 1.0, 86_400.0])
def test_any_length_of_window_works(window_s: float) -> None:
    """From a tenth of a second to a day."""
    clock = Clock()
    found = window(clock, 3, window_s)
    assert [found.hit("a").allowed for _ in range(4)] == [True, True, True, False]
    clock.now_s += window_s * (1 + 2 / PARTS)
    assert found.hit("a").allowed


def test_20_000_addresses_do_not_grow_the_table_past_its_bound() -> None:
    """The table keeps those who were seen last, refused ones too; the others begin afresh."""
    clock = Clock()
    found = window(clock)
    found.hit("busy", LIMIT)
    for number in range(20_000):
        found.hit(f"address {number}")
        clock.now_s += 0.000_1
        if number % 1_000 == 0:
            assert not found.hit("busy").allowed
        assert len(found) <= MAX_CALLERS
    assert len(found) == MAX_CALLERS
    assert not found.hit("busy").allowed
    assert found.hit("address 0").remaining == LIMIT - 1


def test_one_caller_is_kept_small() -> None:
    """What is kept of a caller is bounded by the parts of a window, not by its requests."""
    clock = Clock()
    found = window(clock, 1_000_000)
    for _ in range(50_000):
        found.hit("a")
        clock.now_s += 0.003
    assert len(found._counts["a"].parts) <= PARTS + 1
