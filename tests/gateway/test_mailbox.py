"""The bounded hand-over from any thread to the loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.mailbox import OVERHEAD_BYTES, Connected, Delivery, Item, Mailbox
from tests.recordings import message


def delivery(payload: str = "x", connection: int = 1, **more: int) -> Delivery:
    """Return an item that counts against the bound."""
    return Delivery(message(payload=payload, **more), connection, False, False)


async def test_items_come_out_in_order_of_arrival_from_any_thread() -> None:
    """Everything put by another thread is taken, in order, each item once."""
    mailbox = Mailbox(asyncio.get_running_loop())
    items = [delivery(str(number)) for number in range(5_000)]
    thread = threading.Thread(target=lambda: [mailbox.put(item) for item in items])
    thread.start()
    taken: list[Item] = []
    while len(taken) < len(items):
        part = await mailbox.take(700)
        assert 0 < len(part) <= 700
        taken += part
    thread.join()
    assert taken == items
    assert mailbox.is_empty


async def test_a_burst_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first item into an empty mailbox calls the loop; later ones ride along."""
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    usual = loop.call_soon_threadsafe

    def counted(callback: object, *args: object) -> object:
        calls.append(callback)
        return usual(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    mailbox = Mailbox(loop)
    for _ in range(100):
        mailbox.put(delivery())
    assert len(calls) == 1
    assert len(await mailbox.take(1000)) == 100
    mailbox.put(delivery())
    assert len(calls) == 2


async def test_take_waits_until_something_is_there() -> None:
    """An empty mailbox makes the consumer wait, and a put from a thread ends the wait."""
    mailbox = Mailbox(asyncio.get_running_loop())
    for _ in range(3):
        taking = asyncio.create_task(mailbox.take(10))
        await asyncio.sleep(0)
        assert not taking.done()
        await asyncio.to_thread(mailbox.put, delivery())
        assert len(await taking) == 1


async def test_a_cancelled_take_loses_nothing() -> None:
    """What arrives after a consumer gave up is there for the next."""
    mailbox = Mailbox(asyncio.get_running_loop())
    taking = asyncio.create_task(mailbox.take(10))
    await asyncio.sleep(0)
    mailbox.put(delivery("kept"))
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert await mailbox.take(10) == [delivery("kept")]


async def test_the_bound_in_messages_counts_until_they_are_done() -> None:
    """What was taken but is not stored still holds its place."""
    mailbox = Mailbox(asyncio.get_running_loop(), max_messages=3)
    assert [mailbox.put(delivery()) for _ in range(5)] == [True, True, True, False, False]
    taken = await mailbox.take(10)
    assert len(taken) == mailbox.depth == 3
    assert mailbox.put(delivery()) is False
    mailbox.done(taken[:1])
    assert mailbox.put(delivery()) is True
    assert mailbox.depth == 3


async def test_the_bound_in_bytes_counts_payloads_and_overhead() -> None:
    """Large payloads reach the bound before many messages do."""
    mailbox = Mailbox(asyncio.get_running_loop(), max_bytes=2 * (OVERHEAD_BYTES + 100))
    assert mailbox.put(delivery("x" * 100))
    assert not mailbox.put(delivery("x" * 101))
    assert mailbox.put(delivery("x" * 100))
    assert not mailbox.put(delivery(""))


async def test_one_message_larger_than_the_bound_passes_an_empty_mailbox() -> None:
    """A payload that could never fit beside others is taken alone, or the broker would resend it
    for ever."""
    mailbox = Mailbox(asyncio.get_running_loop(), max_bytes=1_000)
    assert mailbox.put(delivery("x" * 5_000))
    assert not mailbox.put(delivery(""))
    mailbox.done(await mailbox.take(1))
    assert mailbox.put(delivery(""))


async def test_markers_pass_a_full_mailbox() -> None:
    """News of a connection is never refused, and holds no place."""
    mailbox = Mailbox(asyncio.get_running_loop(), max_messages=1)
    mailbox.put(delivery())
    assert not mailbox.put(delivery())
    assert mailbox.put(Connected(2, True))
    assert mailbox.depth == 1
    assert await mailbox.take(5) == [delivery(), Connected(2, True)]


async def test_room_is_said_when_half_is_free() -> None:
    """After a refusal there is room again only when the mailbox is half empty."""
    mailbox = Mailbox(asyncio.get_running_loop(), max_messages=4)
    assert mailbox.wait_for_room(0)
    for _ in range(4):
        mailbox.put(delivery())
    assert mailbox.wait_for_room(0), "full, but nothing was refused"
    mailbox.put(delivery())
    taken = await mailbox.take(4)
    assert not mailbox.wait_for_room(0)
    mailbox.done(taken[:1])
    assert not mailbox.wait_for_room(0)
    waiting = asyncio.create_task(asyncio.to_thread(mailbox.wait_for_room, 10))
    mailbox.done(taken[1:2])
    assert await waiting
