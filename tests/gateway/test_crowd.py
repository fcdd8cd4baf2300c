"""The rest between two fan-outs to many readers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.crowd import CROWD, ENOUGH, MAX_REST_S, REST_FACTOR, CrowdRest


class Clock:
    """A monotonic clock that is moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("readers", "took_s", "rest_s"),
    [
        (CROWD - 1, 0.5, 0),
        (CROWD, 0.0005, REST_FACTOR * 0.0005),
        (100 * CROWD, 5, MAX_REST_S),
    ],
)
def test_a_rest_is_a_multiple_of_the_fan_out_and_bounded(
    readers: int, took_s: float, rest_s: float
) -> None:
    """Few readers cost no rest at all, and nobody waits longer than the bound."""
    clock = Clock()
    rest = CrowdRest(clock)
    began = clock.now
    clock.now += took_s
    rest.begin(readers, began)
    assert rest.is_over is (rest_s == 0)
    clock.now += rest_s * 0.99
    assert rest.is_over is (rest_s == 0)
    clock.now += rest_s * 0.02
    assert rest.is_over


async def test_enough_messages_end_a_rest() -> None:
    """What has come together is shown, however long the rest is yet."""
    clock = Clock()
    rest = CrowdRest(clock)
    rest.begin(CROWD, clock.now - 60)
    waiting = iter(range(ENOUGH + 1))
    async with asyncio.timeout(10):
        await rest.wait(lambda: next(waiting))
    assert not rest.is_over
    assert list(waiting) == [], "it looked again until there were enough"
