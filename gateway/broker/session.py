"""The paho side of the link: a client for each connection, and what it tells us.

Answers for: which MQTT version is tried next, why a connection ended, and handing news to the
event loop in bursts. Does not: say what a connection asks for (new_client.py), wait for answers
(broker.py) or decide when to reconnect (link.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.arrivals import Arrivals
from gateway.broker.buffered_socket import BufferedSocket
from gateway.broker.client import BufferedClient
from gateway.broker.intake import Intake
from gateway.broker.link import Link
from gateway.broker.new_client import new_client
from gateway.broker.news import Messenger, News
from gateway.broker.open_connection import OpenConnection
from gateway.broker.reasons import login_refused
from gateway.broker.settings import BrokerSettings
from gateway.mailbox import Mailbox

log = logging.getLogger(__name__)

# More than this at once, and mosquitto silently drops part of a burst of QoS 2 (measured).
MAX_IN_FLIGHT = 20
# Another client took our session: two gateways with one client id throw each other out for ever.
SESSION_TAKEN_OVER = 142
UNSPECIFIED = 128
TAKEN_OVER_DELAY_S = 60.0
# Connections that ended so soon after the broker had accepted them, and how many of them in a row
# look like a second client with our id.
SHORT_LIFE_S = 0.5
MAX_SHORT_LIVES = 8
PAUSED = "paused until the messages that wait are stored"
STOPPING = "stopping"
LOST = "the connection was lost ({})"
CLOSED = LOST.format("closed by the other side")
STARTING_CLEAN = "starting a clean session"
BROKEN_OFF = "broken off after an error of ours, to begin anew"
# An error that comes again with each connection may not keep the broker busy.
BROKEN_OFF_DELAY_S = 1.0


class Session:
    """The connections to the broker, one after the other, on a thread of their own.

    `link` belongs to the event loop, `open` to both; everything below them to the thread.
    """

    def __init__(
        self, settings: BrokerSettings, mailbox: Mailbox, arrivals: Arrivals, news: News
    ) -> None:
        self._settings = settings
        self._arrivals = arrivals
        self._news = news
        self.open = OpenConnection()
        # The thread's own.
        self._client: BufferedClient | None = None
        self._connections = 0
        self._old_protocol = settings.protocol == "3.1.1"
        self._old_protocol_tried = False
        self._wiped = False
        self._answered = False
        self._lost_because = ""
        self._delay_s = 0.0
        self._short_lives = 0
        self._intake = Intake(arrivals, self._pause, self._break_off)
        self.link = Link(
            self._prepare,
            self._ended,
            mailbox.wait_for_room,
            self._leave,
            self._break_off,
            arrivals.failed,
        )
        self._messenger = Messenger(asyncio.get_running_loop(), self._news_failed)

    def _news_failed(self) -> None:
        """What followed from the news is half done: begin anew."""
        self._arrivals.failed("news", "news of the broker led to an error; beginning anew")
        self.link.interrupt()

    def unconfirmed(self) -> list[int]:
        """Return the numbers of the publishes that are sent again on the next connection."""
        client = self._client
        return [] if client is None else client.unconfirmed()

    def forget(self, packet_ids: Iterable[int]) -> None:
        """Send these publishes no more."""
        client = self._client
        if client is not None:
            client.forget(packet_ids)

    # -- one connection --------------------------------------------------------------------------

    def _prepare(self) -> tuple[BufferedClient, Callable[[], BufferedSocket | None]]:
        if self._client is None:
            self._client = self._make_client()
        self._answered = False
        self._lost_because = ""
        self._delay_s = 0.0
        return self._client, self._client.open_socket

    def _make_client(self) -> BufferedClient:
        client = new_client(
            self._settings, MAX_IN_FLIGHT, five=not self._old_protocol, wiped=self._wiped
        )
        self._set_callbacks(client)
        return client

    def _set_callbacks(self, client: BufferedClient) -> None:
        client.on_connect = self._guarded("on_connect", self._on_connect)
        client.on_disconnect = self._guarded("on_disconnect", self._on_disconnect)
        client.on_message = self._intake.take_message
        client.take_publish = self._intake.take_publish
        client.on_publish = self._guarded("on_publish", self._on_publish)
        client.on_confirmed = self._guarded("on_publish", self._on_confirmed)
        client.on_subscribe = self._guarded("on_subscribe", self._on_answer)
        client.on_unsubscribe = client.on_subscribe
        client.on_socket_register_write = lambda _client, _data, _socket: self.link.wake()

    def _guarded(self, name: str, callback: Callable[..., None]) -> Callable[..., None]:
        """Return the callback for paho, which would swallow what it throws and go on with half a
        connection."""

        def guarded(*values: Any) -> None:
            try:
                callback(*values)
            except Exception:
                self._arrivals.failed(name, f"{name} failed; the connection is made anew")
                self._break_off()

        return guarded

    def _on_connect(
        self,
        client: Client,
        _data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        assert isinstance(client, BufferedClient)
        self._answered = True
        if reason.is_failure:
            self._lost_because = login_refused(str(reason))
            self._client = None
            return
        if self._old_protocol and self._settings.clean_session and not self._wiped:
            # MQTT 3.1.1 has no "start clean, then resume": wipe the session, then begin anew.
            self._wiped, self._client, self._lost_because = True, None, STARTING_CLEAN
            client.disconnect()
            return
        self._connections += 1
        self.link.established()
        self._arrivals.begin(self._connections, flags.session_present)
        client.send_again()
        self.open.put(client, self._connections)
        protocol = "3.1.1" if self._old_protocol else "5"
        self._messenger.post(
            self._news.on_connected,
            self._connections,
            protocol,
            getattr(properties, "MaximumPacketSize", None),
            min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT)),
        )
        if self._settings.status_topic:
            client.publish(self._settings.status_topic, "online", qos=1, retain=True)

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.open.clear()
        if flags.is_disconnect_packet_from_server:
            self._lost_because = f"the broker closed the connection: {reason}"
            if reason.value == SESSION_TAKEN_OVER:
                self._lost_because += "; is there another client with this client id?"
                self._delay_s = TAKEN_OVER_DELAY_S
        elif not self._lost_because:
            how = str(reason)
            if reason.value == UNSPECIFIED:  # all that paho knows of the end of a socket
                how = "reset" if self._was_reset() else "closed by the other side"
            self._lost_because = LOST.format(how)

    def _on_publish(
        self, _client: Client, _data: Any, packet_id: int, reason: ReasonCode, _properties: Any
    ) -> None:
        self._messenger.post(self._news.on_published, packet_id, reason)

    def _on_confirmed(self, packet_id: int, reason: ReasonCode) -> None:
        self._messenger.post(self._news.on_published, packet_id, reason)

    def _on_answer(
        self, _client: Client, _data: Any, packet_id: int, reasons: Any, _properties: Any
    ) -> None:
        self._messenger.post(self._news.on_answered, packet_id, reasons)

    def _pause(self) -> None:
        """Leave until the messages that wait are stored; the broker keeps what comes meanwhile."""
        if not self._lost_because and self._client is not None:
            self._lost_because = PAUSED
            self._client.disconnect()

    def _break_off(self) -> None:
        """Leave, and come back: what was not acknowledged is then delivered again."""
        if not self._lost_because and self._client is not None:
            self._lost_because, self._delay_s = BROKEN_OFF, BROKEN_OFF_DELAY_S
            self._client.disconnect()

    def _leave(self) -> None:
        """Say goodbye; a clean session is to end now, not after its expiry."""
        client = self._client
        if client is None:
            return
        self._lost_because = STOPPING
        properties = None
        if self._settings.clean_session and not self._old_protocol:
            properties = Properties(PacketTypes.DISCONNECT)
            properties.SessionExpiryInterval = 0
        client.disconnect(properties=properties)

    def _ended(self, failure: str) -> float:
        self.open.clear()
        was_open = self._answered and not failure
        if self._lost_because == STARTING_CLEAN:
            return 0.0
        if self._settings.protocol == "auto" and not failure and not self._connections:
            refused_version = "protocol version" in self._lost_because.lower()
            if not self._answered or refused_version:  # try the other protocol next
                self._old_protocol = not self._old_protocol
                self._client = None
                if not self._old_protocol_tried:
                    self._old_protocol_tried = True
                    log.info(
                        "the broker at %s:%d does not speak MQTT 5 with us; trying 3.1.1",
                        self._settings.host,
                        self._settings.port,
                    )
                    return 0.0  # nothing is wrong yet
        if was_open and self._lost_because == CLOSED:
            self._count_short_life()
        else:
            self._short_lives = 0  # nobody threw us out
        self._messenger.post(
            self._news.on_disconnected, failure or self._lost_because or "the connection was lost"
        )
        return self._delay_s

    def _was_reset(self) -> bool:
        """Whether the network broke the connection: who is thrown out sees it closed."""
        client = self._client
        return client is not None and client.buffered is not None and client.buffered.was_reset

    def _count_short_life(self) -> None:
        """Back off when the broker throws us out time after time, without saying why, as soon as
        it has let us in: mosquitto 2.0 does that to the older of two clients with one id."""
        self._short_lives = self._short_lives + 1 if self.link.accepted_for_s < SHORT_LIFE_S else 0
        if self._short_lives >= MAX_SHORT_LIVES:
            self._short_lives = 0
            self._lost_because += "; is there another client with this client id?"
            self._delay_s = TAKEN_OVER_DELAY_S
