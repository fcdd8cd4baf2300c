"""`POST /subscribe`, `DELETE /subscribe/{topic}` and `GET /subscriptions`."""

from __future__ import annotations

from gateway.holdings import Holdings
from gateway.orders import Orders
from handlers.base import Handler
from handlers.permits import permit_subscribe, permits_filter
from handlers.problems import Problem
from store.message import iso_time


class Subscribe(Handler):
    """`POST /subscribe`."""

    orders: Orders

    async def post(self) -> None:
        """Hold a filter; answered when the broker has confirmed it."""
        self.query()
        order = self.body()
        self.audited = f"subscribe {order['topic']!r}"
        permit_subscribe(self.caller, order["topic"])
        data = await self.orders.subscribe(order)
        self.reply({"success": True, "message": f"Subscribed to {data['topic']}", "data": data})


class Unsubscribe(Handler):
    """`DELETE /subscribe/{topic}`."""

    orders: Orders

    async def delete(self, topic: str) -> None:
        """Let a filter go."""
        self.query()
        self.contract.check_text("topic", topic, "topic-filter")
        self.audited = f"unsubscribe {topic!r}"
        permit_subscribe(self.caller, topic)
        data = await self.orders.unsubscribe(topic)
        if data is None:
            raise Problem(404, f"there is no subscription to {topic}")
        self.reply({"success": True, "message": f"Unsubscribed from {topic}", "data": data})


class SubscriptionList(Handler):
    """`GET /subscriptions`."""

    holdings: Holdings

    def get(self) -> None:
        """List what the gateway holds."""
        self.query()
        self.reply(
            [
                {"topic": entry.topic, "qos": entry.qos, "since": iso_time(entry.since_us)}
                for entry in self.holdings.all()
                if permits_filter(self.caller, entry.topic)
            ]
        )
