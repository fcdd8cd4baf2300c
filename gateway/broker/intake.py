"""The door that messages come in by, on the broker's thread.

Answers for: topic, payload and properties of a PUBLISH, read by us or by paho, handed to the
arrivals; and for a message that cannot be taken in, which is counted and costs no other. Does
not: connect, acknowledge, or wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from gateway.arrivals import Arrivals
from gateway.broker.packets import MalformedPacket, Publish, only_subscription_number
from gateway.broker.properties import read_properties

log = logging.getLogger(__name__)

# Names decoded once, and shared by all messages of a topic, and the same of subscription
# identifiers; beyond it the memory starts afresh.
TOPIC_MEMORY = 20_000


class Intake:
    """Takes messages in until the arrivals are full, and then calls `pause`. The broker's thread
    alone may call it."""

    def __init__(
        self, arrivals: Arrivals, pause: Callable[[], None], break_off: Callable[[], None]
    ) -> None:
        self._arrivals = arrivals
        self._pause = pause
        self._break_off = break_off
        self._topics: dict[bytes, str] = {}
        self._numbers: dict[bytes, tuple[int, ...]] = {}

    def take_publish(self, publish: Publish) -> bool:
        """Take in one message; return whether more may come. MalformedPacket when it is none."""
        try:
            topic, numbers, properties = self._read(publish)
        except Exception as error:
            if not (publish.qos and publish.dup):
                raise MalformedPacket(f"the broker sent a message that is none: {error}") from error
            self._arrivals.let_go(publish.packet_id)  # or it would come again for ever
            return True
        try:
            self._arrivals.put(
                topic,
                publish.payload,
                qos=publish.qos,
                retain=publish.retain,
                dup=publish.dup,
                packet_id=publish.packet_id,
                subscription_ids=numbers,
                properties=properties,
            )
        except Exception:
            self._failed(publish.qos, publish.dup, publish.packet_id)
            return False
        if self._arrivals.overflowed:
            self._pause()
            return False
        return True

    def _read(self, publish: Publish) -> tuple[str, Sequence[int], str | None]:
        topic = self._topics.get(publish.topic)
        if topic is None:
            if len(self._topics) >= TOPIC_MEMORY:
                self._topics.clear()
            topic = self._topics[publish.topic] = publish.topic.decode("utf-8")
        packed = publish.properties
        if not packed:
            return topic, (), None
        numbers = self._numbers.get(packed)
        if numbers is None:
            number = only_subscription_number(packed)
            if number is None:
                return topic, *_unpacked(packed)
            if len(self._numbers) >= TOPIC_MEMORY:
                self._numbers.clear()
            numbers = self._numbers[packed] = (number,)
        return topic, numbers, None

    def take_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        """Take in a message that paho has read."""
        try:
            topic = message.topic
            properties = message.properties
            ours = None if properties is None else read_properties(properties)
        except Exception:  # it ends the connection, as above; paho would swallow what we raise
            self._break_off()
            return
        try:
            self._arrivals.put(
                topic,
                bytes(message.payload),
                qos=message.qos,
                retain=bool(message.retain),
                dup=bool(message.dup),
                packet_id=message.mid,
                subscription_ids=getattr(properties, "SubscriptionIdentifier", ()),
                properties=ours,
            )
        except Exception:
            self._failed(message.qos, bool(message.dup), message.mid)
        if self._arrivals.overflowed:
            self._pause()

    def _failed(self, qos: int, dup: bool, packet_id: int) -> None:
        """See to it that what failed by chance comes again, and what always fails does not."""
        self._arrivals.failed("on_message", "a message from the broker could not be taken in")
        if qos and dup:
            self._arrivals.let_go(packet_id)
        elif qos:
            self._break_off()


def _unpacked(packed: bytes) -> tuple[Sequence[int], str | None]:
    """Return the subscription identifiers and our JSON of packed PUBLISH properties."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.unpack(VariableByteIntegers.encode(len(packed)) + packed)
    return getattr(properties, "SubscriptionIdentifier", ()), read_properties(properties)
