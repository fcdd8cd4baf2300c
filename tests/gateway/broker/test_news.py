"""News of the broker reaches the event loop: all of it, in order, and whatever it leads to."""

from __future__ import annotations

import asyncio
import threading

from gateway.broker.news import Messenger

NEWS = 20_000


async def test_all_news_arrives_in_order_from_another_thread() -> None:
    """None is left lying, whenever it comes: 20,000, with the loop taking them meanwhile."""
    heard: list[int] = []
    last = asyncio.Event()
    messenger = Messenger(asyncio.get_running_loop(), lambda: None)

    def hear(number: int) -> None:
        heard.append(number)
        if number == NEWS - 1:
            last.set()

    thread = threading.Thread(target=lambda: [messenger.post(hear, n) for n in range(NEWS)])
    thread.start()
    async with asyncio.timeout(20):
        await last.wait()
    thread.join()
    assert heard == list(range(NEWS))


async def test_news_that_leads_to_an_error_costs_no_other() -> None:
    """The error is told to who asked for it, and the news behind it is heard."""
    heard: list[str] = []
    failures: list[str] = []
    done = asyncio.Event()
    messenger = Messenger(asyncio.get_running_loop(), lambda: failures.append("failed"))

    def fail() -> None:
        raise KeyError("x")

    messenger.post(fail)
    messenger.post(heard.append, "behind it")
    messenger.post(done.set)
    await asyncio.wait_for(done.wait(), 10)
    assert (heard, failures) == (["behind it"], ["failed"])
