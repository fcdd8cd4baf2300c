"""`POST /publish`: an order given to the broker.

Does not: write history or touch the hub; the broker sends the message back like any other.
"""

from __future__ import annotations

from typing import Any

from gateway.broker.broker import Broker
from gateway.metrics import Metrics
from handlers.base import Handler
from handlers.parsing import one_problem
from handlers.problems import Fault, Problem
from store.message import InvalidPayload, compact_json, decode_base64


class Publish(Handler):
    """`POST /publish`."""

    broker: Broker
    metrics: Metrics
    max_payload_bytes: int

    async def post(self) -> None:
        """Publish one message, and wait for the broker at QoS 1 and 2."""
        order = self.body()
        qos = order.get("qos", 0)
        payload = read_payload(order, self.max_payload_bytes)
        packet_id = await self.broker.publish(
            order["topic"],
            payload,
            qos=qos,
            retain=order.get("retain", False),
            properties=order.get("properties"),
        )
        self.metrics.published_total += 1
        self.reply(
            {
                "success": True,
                "message": "Message published successfully",
                "data": {"topic": order["topic"], "message_id": packet_id, "confirmed": qos > 0},
            }
        )


def read_payload(order: dict[str, Any], max_bytes: int) -> bytes:
    """Return the bytes that an order means; a Problem 422 or 413 when they cannot be sent."""
    given = order["payload"]
    if order.get("encoding") == "base64":
        try:
            if not isinstance(given, str):
                raise InvalidPayload("must be a text when encoding is base64")
            payload = decode_base64(given)
        except InvalidPayload as error:
            one_problem([Fault("/payload", str(error))])
    elif given is None:
        payload = b""
    else:
        payload = (given if isinstance(given, str) else compact_json(given)).encode("utf-8")
    if len(payload) > max_bytes:
        raise Problem(413, f"the payload has {len(payload)} bytes; at most {max_bytes} are allowed")
    return payload
