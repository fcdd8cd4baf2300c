"""Orders given to the broker over the API: one code for HTTP and WebSocket.

Answers for: what a valid publish, batch, subscribe or request order does. Does not: validate
the order (the contract has) or know how it was sent.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.broker.broker import Broker
from gateway.broker.errors import PublishUnconfirmed
from gateway.holdings import Holdings
from gateway.hub import Hub
from gateway.metrics import Metrics
from store.message import InvalidPayload, Message, compact_json, decode_base64
from store.topics import TopicFilter


class PayloadTooLarge(ValueError):
    """More bytes than MAX_PAYLOAD_BYTES."""


class TooManyRequests(Exception):
    """MAX_PENDING_REQUESTS requests wait for their reply already."""


class NoReply(Exception):
    """Nothing came back in time. `confirmed`: whether the broker took the request."""

    def __init__(self, timeout_s: float, confirmed: bool) -> None:
        super().__init__(f"no reply came within {timeout_s:g} s")
        self.confirmed = confirmed


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request, and the seconds between the two."""

    message: Message
    rtt_s: float


class Orders:
    """What callers may have the broker do. Lives on the event loop."""

    def __init__(
        self,
        broker: Broker,
        holdings: Holdings,
        hub: Hub,
        metrics: Metrics,
        *,
        max_payload_bytes: int,
        max_pending_requests: int,
        reply_topic: str,
        monotonic: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._holdings = holdings
        self._hub = hub
        self._metrics = metrics
        self._max_payload_bytes = max_payload_bytes
        self._max_pending_requests = max_pending_requests
        self._pending_requests = 0
        self._reply_topic = reply_topic
        self._monotonic = monotonic

    @property
    def broker_is_away(self) -> str:
        """Why nothing can be sent now, or the empty text."""
        return "" if self._broker.connection else f"not connected to the broker: {self._broker.why}"

    async def publish(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Publish one message; return the `data` of the answer.

        Raises InvalidPayload, PayloadTooLarge, or a BrokerError.
        """
        waiting = self.begin(order)
        return self.confirmed(order, None if waiting is None else await waiting)

    def send(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Publish one message at QoS 0, at once; return and raise as `publish`."""
        self._broker.publishing.send(
            order["topic"],
            payload_of(order, self._max_payload_bytes),
            retain=order.get("retain", False),
            properties=order.get("properties"),
        )
        self._metrics.published_total += 1
        return _outcome(order, None)

    def begin(self, order: Mapping[str, Any]) -> asyncio.Future[int] | None:
        """Send one message; return what has its packet number once the broker confirmed it, None
        at QoS 0. Tell `confirmed` then. Raises as `publish`, or the future does.
        """
        if not order.get("qos", 0):
            self.send(order)
            return None
        return self._broker.publishing.begin(
            order["topic"],
            payload_of(order, self._max_payload_bytes),
            qos=order["qos"],
            retain=order.get("retain", False),
            properties=order.get("properties"),
        )

    async def all_sent(self) -> None:
        """Wait until all that was begun has left: what is sent then is behind it."""
        await self._broker.publishing.all_sent()

    def confirmed(self, order: Mapping[str, Any], packet_id: int | None) -> dict[str, Any]:
        """Count what `begin` has begun, now that it is done; return the `data` of the answer."""
        if packet_id is not None:
            self._metrics.published_total += 1
        return _outcome(order, packet_id)

    async def subscribe(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Hold a filter; return the `data` of the answer. Raises a BrokerError."""
        granted = await self._holdings.subscribe(order["topic"], order.get("qos", 0))
        return {"topic": order["topic"], "qos": granted}

    async def unsubscribe(self, topic: str) -> dict[str, Any] | None:
        """Let a filter go; return the `data` of the answer, or None when there is no such one."""
        covered_by = await self._holdings.unsubscribe(topic)
        return None if covered_by is None else {"topic": topic, "still_covered_by": covered_by}

    async def request(self, order: Mapping[str, Any]) -> Reply:
        """Publish a request and wait for its reply.

        Raises NoReply, TooManyRequests, InvalidPayload, PayloadTooLarge, or a BrokerError.
        """
        if self._pending_requests >= self._max_pending_requests:
            raise TooManyRequests("too many requests wait for their reply already")
        payload = payload_of(order, self._max_payload_bytes)
        token = secrets.token_hex(8)
        topic = order.get("response_topic") or f"{self._reply_topic}/{token}"
        correlation = base64.b64encode(token.encode()).decode()
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        def notice(message: Message) -> None:
            # A replay of a retained message is older than the request.
            if not reply.done() and not message.retain and is_reply(message, correlation):
                reply.set_result(message)

        self._pending_requests += 1
        end = self._hub.watch(TopicFilter((topic,)), notice)
        held = order.get("response_topic") or f"{self._reply_topic}/+"
        try:
            await self._holdings.hold(held)  # what failed holds nothing to be released
            try:
                return await self._exchange(order, payload, topic, correlation, reply)
            finally:
                await self._holdings.release(held)
        finally:
            end()
            self._pending_requests -= 1

    async def _exchange(
        self,
        order: Mapping[str, Any],
        payload: bytes,
        topic: str,
        correlation: str,
        reply: asyncio.Future[Message],
    ) -> Reply:
        properties = None
        if self._broker.protocol == "5":
            properties = {"response_topic": topic, "correlation_data": correlation}
        timeout_s = order.get("timeout", 5)
        started = self._monotonic()
        confirmed = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._broker.publish(
                    order["topic"], payload, qos=order.get("qos", 1), properties=properties
                )
                confirmed = order.get("qos", 1) > 0
                self._metrics.published_total += 1
                return Reply(await reply, self._monotonic() - started)
        except (TimeoutError, PublishUnconfirmed):
            raise NoReply(timeout_s, confirmed) from None


def _outcome(order: Mapping[str, Any], packet_id: int | None) -> dict[str, Any]:
    return {"topic": order["topic"], "message_id": packet_id, "confirmed": packet_id is not None}


def is_reply(message: Message, correlation: str) -> bool:
    """Whether a message on the response topic answers this request: a responder that sends
    correlation data must send ours."""
    if message.properties is None or '"correlation_data"' not in message.properties:
        return True
    return f'"correlation_data":"{correlation}"' in message.properties


def payload_of(order: Mapping[str, Any], max_bytes: int) -> bytes:
    """Return the bytes that an order means; InvalidPayload or PayloadTooLarge."""
    given = order["payload"]
    if order.get("encoding") == "base64":
        if not isinstance(given, str):
            raise InvalidPayload("must be a text when encoding is base64")
        payload = decode_base64(given)
    elif given is None:
        payload = b""
    else:
        payload = (given if isinstance(given, str) else compact_json(given)).encode("utf-8")
    if len(payload) > max_bytes:
        raise PayloadTooLarge(
            f"the payload has {len(payload)} bytes; at most {max_bytes} are allowed"
        )
    return payload
