"""What is ordered of a broker, and held at it, while there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.arrivals import Arrivals
from gateway.broker.broker import Broker
from gateway.broker.errors import BrokerAway, BrokerRefused
from gateway.broker.settings import BrokerSettings
from gateway.holdings import Holdings
from gateway.hub import Hub
from gateway.mailbox import Mailbox
from gateway.metrics import Metrics
from gateway.orders import Orders
from store.database import Database
from store.subscriptions import Subscriptions
from store.topics import TopicFilter


@asynccontextmanager
async def without_broker(
    directory: Path, kind: type[Broker] = Broker
) -> AsyncIterator[tuple[Orders, Holdings]]:
    """Put together what gives orders to a broker, and never connect."""
    database = await Database.open(directory / "history.db")
    metrics, mailbox = Metrics(lambda: 0.0), Mailbox(asyncio.get_running_loop())
    arrivals = Arrivals(mailbox, metrics, lambda: 0)
    settings = BrokerSettings("127.0.0.1", 1, "test")
    broker = kind(settings, mailbox, arrivals, on_change=lambda _connection: None)
    stored = Subscriptions(database)
    holdings = Holdings(broker, stored, arrivals, now_us=lambda: 0, follow_statistics=False)
    orders = Orders(
        broker,
        holdings,
        Hub(),
        metrics,
        max_payload_bytes=100,
        max_pending_requests=1,
        reply_topic="reply",
        monotonic=lambda: 0.0,
    )
    try:
        yield orders, holdings
    finally:
        await broker.stop(0.1)
        await database.close()


async def test_a_request_that_cannot_listen_takes_nothing_from_another(tmp_path: Path) -> None:
    """The filter for replies is shared: one request that fails at once leaves it to those that
    wait, who would else miss their reply after a reconnect."""
    async with without_broker(tmp_path) as (orders, holdings):
        holdings._own["reply/+"], holdings._uses["reply/+"] = 1, 1  # another request waits
        for _ in range(2):  # its own place is given back
            with pytest.raises(BrokerAway):
                await orders.request({"topic": "a", "payload": "1"})
        assert (holdings._uses["reply/+"], holdings._own["reply/+"]) == (1, 1)


async def test_a_filter_that_the_broker_refused_feeds_nobody(tmp_path: Path) -> None:
    """The welcome of a stream names what no subscription feeds, and a refused one feeds nothing."""
    async with without_broker(tmp_path) as (_, holdings):
        await holdings.load([("plant/#", 1), ("office/#", 1)])
        holdings.refused["office/#"] = "not authorised"
        assert holdings.uncovered(TopicFilter(["plant/a", "office/b"])) == ["office/b"]


class Choosy(Broker):
    """A broker that is there, and refuses some filters: mosquitto refuses none on its own."""

    refuses = frozenset({"b/#"})

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.connection = 1
        self.holds: set[str] = set()

    async def subscribe(self, text: str, qos: int) -> int:
        if text in self.refuses:
            raise BrokerRefused(f"the broker refused {text}: not authorised")
        self.holds.add(text)
        return qos

    async def unsubscribe(self, text: str) -> None:
        self.holds.remove(text)


async def test_a_change_refused_half_way_is_taken_back(tmp_path: Path) -> None:
    """Letting `#` go needs both of the narrower filters: when one is refused, the broker holds
    what it held before, no filter twice over another, and all three are still wanted."""
    async with without_broker(tmp_path, Choosy) as (_, holdings):
        await holdings.load([("#", 1), ("a/#", 1), ("b/#", 1)])
        broker = cast(Choosy, holdings._broker)
        await holdings.subscribe("#", 1)
        assert broker.holds == {"#"}
        with pytest.raises(BrokerRefused):
            await holdings.unsubscribe("#")
        assert broker.holds == {"#"}
        assert [entry.topic for entry in holdings.all()] == ["#", "a/#", "b/#"]
