"""The MQTT packets that we read and write ourselves: PUBLISH and PUBACK.

Answers for: taking PUBLISH and PUBACK packets out of bytes read ahead, packing acknowledgements,
and publishes of QoS 0 and 1. Does not: know paho, which reads and writes everything else. paho
spends some 40 us on each message, half of all the time that ingest takes
(docs/decisions/0013-reading-publish-ourselves.md).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

PUBLISH = 0x30
_QOS_1 = 0x02
_QOS_2 = 0x04
_DUP = 0x08
_MAX_LENGTH_BYTES = 4
_ACKNOWLEDGE = struct.Struct("!BBH").pack
_PUBACK = 0x40
_SUBSCRIPTION_IDENTIFIER = 0x0B


class Publish(NamedTuple):
    """One PUBLISH of QoS 0 or 1. `properties` are the packed bytes without their length, or b''."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int
    properties: bytes


class MalformedPacket(ValueError):
    """The broker sent what is not MQTT: the connection is of no use any more."""


def take_publishes(
    data: bytes, at: int, five: bool, at_most: int, take: Callable[[Publish], bool]
) -> int:
    """Give `take` each whole PUBLISH from `data[at:]` on; return where the first byte not taken is.

    Stops at any other packet, at QoS 2, at one that is not whole, after `at_most`, or when `take`
    returns False.
    """
    end = len(data)
    for _ in range(at_most):
        if at + 2 > end:
            return at
        first = data[at]
        if first & 0xF0 != PUBLISH or first & _QOS_2:
            return at
        length, body = _variable_length(data, at + 1, end)
        behind = body + length
        if length < 0 or behind > end:
            return at
        qos = first >> 1 & 1
        if length < 2:
            raise MalformedPacket("the broker sent a message without a topic")
        name_end = body + 2 + (data[body] << 8 | data[body + 1])
        if name_end + 2 * qos > behind:
            raise MalformedPacket("the broker sent a topic that is longer than its message")
        packet_id, rest = 0, name_end
        if qos:
            packet_id, rest = data[name_end] << 8 | data[name_end + 1], name_end + 2
        properties = b""
        if five:
            size, rest = _variable_length(data, rest, behind)
            if size < 0 or rest + size > behind:
                raise MalformedPacket("the broker sent properties longer than their message")
            if size:
                properties = data[rest : rest + size]
                rest += size
        go_on = take(
            Publish(
                data[body + 2 : name_end],
                data[rest:behind],
                qos,
                first & 1 == 1,
                first & 8 == 8,
                packet_id,
                properties,
            )
        )
        at = behind
        if not go_on:
            return at
    return at


def _variable_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return (value, place behind it) of a variable byte integer; -1 when it is not whole."""
    value = data[at] if at < end else -1
    if value < 0x80:  # nearly always
        return value, at + 1
    value &= 0x7F
    for place in range(1, _MAX_LENGTH_BYTES):
        if at + place >= end:
            return -1, at
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    return -1, at


def only_subscription_number(properties: bytes) -> int | None:
    """Return the subscription identifier if the properties are that and nothing else."""
    if properties[0] != _SUBSCRIPTION_IDENTIFIER:
        return None
    number, behind = _variable_length(properties, 1, len(properties))
    return number if behind == len(properties) and number >= 0 else None


def publish_packet(
    topic: str, payload: bytes, retain: bool, properties: bytes, packet_id: int = 0
) -> bytes:
    """Return a PUBLISH, of QoS 1 where it has a packet number.

    `properties` are packed, with their length; b'' for MQTT 3.1.1.
    """
    name = topic.encode("utf-8")
    number = packet_id.to_bytes(2, "big") if packet_id else b""
    length = 2 + len(name) + len(number) + len(properties) + len(payload)
    head = bytearray((PUBLISH | (_QOS_1 if packet_id else 0) | retain,))
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join((head, len(name).to_bytes(2, "big"), name, number, properties, payload))


def sent_again(packet: bytes) -> bytes:
    """Return a PUBLISH as it is sent once more: marked as a duplicate."""
    return bytes((packet[0] | _DUP,)) + packet[1:]


def take_acknowledgements(
    data: bytes, at: int, ours: Container[int]
) -> tuple[int, list[tuple[int, int]]]:
    """Return where the first byte not taken is, and (packet number, reason code) of each PUBACK
    from `data[at:]` on.

    Stops at any other packet, at one that is not whole, and at a number that is not `ours`.
    """
    found: list[tuple[int, int]] = []
    end = len(data)
    while at + 4 <= end and data[at] == _PUBACK:
        length = data[at + 1]
        packet_id = data[at + 2] << 8 | data[at + 3]
        behind = at + 2 + length
        if not 2 <= length < 0x80 or behind > end or packet_id not in ours:
            break
        found.append((packet_id, data[at + 4] if length > 2 else 0))
        at = behind
    return at, found


def acknowledgements(packet_ids: Iterable[int]) -> bytes:
    """Return a PUBACK (success) for each packet number, in order."""
    return b"".join([_ACKNOWLEDGE(_PUBACK, 2, packet_id) for packet_id in packet_ids])
