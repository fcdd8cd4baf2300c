"""paho's client, as we use it: reading ahead, and what paho leaves undone.

Answers for: every reach into paho's private parts (docs/decisions/ says why each; the version is
pinned, and tests fail when paho changes). Does not: know what a message means to us.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.broker.buffered_socket import BufferedSocket
from gateway.broker.packets import (
    MalformedPacket,
    Publish,
    publish_packet,
    sent_again,
    take_acknowledgements,
    take_publishes,
)

# Reason codes from here on are refusals (MQTT 5.0, section 2.4).
FIRST_FAILURE = 128
ACCEPTED = ReasonCode(PacketTypes.PUBACK, identifier=0)
# Packets taken before anything is written: bounds how long an acknowledgement waits.
READ_BURST = 500


class BufferedClient(Client):
    """paho's client over a BufferedSocket: see docs/decisions/0003-reading-ahead.md.

    Whole PUBLISH packets of QoS 0 and 1 go straight to `take_publish`; paho reads the rest.
    """

    buffered: BufferedSocket | None = None
    take_publish: Callable[[Publish], bool] | None = None
    on_confirmed: Callable[[int, ReasonCode], None] | None = None
    """Called for the answer to what `offer_publish` has sent at QoS 1."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unconfirmed: dict[int, bytes] = {}
        """Packets of QoS 1 that left past paho, by number; they leave again on the next
        connection, as paho's own do."""

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read what was read ahead; else, or between two packets, let paho read."""
        buffered, take = self.buffered, self.take_publish
        if buffered is not None and take is not None and not self._in_packet["command"]:
            data, at = buffered.look()
            five = self._protocol == MQTTv5
            behind = take_publishes(data, at, five, READ_BURST, take)
            if behind > at:
                buffered.skip_to(behind)
                return MQTTErrorCode.MQTT_ERR_SUCCESS
            if self._unconfirmed and self._take_acknowledgements(buffered, data, at):
                return MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            return super().loop_read(max_packets)
        except (OSError, ValueError):
            raise
        except Exception as error:  # our own callbacks are guarded: it is paho, reading
            raise MalformedPacket(f"the broker sent what is not MQTT ({error})") from error

    def loop_write(self) -> MQTTErrorCode:
        """Write what is queued, with nothing of another thread in between."""
        if self.buffered is None:
            return super().loop_write()
        with self.buffered.sending:
            return super().loop_write()

    def _take_acknowledgements(self, buffered: BufferedSocket, data: bytes, at: int) -> bool:
        behind, answers = take_acknowledgements(data, at, self._unconfirmed)
        buffered.skip_to(behind)
        for packet_id, code in answers:
            self._answered(packet_id, code)
        return bool(answers)

    def _handle_pubackcomp(self, cmd: Any) -> MQTTErrorCode:
        """Take an answer to one of ours that paho has read: one that was cut by the end of what
        was read ahead."""
        packet = self._in_packet["packet"]
        packet_id = int.from_bytes(packet[:2], "big")
        if cmd == "PUBACK" and len(packet) >= 2 and packet_id in self._unconfirmed:
            self._answered(packet_id, packet[2] if len(packet) > 2 else 0)
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        return super()._handle_pubackcomp(cmd)

    def _answered(self, packet_id: int, code: int) -> None:
        try:
            reason = ReasonCode(PacketTypes.PUBACK, identifier=code) if code else ACCEPTED
        except Exception as error:
            raise MalformedPacket(f"the broker sent an unknown reason ({code})") from error
        self._unconfirmed.pop(packet_id, None)
        if self.on_confirmed is not None:
            self.on_confirmed(packet_id, reason)

    def offer_publish(
        self, topic: str, payload: bytes, qos: int, retain: bool, properties: bytes
    ) -> int | None:
        """Have a PUBLISH of QoS 0 or 1 leave past paho with `buffered.flush_now`, from any thread.

        Returns its packet number, 0 at QoS 0; None when others have to leave first. `properties`
        are packed, with their length; empty for MQTT 3.1.1.
        """
        if self.buffered is None or self.want_write():
            return None
        packet_id = self._free_number() if qos else 0
        packet = publish_packet(topic, payload, retain, properties, packet_id)
        if packet_id:  # before it leaves: the answer may come at once
            self._unconfirmed[packet_id] = packet
        if self.buffered.offer(packet):
            return packet_id
        self._unconfirmed.pop(packet_id, None)
        return None

    def _free_number(self) -> int:
        """Return the next packet number, one of paho's, that nothing waits for."""
        while True:
            packet_id: int = self._mid_generate()
            if packet_id not in self._unconfirmed and packet_id not in self._out_messages:
                return packet_id

    def send_again(self) -> None:
        """Send what is not confirmed once more, on a connection that was just made."""
        if self.buffered is not None:
            for packet in list(self._unconfirmed.values()):
                self.buffered.send(sent_again(packet))  # before anything that is offered later

    def unconfirmed(self) -> list[int]:
        """Return the numbers of the publishes that are sent again on the next connection."""
        with self._out_message_mutex:
            return [*self._unconfirmed, *self._out_messages]

    def forget(self, packet_ids: Iterable[int]) -> None:
        """Send these publishes no more."""
        with self._out_message_mutex:
            for packet_id in packet_ids:
                self._unconfirmed.pop(packet_id, None)
                self._out_messages.pop(packet_id, None)

    def _create_socket(self) -> Any:
        plain: Any = super()._create_socket()
        # Writes leave joined already, so Nagle's algorithm would only delay the last of them.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffered = BufferedSocket(plain)
        return self.buffered

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """Shake hands; paho leaves the socket open when that fails."""
        assert self._ssl_context is not None
        wrapped = self._ssl_context.wrap_socket(
            tcp_sock, server_hostname=self._host, do_handshake_on_connect=False
        )
        try:
            wrapped.settimeout(self._connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _handle_pubrec(self) -> MQTTErrorCode:
        """Take a refusal at QoS 2 for the answer that it is; paho would go on with a PUBREL."""
        packet = self._in_packet["packet"]
        if self._protocol == MQTTv5 and len(packet) > 2 and packet[2] >= FIRST_FAILURE:
            packet_id = int.from_bytes(packet[:2], "big")
            reason = ReasonCode(PacketTypes.PUBREC, identifier=packet[2])
            with self._out_message_mutex:
                if packet_id in self._out_messages:
                    return self._do_on_publish(packet_id, reason, Properties(PacketTypes.PUBREC))
        return super()._handle_pubrec()

    def open_socket(self) -> BufferedSocket | None:
        """Return the socket while there is a connection."""
        return self.buffered if self.socket() is not None else None
