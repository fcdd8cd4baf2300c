"""The broker as the rest of the program sees it: orders, and their awaitable answers.

Answers for: publishing, subscribing and acknowledging, each failing with a named error.
Does not: decide what to subscribe to (holdings.py) or what becomes of a message (arrivals.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.arrivals import Arrivals, subscription_number
from gateway.broker.client import BufferedClient
from gateway.broker.confirmations import Confirmations
from gateway.broker.errors import (
    BrokerAway,
    BrokerRefused,
    PropertiesUnsupported,
    PublishTooLarge,
    PublishUnconfirmed,
)
from gateway.broker.packets import acknowledgements
from gateway.broker.properties import write_properties
from gateway.broker.session import MAX_IN_FLIGHT, STOPPING, Session
from gateway.broker.settings import BrokerSettings
from gateway.broker.window import Window
from gateway.mailbox import Delivery, Mailbox

log = logging.getLogger(__name__)

EXACTLY_ONCE = 2
# Bytes that may wait for a broker that does not read; beyond it a publish is refused.
MAX_UNSENT_BYTES = 16 * 1024 * 1024
# A publish that so many connections were lost over is dropped: the broker will never take it.
MAX_CUTS = 3
# Bytes of a PUBLISH beside topic, payload and properties, at most.
PUBLISH_OVERHEAD_BYTES = 16


class Broker:
    """The link to the broker. Lives on the event loop.

    `connection` is 0 while there is none, else it counts the connections of this process; `why`
    then says why. `on_change(connection)` is called when it changes.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        mailbox: Mailbox,
        arrivals: Arrivals,
        *,
        on_change: Callable[[int], None],
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self.connection = 0
        self.protocol = ""
        self.why = "not connected yet"
        self._max_packet_bytes: int | None = None
        self._publishes = Window(
            MAX_IN_FLIGHT, settings.publish_timeout_s, _too_late, self._unconfirmed
        )
        self._answers: Confirmations[list[ReasonCode]] = Confirmations()
        self._cuts: dict[int, int] = {}
        self._flush_due = False
        self._session = Session(settings, mailbox, arrivals, self)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._session.link.start()

    async def stop(self, within_s: float = 3.0) -> None:
        """Say goodbye and leave, within the time given."""
        if self.connection and self._settings.status_topic:
            try:
                async with asyncio.timeout(within_s / 2):
                    await self.publish(self._settings.status_topic, b"offline", qos=1, retain=True)
            except (BrokerAway, BrokerRefused, PublishUnconfirmed, TimeoutError):
                pass  # the last will says it for us
        await self._loop.run_in_executor(None, self._session.link.stop, within_s / 2)

    @property
    def last_turn(self) -> float:
        """When the thread last went round its loop (monotonic s)."""
        return self._session.link.last_turn

    @property
    def connecting(self) -> bool:
        """Whether the thread is at an attempt to connect, which may take long."""
        return self._session.link.connecting

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> int | None:
        """Publish; at QoS 1 and 2 wait for the broker. Returns the packet number, None at QoS 0.

        The topic is valid (check_publish_name). Raises BrokerAway, BrokerRefused,
        PublishUnconfirmed, PublishTooLarge, PropertiesUnsupported.
        """
        if qos:
            return await self.begin_publish(
                topic, payload, qos=qos, retain=retain, properties=properties
            )
        self.send(topic, payload, retain=retain, properties=properties)
        return None

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish at QoS 0: what is sent is all that is known. Raises as `publish`."""
        self._require_connection()
        self._send(topic, payload, 0, retain, properties)

    def begin_publish(
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
        future has what else `publish` raises.
        """
        self._require_connection()
        return self._publishes.submit(lambda: self._send(topic, payload, qos, retain, properties))

    def give_up(self) -> None:
        """Have nobody wait for the broker any longer: the service stops."""
        unknown = PublishUnconfirmed(
            "the service stops before the broker has confirmed; whether it took the message is"
            " unknown"
        )
        self._publishes.give_up(BrokerAway("the service stops; nothing was sent"), unknown)
        self._answers.fail(PublishUnconfirmed("the service stops before the broker has answered"))

    async def all_sent(self) -> None:
        """Wait until all that `begin_publish` was called with by now has left, or failed."""
        await self._publishes.all_sent()

    def _unconfirmed(self) -> PublishUnconfirmed:
        return PublishUnconfirmed(
            f"the broker did not confirm within {self._settings.publish_timeout_s:g} s;"
            " whether it took the message is unknown"
        )

    def _require_connection(self) -> None:
        if not self.connection:
            raise BrokerAway(f"not connected to the broker: {self.why}")

    def _send(
        self, topic: str, payload: bytes, qos: int, retain: bool, given: Mapping[str, Any] | None
    ) -> int:
        with self._session.client() as (client, _):
            properties = None
            if given:
                if self.protocol != "5":
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
        if self.protocol == "5":
            packed = b"\0" if properties is None else properties.pack()
        packet_id = client.offer_publish(topic, payload, qos, retain, packed)
        if packet_id is not None and not self._flush_due:  # all of this turn leave together
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return packet_id

    def _flush(self) -> None:
        self._flush_due = False
        try:
            with self._session.client() as (client, _):
                if client.buffered is not None and not client.buffered.flush_now():
                    self._session.link.wake()
        except BrokerAway:
            pass  # at QoS 0 it is lost, as it may be; at QoS 1 it leaves on the next connection

    def _require_room(
        self, client: BufferedClient, topic: str, payload: bytes, properties: Properties | None
    ) -> None:
        size = len(topic.encode()) + len(payload) + PUBLISH_OVERHEAD_BYTES
        size += len(properties.pack()) if properties else 0
        if self._max_packet_bytes is not None and size > self._max_packet_bytes:
            raise PublishTooLarge(
                f"the broker takes packets of at most {self._max_packet_bytes} bytes"
            )
        if client.buffered is not None and client.buffered.unsent_bytes > MAX_UNSENT_BYTES:
            raise BrokerAway("the broker does not read what it is sent")

    async def subscribe(self, text: str, qos: int) -> int:
        """Send one SUBSCRIBE and wait for its SUBACK; return the QoS granted.

        Raises BrokerAway, PublishUnconfirmed, and BrokerRefused, also when the connection is
        lost over it.
        """
        self._require_connection()
        with self._session.client() as (client, _):
            if self.protocol == "5":
                properties = Properties(PacketTypes.SUBSCRIBE)
                properties.SubscriptionIdentifier = subscription_number(text)
                # retainHandling 1: retained messages only for a subscription that is new.
                options = SubscribeOptions(qos=qos, retainHandling=1)
                _, packet_id = client.subscribe(text, options=options, properties=properties)
            else:
                _, packet_id = client.subscribe(text, qos)
        reason = (await self._answer(packet_id))[0]
        if reason.is_failure:
            raise BrokerRefused(f"the broker refused the subscription: {reason}")
        return int(reason.value)

    async def unsubscribe(self, text: str) -> None:
        """Send one UNSUBSCRIBE and wait for its UNSUBACK. Raises as `subscribe`."""
        self._require_connection()
        with self._session.client() as (client, _):
            _, packet_id = client.unsubscribe(text)
        await self._answer(packet_id)

    async def _answer(self, packet_id: int | None) -> list[ReasonCode]:
        if packet_id is None:
            raise BrokerAway("the connection to the broker was just lost")
        try:
            deadline = self._loop.time() + self._settings.publish_timeout_s
            return await self._answers.wait(packet_id, deadline)
        except TimeoutError:
            raise PublishUnconfirmed("the broker did not answer in time") from None

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Tell the broker that these are stored; those of an earlier connection are passed over."""
        try:
            with self._session.client() as (client, connection):
                packet_ids = [
                    delivery.message.packet_id
                    for delivery in deliveries
                    if delivery.message.packet_id is not None and delivery.connection == connection
                ]
                if packet_ids and client.buffered is not None:
                    client.buffered.post(acknowledgements(packet_ids))
                    if not client.buffered.flush_now():
                        self._session.link.wake()
        except BrokerAway:
            pass  # the broker delivers them again, and they are recognised

    def begin_anew(self) -> None:
        """Break the connection off and make another: what was not acknowledged comes again."""
        self._session.link.interrupt()

    # -- news from the session -------------------------------------------------------------------

    def on_connected(
        self, connection: int, protocol: str, max_packet_bytes: int | None, in_flight: int
    ) -> None:
        """There is a connection."""
        self.connection, self.protocol, self.why = connection, protocol, ""
        self._max_packet_bytes = max_packet_bytes
        self._publishes.places = in_flight
        log.info(
            "connected to the broker at %s:%d with MQTT %s",
            self._settings.host,
            self._settings.port,
            protocol,
        )
        self._on_change(connection)

    def on_disconnected(self, why: str) -> None:
        """There is none, or an attempt failed."""
        was, self.connection = self.connection, 0
        if was or why != self.why:
            log.log(
                logging.INFO if why == STOPPING else logging.WARNING,
                "not connected to the broker at %s:%d: %s",
                self._settings.host,
                self._settings.port,
                why,
            )
        self.why = why
        self._answers.fail(BrokerRefused(f"the connection to the broker was lost over it: {why}"))
        if was:
            self._count_cut(why)
            self._on_change(0)

    def _count_cut(self, why: str) -> None:
        """Each publish has its own count: others are confirmed on the connections that one of them
        costs, and it may go on after its caller has been told that the outcome is unknown."""
        before = self._cuts
        self._cuts = {one: before.get(one, 0) + 1 for one in self._session.unconfirmed()}
        given_up = [one for one, cuts in self._cuts.items() if cuts >= MAX_CUTS]
        self._session.forget(given_up)
        for packet_id in given_up:
            error = BrokerRefused(f"the broker dropped the connection {MAX_CUTS} times: {why}")
            if not self._publishes.refuse(packet_id, error):
                log.warning("%s; a publish that nobody waits for any more is dropped", error)

    def on_published(self, packet_id: int, reason: ReasonCode) -> None:
        """The broker answered a PUBLISH, or one of QoS 0 has left."""
        if not reason.is_failure:
            self._publishes.confirm(packet_id)
        elif not self._publishes.refuse(
            packet_id, BrokerRefused(f"the broker refused the message: {reason}")
        ):
            log.warning(  # nobody but the session publishes without waiting
                "the broker refused our status (MQTT_STATUS_TOPIC): %s; its access rules must let"
                " us write that topic, or leave the variable empty",
                reason,
            )

    def on_answered(self, packet_id: int, reasons: list[ReasonCode]) -> None:
        """The broker answered a SUBSCRIBE or UNSUBSCRIBE."""
        self._answers.resolve(packet_id, reasons)


def _too_late() -> BrokerAway:
    return BrokerAway("too many publishes wait for the broker; nothing was sent")
