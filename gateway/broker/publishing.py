"""Publishing over the connection that is open: at QoS 0 at once, else with an answer to wait for.

Answers for: which road a PUBLISH takes out of this process, what fits, how many are in flight, and
giving up one that the broker will never take. Does not: connect, subscribe, or know who asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.broker.client import BufferedClient
from gateway.broker.errors import (
    BrokerAway,
    BrokerRefused,
    PropertiesUnsupported,
    PublishTooLarge,
    PublishUnconfirmed,
)
from gateway.broker.properties import write_properties
from gateway.broker.session import MAX_IN_FLIGHT, Session
from gateway.broker.window import Window

log = logging.getLogger(__name__)

EXACTLY_ONCE = 2
# Bytes that may wait for a broker that does not read; beyond it a publish is refused.
MAX_UNSENT_BYTES = 16 * 1024 * 1024
# A publish that so many connections were lost over is dropped: the broker will never take it.
MAX_CUTS = 3
# Bytes of a PUBLISH beside topic, payload and properties, at most.
PUBLISH_OVERHEAD_BYTES = 16


class Publishing:
    """What leaves for the broker as a PUBLISH. Lives on the event loop.

    `away` is why nothing can be sent now, or the empty text.
    """

    def __init__(self, session: Session, timeout_s: float) -> None:
        self._session = session
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self.away = "not connected yet"
        self._five = False
        self._max_packet_bytes: int | None = None
        self._window = Window(MAX_IN_FLIGHT, timeout_s, _too_late, self._unconfirmed)
        self._cuts: dict[int, int] = {}
        self._flush_due = False

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish at QoS 0: what is sent is all that is known.

        The topic is valid (check_publish_name). Raises BrokerAway, PublishTooLarge,
        PropertiesUnsupported.
        """
        self.require_connection()
        self._send(topic, payload, 0, retain, properties)

    def begin(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> asyncio.Future[int]:
        """Publish at QoS 1 or 2; the future has the packet number once the broker confirmed it.

        They leave in order, each when there is a place in flight for it. Raises BrokerAway; the
        future has what else `send` raises, or BrokerRefused or PublishUnconfirmed.
        """
        self.require_connection()
        return self._window.submit(lambda: self._send(topic, payload, qos, retain, properties))

    async def all_sent(self) -> None:
        """Wait until all that `begin` was called with by now has left, or failed."""
        await self._window.all_sent()

    def give_up(self) -> None:
        """Have nobody wait for the broker any longer: the service stops."""
        unknown = PublishUnconfirmed(
            "the service stops before the broker has confirmed; whether it took the message is"
            " unknown"
        )
        self._window.give_up(BrokerAway("the service stops; nothing was sent"), unknown)

    def require_connection(self) -> None:
        """Raise BrokerAway while there is none."""
        if self.away:
            raise BrokerAway(f"not connected to the broker: {self.away}")

    # -- what becomes of the connection ----------------------------------------------------------

    def connected(self, five: bool, max_packet_bytes: int | None, in_flight: int) -> None:
        """There is a connection, of MQTT 5 or not, with what the broker takes at once."""
        self.away = ""
        self._five = five
        self._max_packet_bytes = max_packet_bytes
        self._window.places = in_flight

    def cut(self, why: str) -> None:
        """The connection was lost, and what is not confirmed may be the reason.

        Each publish has its own count: others are confirmed on the connections that one of them
        costs, and it may go on after its caller has been told that the outcome is unknown.
        """
        before = self._cuts
        self._cuts = {one: before.get(one, 0) + 1 for one in self._session.unconfirmed()}
        given_up = [one for one, cuts in self._cuts.items() if cuts >= MAX_CUTS]
        self._session.forget(given_up)
        for packet_id in given_up:
            error = BrokerRefused(f"the broker dropped the connection {MAX_CUTS} times: {why}")
            if not self._window.refuse(packet_id, error):
                log.warning("%s; a publish that nobody waits for any more is dropped", error)

    def answered(self, packet_id: int, reason: ReasonCode) -> None:
        """The broker answered a PUBLISH, or one of QoS 0 has left."""
        if not reason.is_failure:
            self._window.confirm(packet_id)
        elif not self._window.refuse(
            packet_id, BrokerRefused(f"the broker refused the message: {reason}")
        ):
            log.warning(  # nobody but the session publishes without waiting
                "the broker refused our status (MQTT_STATUS_TOPIC): %s; its access rules must let"
                " us write that topic, or leave the variable empty",
                reason,
            )

    # -- the ways out ----------------------------------------------------------------------------

    def _send(
        self, topic: str, payload: bytes, qos: int, retain: bool, given: Mapping[str, Any] | None
    ) -> int:
        with self._session.open as (client, _):
            properties = None
            if given:
                if not self._five:
                    raise PropertiesUnsupported(
                        "properties need MQTT 5, and the broker speaks 3.1.1 with us"
                    )
                properties = write_properties(given, Properties(PacketTypes.PUBLISH))
            self._require_room(client, topic, payload, properties)
            if qos < EXACTLY_ONCE:
                packet_id = self._offer(client, topic, payload, qos, retain, properties)
                if packet_id is not None:
                    return packet_id
            info = client.publish(topic, payload, qos, retain, properties)
        if not qos and info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
            raise BrokerAway("the connection to the broker was just lost")
        return info.mid

    def _offer(
        self,
        client: BufferedClient,
        topic: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: Properties | None,
    ) -> int | None:
        """Publish from here, without waking the broker's thread (decision 0016); return the packet
        number, or None where that cannot be."""
        packed = b""
        if self._five:
            packed = b"\0" if properties is None else properties.pack()
        packet_id = client.offer_publish(topic, payload, qos, retain, packed)
        if packet_id is not None and not self._flush_due:  # all of this turn leave together
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return packet_id

    def _flush(self) -> None:
        self._flush_due = False
        try:
            with self._session.open as (client, _):
                if client.buffered is not None and not client.buffered.flush_now():
                    self._session.link.wake()
        except BrokerAway:
            pass  # at QoS 0 it is lost, as it may be; at QoS 1 it leaves on the next connection

    def _require_room(
        self, client: BufferedClient, topic: str, payload: bytes, properties: Properties | None
    ) -> None:
        if self._max_packet_bytes is not None:
            size = len(topic.encode()) + len(payload) + PUBLISH_OVERHEAD_BYTES
            size += len(properties.pack()) if properties else 0
            if size > self._max_packet_bytes:
                raise PublishTooLarge(
                    f"the broker takes packets of at most {self._max_packet_bytes} bytes"
                )
        if client.buffered is not None and client.buffered.unsent_bytes > MAX_UNSENT_BYTES:
            raise BrokerAway("the broker does not read what it is sent")

    def _unconfirmed(self) -> PublishUnconfirmed:
        return PublishUnconfirmed(
            f"the broker did not confirm within {self._timeout_s:g} s;"
            " whether it took the message is unknown"
        )


def _too_late() -> BrokerAway:
    return BrokerAway("too many publishes wait for the broker; nothing was sent")
