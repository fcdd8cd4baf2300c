"""gateway/broker/window.py: a place in flight for each publish, in order, and an end for each."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from gateway.broker.errors import BrokerAway, BrokerRefused, PublishUnconfirmed
from gateway.broker.window import Window

PLACES = 3


def window(timeout_s: float = 60) -> Window:
    """Return a window with its errors."""
    return Window(
        PLACES, timeout_s, lambda: BrokerAway("too late"), lambda: PublishUnconfirmed("no answer")
    )


def sender() -> tuple[list[int], Callable[[], int]]:
    """Return what sends, and the numbers of what it has sent."""
    sent: list[int] = []
    numbers = itertools.count(1)

    def send() -> int:
        sent.append(next(numbers))
        return sent[-1]

    return sent, send


def confirm_all(open_window: Window, sent: list[int]) -> int:
    """Answer what was sent, and what is sent then; return how many are left."""
    for number in sent:  # it grows meanwhile
        open_window.confirm(number)
    return len(open_window)


async def test_the_others_wait_in_order_for_a_place() -> None:
    """No more than its places are in flight; each answer, good or bad, lets the next one leave."""
    open_window, (sent, send) = window(), sender()
    futures = [open_window.submit(send) for _ in range(6)]
    assert sent == [1, 2, 3] and len(open_window) == PLACES
    open_window.confirm(2)
    assert await futures[1] == 2
    assert sent == [1, 2, 3, 4]
    assert open_window.refuse(1, BrokerRefused("no"))
    with pytest.raises(BrokerRefused):
        await futures[0]
    assert sent == [1, 2, 3, 4, 5]
    for number in (3, 4, 5, 6):
        open_window.confirm(number)
    assert [await one for one in futures[2:]] == [3, 4, 5, 6]
    assert len(open_window) == 0


async def test_an_answer_that_nobody_waits_for_is_no_error() -> None:
    """It may come after its time, or be for a publish of somebody else."""
    open_window = window()
    open_window.confirm(7)
    assert not open_window.refuse(7, BrokerRefused("no"))


async def test_an_error_of_sending_takes_no_place() -> None:
    """It is the caller's, and the next is sent."""
    open_window, (sent, send) = window(), sender()

    def fail() -> int:
        raise BrokerAway("lost")

    futures = [open_window.submit(one) for one in (fail, fail, fail, send, send, send)]
    assert sent == [1, 2, 3]
    for future in futures[:3]:
        with pytest.raises(BrokerAway):
            await future
    for number in sent:
        assert open_window.refuse(number, BrokerRefused("gone"))
    for future in futures[3:]:
        with pytest.raises(BrokerRefused):
            await future


async def test_whoever_has_gone_is_not_sent_for() -> None:
    """A caller that was cancelled while waiting for a place leaves no message behind."""
    open_window, (sent, send) = window(), sender()
    futures = [open_window.submit(send) for _ in range(5)]
    futures[3].cancel()
    futures[0].cancel()  # that one has left already
    open_window.confirm(1)
    assert sent == [1, 2, 3, 4]
    open_window.confirm(4)
    assert await futures[4] == 4


async def test_each_ends_at_its_deadline() -> None:
    """What was sent is unconfirmed, what was not is known to be nowhere, and both give up their
    places, again and again."""
    open_window, (sent, send) = window(0.05), sender()
    for _ in range(2):
        futures = [open_window.submit(send) for _ in range(PLACES + 1)]
        async with asyncio.timeout(10):
            found = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(one) for one in found] == [PublishUnconfirmed] * PLACES + [BrokerAway]
        assert len(open_window) == 0
    assert len(sent) == 2 * PLACES


async def test_one_can_wait_until_all_have_left() -> None:
    """What is sent then is behind them."""
    open_window, (sent, send) = window(), sender()
    await open_window.all_sent()
    for _ in range(PLACES + 2):
        open_window.submit(send)
    waiting = asyncio.ensure_future(open_window.all_sent())
    for number in (1, 2):
        await asyncio.sleep(0)
        assert not waiting.done()
        open_window.confirm(number)
    async with asyncio.timeout(10):
        await waiting
    assert len(sent) == PLACES + 2
    assert confirm_all(open_window, sent) == 0


async def test_who_waits_for_that_waits_for_nobody_behind() -> None:
    """However many others keep coming: the queue need not be empty for a moment."""
    open_window, (sent, send) = window(), sender()
    for _ in range(PLACES + 1):
        open_window.submit(send)
    waiting = asyncio.ensure_future(open_window.all_sent())
    await asyncio.sleep(0)
    open_window.submit(send)
    open_window.confirm(1)
    assert sent == [1, 2, 3, 4]
    async with asyncio.timeout(10):
        await waiting
    assert confirm_all(open_window, sent) == 0


async def test_a_number_that_is_used_anew_leaves_nobody_waiting() -> None:
    """The broker's answer can only be for the later one: the earlier one's outcome is unknown."""
    open_window = window()
    earlier, later = (open_window.submit(lambda: 7) for _ in range(2))
    async with asyncio.timeout(10):
        with pytest.raises(PublishUnconfirmed):
            await earlier
    open_window.confirm(7)
    assert await later == 7


async def test_who_waits_can_be_told_that_it_is_in_vain() -> None:
    """Each gets the error of what became of it, and nothing is sent any more."""
    open_window, (sent, send) = window(), sender()
    futures = [open_window.submit(send) for _ in range(PLACES + 2)]
    open_window.give_up(BrokerAway("unsent"), PublishUnconfirmed("unknown"))
    for place, future in enumerate(futures):
        with pytest.raises(BrokerAway if place >= PLACES else PublishUnconfirmed):
            await future
    assert sent == [1, 2, 3] and len(open_window) == 0
