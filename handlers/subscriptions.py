"""`POST /subscribe`, `DELETE /subscribe/{topic}` and `GET /subscriptions`."""

from __future__ import annotations

from gateway.holdings import Holdings
from handlers.base import Handler
from handlers.problems import Problem
from store.message import iso_time


class Subscribe(Handler):
    """`POST /subscribe`."""

    holdings: Holdings

    async def post(self) -> None:
        """Hold a filter; answered when the broker has confirmed it."""
        order = self.body()
        granted = await self.holdings.subscribe(order["topic"], order.get("qos", 0))
        self.reply(
            {
                "success": True,
                "message": f"Subscribed to {order['topic']}",
                "data": {"topic": order["topic"], "qos": granted},
            }
        )


class Unsubscribe(Subscribe):
    """`DELETE /subscribe/{topic}`."""

    async def delete(self, topic: str) -> None:
        """Let a filter go."""
        self.query()
        self.contract.check_text("topic", topic, "topic-filter")
        covered_by = await self.holdings.unsubscribe(topic)
        if covered_by is None:
            raise Problem(404, f"there is no subscription to {topic}")
        self.reply(
            {
                "success": True,
                "message": f"Unsubscribed from {topic}",
                "data": {"topic": topic, "still_covered_by": covered_by},
            }
        )


class SubscriptionList(Subscribe):
    """`GET /subscriptions`."""

    def get(self) -> None:
        """List what the gateway holds."""
        self.query()
        self.reply(
            [
                {"topic": entry.topic, "qos": entry.qos, "since": iso_time(entry.since_us)}
                for entry in self.holdings.all()
            ]
        )
