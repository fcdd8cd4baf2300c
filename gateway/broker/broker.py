"""The broker as the rest of the program sees it: orders, and their awaitable answers.

Answers for: subscribing and acknowledging, each failing with a named error, and what is known of
the connection; publishing.py has the way out. Does not: decide what to subscribe to (holdings.py)
or what becomes of a message (arrivals.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.arrivals import Arrivals, subscription_number
from gateway.broker.confirmations import Confirmations
from gateway.broker.errors import BrokerAway, BrokerRefused, PublishUnconfirmed
from gateway.broker.packets import acknowledgements
from gateway.broker.publishing import Publishing
from gateway.broker.session import STOPPING, Session
from gateway.broker.settings import BrokerSettings
from gateway.mailbox import Delivery, Mailbox

log = logging.getLogger(__name__)


class Broker:
    """The link to the broker. Lives on the event loop.

    `connection` is 0 while there is none, else it counts the connections of this process; `why`
    then says why. `on_change(connection)` is called when it changes. `publishing` is the way out.
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
        self._answers: Confirmations[list[ReasonCode]] = Confirmations()
        self._session = Session(settings, mailbox, arrivals, self)
        self.publishing = Publishing(self._session, settings.publish_timeout_s)

    @property
    def why(self) -> str:
        """Why there is no connection, or the empty text."""
        return self.publishing.away

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

        Raises what Publishing.begin and its future do.
        """
        if qos:
            return await self.publishing.begin(
                topic, payload, qos=qos, retain=retain, properties=properties
            )
        self.publishing.send(topic, payload, retain=retain, properties=properties)
        return None

    def give_up(self) -> None:
        """Have nobody wait for the broker any longer: the service stops."""
        self.publishing.give_up()
        self._answers.fail(PublishUnconfirmed("the service stops before the broker has answered"))

    async def subscribe(self, text: str, qos: int) -> int:
        """Send one SUBSCRIBE and wait for its SUBACK; return the QoS granted.

        Raises BrokerAway, PublishUnconfirmed, and BrokerRefused, also when the connection is
        lost over it.
        """
        self.publishing.require_connection()
        with self._session.open as (client, _):
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
        self.publishing.require_connection()
        with self._session.open as (client, _):
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
            with self._session.open as (client, connection):
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
        self.connection, self.protocol = connection, protocol
        self.publishing.connected(protocol == "5", max_packet_bytes, in_flight)
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
        self.publishing.away = why
        self._answers.fail(BrokerRefused(f"the connection to the broker was lost over it: {why}"))
        if was:
            self.publishing.cut(why)
            self._on_change(0)

    def on_published(self, packet_id: int, reason: ReasonCode) -> None:
        """The broker answered a PUBLISH, or one of QoS 0 has left."""
        self.publishing.answered(packet_id, reason)

    def on_answered(self, packet_id: int, reasons: list[ReasonCode]) -> None:
        """The broker answered a SUBSCRIBE or UNSUBSCRIBE."""
        self._answers.resolve(packet_id, reasons)
