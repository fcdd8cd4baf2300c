"""PUBLISH packets, read by us and by paho: the same comes out of both."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.broker.buffered_socket import BufferedSocket
from gateway.broker.client import BufferedClient
from gateway.broker.packets import (
    Publish,
    acknowledgements,
    only_subscription_number,
    publish_packet,
    sent_again,
    take_acknowledgements,
    take_publishes,
)


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _packet(publish: Publish, five: bool) -> bytes:
    body = struct.pack("!H", len(publish.topic)) + publish.topic
    if publish.qos:
        body += struct.pack("!H", publish.packet_id)
    if five:
        body += _length(len(publish.properties)) + publish.properties
    body += publish.payload
    first = 0x30 | publish.dup << 3 | publish.qos << 1 | publish.retain
    return bytes([first]) + _length(len(body)) + body


def _content_type(text: str) -> bytes:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = text
    return bytes(properties.pack()[1:])


def _publishes(five: bool) -> st.SearchStrategy[Publish]:
    properties = st.just(b"")
    if five:
        numbers = st.integers(1, 268_435_455).map(lambda number: b"\x0b" + _length(number))
        properties = st.one_of(st.just(b""), numbers, st.just(_content_type("text/plain")))
    return st.builds(
        Publish,
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).map(str.encode),
        st.one_of(st.binary(max_size=20), st.integers(100, 20_000).map(bytes)),
        st.integers(0, 1),
        st.booleans(),
        st.booleans(),
        st.integers(1, 65_535),
        properties,
    ).map(lambda one: one if one.qos else one._replace(packet_id=0))


class _Fed:
    """A connected socket that has so much to read, then nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        if not self._data:
            raise BlockingIOError
        part, self._data = self._data[:size], self._data[size:]
        return part


def _by_paho(data: bytes, five: bool) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []

    def on_message(_client: Client, _data: object, message: MQTTMessage) -> None:
        found.append(
            (
                message.topic.encode(),
                bytes(message.payload),
                message.qos,
                bool(message.retain),
                bool(message.dup),
                message.mid,
            )
        )

    protocol = MQTTv5 if five else MQTTv311
    client = Client(CallbackAPIVersion.VERSION2, "x", protocol=protocol, manual_ack=True)
    client.on_message = on_message
    client._sock = _Fed(data)  # type: ignore[assignment]
    for _ in range(data.count(b"") + 1):
        if not client._sock._data:  # type: ignore[union-attr]
            break
        client.loop_read()
    client._sock = None
    return found


@pytest.mark.parametrize("five", [True, False])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_both_roads_give_the_same_messages(five: bool, data: st.DataObject) -> None:
    """Whatever a broker sends, our reader and paho's take the same messages out of it."""
    sent = data.draw(st.lists(_publishes(five), max_size=6))
    content = b"".join(_packet(one, five) for one in sent)
    taken: list[Publish] = []
    behind = take_publishes(content, 0, five, 100, lambda one: taken.append(one) or True)
    assert behind == len(content)
    assert taken == sent
    assert [one[:6] for one in taken] == _by_paho(content, five)


@settings(max_examples=60, deadline=None)
@given(sent=st.lists(_publishes(True), min_size=1, max_size=4), data=st.data())
def test_a_cut_packet_is_left_whole_for_later(sent: list[Publish], data: st.DataObject) -> None:
    """Bytes of a packet that has not all come are not taken, wherever the cut is."""
    content = b"".join(_packet(one, True) for one in sent)
    cut = data.draw(st.integers(0, len(content) - 1))
    taken: list[Publish] = []
    at = take_publishes(content[:cut], 0, True, 100, lambda one: taken.append(one) or True)
    assert take_publishes(content, at, True, 100, lambda one: taken.append(one) or True) == len(
        content
    )
    assert taken == sent


@pytest.mark.parametrize(
    "other", [b"\xd0\x00", b"\x40\x02\x00\x01", b"\x34\x07\x00\x01a\x00\x01\x00x", b"\x90\x03"]
)
def test_other_packets_are_left_to_paho(other: bytes) -> None:
    """PINGRESP, PUBACK, a QoS 2 PUBLISH and SUBACK are not touched."""
    first = Publish(b"a", b"1", 1, False, False, 7, b"")
    content = _packet(first, True) + other
    taken: list[Publish] = []
    behind = take_publishes(content, 0, True, 100, lambda one: taken.append(one) or True)
    assert (taken, content[behind:]) == ([first], other)


def test_the_reader_stops_when_told() -> None:
    """A taker that says no gets nothing more, and the bound of a burst holds."""
    content = b"".join(
        _packet(Publish(b"a", b"%d" % n, 1, False, False, n, b""), False) for n in range(1, 6)
    )
    taken: list[Publish] = []
    take_publishes(content, 0, False, 100, lambda one: bool(taken.append(one)))
    assert [one.packet_id for one in taken] == [1]
    behind = take_publishes(content, 0, False, 3, lambda one: True)
    assert behind == 3 * len(content) // 5


@pytest.mark.parametrize("number", [1, 127, 128, 16_384, 268_435_455])
def test_a_subscription_identifier_alone_is_read(number: int) -> None:
    """The property that every delivery may carry costs no Properties object."""
    assert only_subscription_number(b"\x0b" + _length(number)) == number
    assert only_subscription_number(b"\x0b" + _length(number) + _content_type("x")) is None
    assert only_subscription_number(_content_type("x")) is None


def test_acknowledgements_are_those_of_the_specification() -> None:
    """Each is a PUBACK with its packet number, one after the other."""
    assert acknowledgements([1, 65_535]) == b"\x40\x02\x00\x01\x40\x02\xff\xff"


def test_a_client_takes_what_is_whole_and_paho_the_rest() -> None:
    """A packet cut by the end of the buffer is finished by paho, and nothing is lost or doubled."""
    sent = [Publish(b"a/b", b"%d" % n, 0, False, False, 0, b"") for n in range(50)]
    content = b"".join(_packet(one, True) for one in sent)
    cut = len(content) // 2 + 3
    seen: list[bytes] = []
    client = BufferedClient(CallbackAPIVersion.VERSION2, "x", protocol=MQTTv5, manual_ack=True)
    client.on_message = lambda _client, _data, message: seen.append(bytes(message.payload))
    client.take_publish = lambda one: seen.append(one.payload) or True

    class Parts(_Fed):
        family = socket.AF_UNIX

        def recv(self, size: int) -> bytes:
            return super().recv(cut)

    client.buffered = BufferedSocket(Parts(content))  # type: ignore[arg-type]
    client._sock = client.buffered  # type: ignore[assignment]
    for _ in range(60):
        client.loop_read()
    client._sock = None
    assert seen == [one.payload for one in sent]


def test_a_message_that_comes_alone_takes_the_short_road() -> None:
    """paho reads none of a message for which nothing was read ahead: it would cost five times as
    much, for each message of a stream that is not dense."""
    taken: list[bytes] = []
    client = BufferedClient(CallbackAPIVersion.VERSION2, "x", protocol=MQTTv5, manual_ack=True)
    client.on_message = lambda *_: pytest.fail("paho read it")
    client.take_publish = lambda one: taken.append(one.payload) or True
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client.buffered = BufferedSocket(ours)
        client._sock = client.buffered  # type: ignore[assignment]
        for payload in (b"first", b"second"):
            theirs.sendall(_packet(Publish(b"a/b", payload, 0, False, False, 0, b""), True))
            client.loop_read()
        client._sock = None
    assert taken == [b"first", b"second"]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), five=st.booleans())
def test_a_publish_that_we_write_is_one_that_paho_would_write(
    data: st.DataObject, five: bool
) -> None:
    """The same bytes, whatever the size of topic, payload and properties, at QoS 0 and 1, and once
    more marked as a duplicate."""
    publish = data.draw(_publishes(five))._replace(dup=False)
    properties = _length(len(publish.properties)) + publish.properties if five else b""
    written = publish_packet(
        publish.topic.decode(), publish.payload, publish.retain, properties, publish.packet_id
    )
    assert written == _packet(publish, five)
    assert sent_again(written) == _packet(publish._replace(dup=True), five)


ANSWERS = [
    (b"\x40\x02\x00\x07", (7, 0)),
    (b"\x40\x03\x01\x00\x10", (256, 0x10)),
    (b"\x40\x04\x00\x09\x87\x00", (9, 0x87)),
]


@given(
    st.lists(st.sampled_from(ANSWERS), max_size=6),
    st.sampled_from([b"", b"\x40", b"\x40\x02\x00", b"\x50\x02\x00\x07", b"\x40\x02\x00\x08"]),
)
def test_acknowledgements_are_taken_up_to_what_is_none_of_ours(
    answers: list[tuple[bytes, tuple[int, int]]], behind: bytes
) -> None:
    """Packet number and reason of each; half a packet, another one and another's are left."""
    data = b"before" + b"".join(packet for packet, _ in answers)
    found = take_acknowledgements(data + behind, len(b"before"), {7, 9, 256})
    assert found == (len(data), [answer for _, answer in answers])


def test_what_is_confirmed_leaves_once_and_what_is_not_leaves_again() -> None:
    """A publish of QoS 1 that left past paho is answered by its number; on the next connection
    only what was not confirmed is sent, as a duplicate; what was forgotten is not."""
    client = BufferedClient(CallbackAPIVersion.VERSION2, "x", protocol=MQTTv5, manual_ack=True)
    confirmed: list[tuple[int, int]] = []
    client.on_confirmed = lambda number, reason: confirmed.append((number, reason.value))
    client.take_publish = lambda _one: True
    ours, theirs = socket.socketpair()
    with ours, theirs:
        client.buffered = BufferedSocket(ours)
        client._sock = client.buffered  # type: ignore[assignment]
        numbers = [client.offer_publish("a", b"x", 1, False, b"\0") for _ in range(3)]
        assert client.buffered.flush_now()
        first, second, third = (number or 0 for number in numbers)
        assert len({first, second, third, 0}) == 4
        sent = theirs.recv(1_000)
        assert sent == b"".join(
            publish_packet("a", b"x", False, b"\0", one or 0) for one in numbers
        )
        refused = b"\x40\x03" + second.to_bytes(2, "big") + b"\x87"
        theirs.sendall(acknowledgements([first]) + refused)
        client.loop_read()
        assert confirmed == [(first, 0), (second, 0x87)]
        client.send_again()
        assert client.offer_publish("a", b"new", 0, False, b"\0") == 0
        assert client.buffered.flush_now()
        again = sent_again(publish_packet("a", b"x", False, b"\0", third))
        assert theirs.recv(1_000) == again + publish_packet("a", b"new", False, b"\0")
        assert client.unconfirmed() == [third]
        client.forget([third])
        client.send_again()
        assert client.offer_publish("a", b"y", 0, False, b"\0") == 0
        assert client.buffered.flush_now()
        assert theirs.recv(1_000) == publish_packet("a", b"y", False, b"\0")
        client._sock = None


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_an_answer_that_comes_in_two_parts_is_an_answer(cut: int) -> None:
    """The end of what was read ahead may be anywhere in a PUBACK; paho then reads it."""
    client = BufferedClient(CallbackAPIVersion.VERSION2, "x", protocol=MQTTv5, manual_ack=True)
    confirmed: list[tuple[int, int]] = []
    client.on_confirmed = lambda number, reason: confirmed.append((number, reason.value))
    client.take_publish = lambda _one: True
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        client.buffered = BufferedSocket(ours)
        client._sock = client.buffered  # type: ignore[assignment]
        number = client.offer_publish("a", b"x", 1, False, b"\0") or 0
        packet = b"\x40\x03" + number.to_bytes(2, "big") + b"\x10"
        for part in (packet[:cut], packet[cut:]):
            theirs.sendall(part)
            client.loop_read()
        assert confirmed == [(number, 0x10)]
        client._sock = None
