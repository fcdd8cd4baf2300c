"""What arrives from the broker, sorted before it enters the mailbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.arrivals import MAX_SYS_TOPICS, Arrivals, subscription_number
from gateway.mailbox import Connected, Delivery, Mailbox
from gateway.metrics import Metrics
from store.topics import TopicFilter
from tests.recordings import NOW_US


class Door:
    """Arrivals with a mailbox behind it."""

    def __init__(self, **bounds: int) -> None:
        self.metrics = Metrics(lambda: 0.0)
        self.mailbox = Mailbox(asyncio.get_running_loop(), **bounds)
        self.arrivals = Arrivals(self.mailbox, self.metrics, lambda: NOW_US)
        self.arrivals.held = frozenset({1, 2, 3})
        self.arrivals.begin(1, False)

    def put(self, topic: str = "a/b", payload: bytes = b"1", **more: Any) -> None:
        """Have one delivery arrive."""
        usual = {"qos": 1, "retain": False, "dup": False, "packet_id": 7, "subscription_ids": ()}
        self.arrivals.put(topic, payload, **{**usual, "properties": None, **more})

    async def taken(self) -> list[Delivery]:
        """Return the deliveries that entered."""
        if self.mailbox.is_empty:
            return []
        items = await self.mailbox.take(10_000)
        self.mailbox.done(items)
        return [item for item in items if isinstance(item, Delivery)]


async def test_a_delivery_becomes_a_message_with_the_time_of_arrival() -> None:
    """Topic, payload, QoS, retain, properties and packet number enter the mailbox unchanged."""
    door = Door()
    door.put("a", b"\xff", retain=True, properties='{"content_type":"x"}')
    door.put("b", "ü".encode(), qos=0, packet_id=0)
    first, second = [delivery.message for delivery in await door.taken()]
    assert (first.topic, first.payload, first.retain, first.packet_id) == ("a", b"\xff", True, 7)
    assert (first.qos, first.timestamp_us, first.properties) == (1, NOW_US, '{"content_type":"x"}')
    assert (second.payload, second.qos, second.packet_id) == ("ü", 0, None)
    assert door.metrics.received_total == 2


async def test_a_new_connection_is_marked_before_what_it_brings() -> None:
    """The marker enters first, and deliveries carry the number of their connection."""
    door = Door()
    door.put()
    door.arrivals.begin(2, True)
    door.put()
    items = await door.mailbox.take(10)
    assert [items[0], items[2]] == [Connected(1, False), Connected(2, True)]
    assert [items[1].connection, items[3].connection] == [1, 2]


@pytest.mark.parametrize(("resumed", "dup"), [(True, True), (True, False), (False, True)])
async def test_a_delivery_is_a_redelivery_only_on_a_resumed_session(
    resumed: bool, dup: bool
) -> None:
    """The broker's mark counts only where CONNACK said that the session was there."""
    door = Door()
    door.arrivals.begin(2, resumed)
    door.put(dup=dup)
    assert [one.redelivered for one in await door.taken()] == [resumed and dup]


async def test_copies_for_overlapping_subscriptions_are_marked() -> None:
    """The same message for another subscription is an extra copy; for the same it is new."""
    door = Door()
    for number in (1, 2, 3, 1, 2, 2):
        door.put(subscription_ids=[number])
    marks = [one.extra_copy for one in await door.taken()]
    assert marks == [False, True, True, False, True, False]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"payload": b"1"}, {"payload": b"2"}),
        ({"topic": "a"}, {"topic": "b"}),
        ({"subscription_ids": ()}, {"subscription_ids": ()}),
        ({"subscription_ids": [1, 2]}, {"subscription_ids": [2]}),
    ],
)
async def test_other_messages_are_no_copies(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Another topic or payload, no identifiers, or one seen before: a message of its own."""
    door = Door()
    door.put(**{"subscription_ids": [1], **first})
    door.put(**{"subscription_ids": [2], **second})
    assert [one.extra_copy for one in await door.taken()] == [False, False]


async def test_there_are_no_copies_for_a_filter_that_was_let_go() -> None:
    """After a subscription was replaced, an equal message for the new one is a new message."""
    door = Door()
    door.put(subscription_ids=[1])
    door.arrivals.held = frozenset({2})
    door.put(subscription_ids=[2])
    assert [one.extra_copy for one in await door.taken()] == [False, False]


def test_the_number_of_a_filter_is_the_same_in_every_process() -> None:
    """A session resumed after a restart tells the filters apart: 1 to 268,435,455, by the text."""
    texts = ["#", "a/+", "ä/#", *(f"a/{number}" for number in range(1_000))]
    numbers = [subscription_number(text) for text in texts]
    assert len(set(numbers)) == len(texts)
    assert all(1 <= number <= 268_435_455 for number in numbers)
    assert subscription_number("#") == 6_659_847


async def test_a_message_between_ends_a_run_of_copies() -> None:
    """Copies come one after the other; what comes later is new."""
    door = Door()
    for topic, number in (("a", 1), ("b", 1), ("a", 2)):
        door.put(topic, subscription_ids=[number])
    assert [one.extra_copy for one in await door.taken()] == [False] * 3


@pytest.mark.parametrize("number", [1, 2])
async def test_the_first_message_of_a_connection_is_never_a_copy(number: int) -> None:
    """An equal message after a reconnect is stored: the copy's original was another delivery."""
    door = Door()
    door.put(subscription_ids=[1])
    door.arrivals.begin(2, True)
    door.put(subscription_ids=[number])
    assert [one.extra_copy for one in await door.taken()] == [False, False]


async def test_the_brokers_statistics_are_kept_beside() -> None:
    """$SYS is remembered by topic, and enters only where a subscription asks for it."""
    door = Door()
    door.put("$SYS/broker/uptime", b"1 s", qos=0)
    door.put("$SYS/broker/uptime", b"2 s\xff", qos=0)
    assert await door.taken() == []
    assert door.arrivals.broker_says == {"$SYS/broker/uptime": "2 s\ufffd"}
    assert door.metrics.received_total == 0
    door.arrivals.wanted = TopicFilter(["#"])
    door.put("$SYS/broker/uptime", b"3 s", qos=0)
    assert await door.taken() == [], "# does not match $SYS"
    door.put("$SYS/broker/uptime", b"4 s", qos=1)
    (said,) = await door.taken()
    assert said.not_wanted, "at QoS 1 it is acknowledged, and no more"
    door.arrivals.wanted = TopicFilter(["$SYS/broker/+"])
    door.put("$SYS/broker/uptime", b"5 s")
    (kept,) = await door.taken()
    assert (kept.message.payload, kept.not_wanted) == ("5 s", False)
    assert door.arrivals.broker_says == {"$SYS/broker/uptime": "5 s"}


async def test_a_broker_cannot_fill_the_memory_with_statistics() -> None:
    """Beyond the bound new $SYS topics are passed over, and known ones still renewed."""
    door = Door()
    for number in range(MAX_SYS_TOPICS + 50):
        door.put(f"$SYS/{number}", b"old")
    door.put("$SYS/0", b"new")
    assert len(door.arrivals.broker_says) == MAX_SYS_TOPICS
    assert door.arrivals.broker_says["$SYS/0"] == "new"


async def test_an_overflow_shuts_the_door_until_the_next_connection() -> None:
    """Once one message did not fit none enters behind it: order holds, and each is counted."""
    door = Door(max_messages=2)
    for number in range(3):
        door.put(payload=b"%d" % number)
    assert door.arrivals.overflowed
    taken = await door.taken()
    door.put(payload=b"3")
    door.put(payload=b"4", qos=0)
    assert await door.taken() == []
    assert door.metrics.dropped["mailbox_full_unacknowledged"] == 2
    assert door.metrics.dropped["mailbox_full_qos0"] == 1
    door.arrivals.begin(2, True)
    assert not door.arrivals.overflowed
    door.put(payload=b"2", dup=True)
    taken += await door.taken()
    assert [one.message.payload for one in taken] == ["0", "1", "2"]


async def test_what_was_refused_is_told_with_the_next_connection() -> None:
    """The numbers of new messages that did not fit, of that connection alone; a repeat that did
    not fit may be recorded already."""
    door = Door(max_messages=1)
    for number in range(1, 4):
        door.put(payload=b"x", packet_id=number)
    door.put(payload=b"x", packet_id=9, dup=True)
    await door.mailbox.take(100)
    door.arrivals.begin(2, True)
    door.arrivals.begin(3, True)
    found = await door.mailbox.take(100)
    assert found == [Connected(2, True, frozenset({2, 3})), Connected(3, True)]


async def test_what_could_not_be_taken_in_is_counted() -> None:
    """A failure at the door is visible in the metrics."""
    door = Door()
    try:
        raise KeyError("x")
    except KeyError:
        door.arrivals.failed("on_message", "it failed")
    assert door.metrics.failures.counts["on_message"] == 1


async def test_a_copy_that_a_cut_has_overtaken_is_still_a_copy() -> None:
    """The first of three copies was taken and acknowledged, then the connection was cut: the two
    others come again alone. An equal message that is new, or another session, is no copy."""
    door = Door()
    door.put(packet_id=1, subscription_ids=(1,))
    door.arrivals.begin(2, True)
    door.put(packet_id=2, subscription_ids=(2,), dup=True)
    door.put(packet_id=3, subscription_ids=(3,), dup=True)
    door.put(packet_id=4, subscription_ids=(2,))
    door.put(packet_id=5, subscription_ids=(3,))
    door.arrivals.begin(3, False)
    door.put(packet_id=6, subscription_ids=(1,), dup=True)
    assert [delivery.extra_copy for delivery in await door.taken()] == [
        *(False, True, True),
        *(False, True),
        False,
    ]


async def test_a_copy_not_sent_before_follows_its_message_that_is_sent_again() -> None:
    """The cut came between two copies that the broker had and had not sent."""
    door = Door()
    door.arrivals.begin(2, True)
    door.put(packet_id=1, subscription_ids=(1,), dup=True)
    door.put(packet_id=2, subscription_ids=(2,))
    assert [delivery.extra_copy for delivery in await door.taken()] == [False, True]
