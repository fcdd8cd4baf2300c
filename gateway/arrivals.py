"""What arrives from the broker, sorted before it enters the mailbox.

Answers for: telling the broker's own statistics from messages, and a second copy of a message
from a new one. Does not: know paho. Runs on the broker's thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from gateway.decisions import explain_refusal
from gateway.mailbox import Connected, Delivery, Mailbox
from gateway.metrics import Metrics
from store.message import Message, text_or_bytes
from store.topics import TopicFilter

SYS_PREFIX = "$SYS/"
# mosquitto has some sixty; a hostile broker may not fill the memory with them.
MAX_SYS_TOPICS = 500
MAX_SUBSCRIPTION_NUMBER = 268_435_455  # MQTT 5.0, 3.8.2.1.2


def subscription_number(text: str) -> int:
    """Return the MQTT 5 subscription identifier of a filter: the same in every process, so that
    a session resumed after a restart still tells which filter a copy came for."""
    return 1 + zlib.crc32(text.encode("utf-8")) % MAX_SUBSCRIPTION_NUMBER


class Arrivals:
    """The door through which every message enters. Broker's thread only, but for `broker_says`.

    `wanted` and `held` are replaced as a whole by the event loop when the subscriptions change.
    """

    def __init__(self, mailbox: Mailbox, metrics: Metrics, now_us: Callable[[], int]) -> None:
        self._mailbox = mailbox
        self._metrics = metrics
        self._now_us = now_us
        self._connection = 0
        self._resumed = False
        self._last: tuple[str, bytes] = ("", b"")
        self._copies: Sequence[int] = ()
        self._is_of_before = False
        """Whether the last message came on the connection before this one."""
        self._refused: set[int] = set()
        self.overflowed = False
        """The mailbox was full: nothing more enters from this connection."""
        self.broker_says: dict[str, str] = {}
        self.wanted = TopicFilter(())
        self.held: frozenset[int] = frozenset()
        """Identifiers of the filters held at the broker: only between these are there copies."""

    def begin(self, connection: int, session_present: bool) -> None:
        """A new connection to the broker is up."""
        self._connection = connection
        self._resumed = session_present
        # A copy that the cut overtook comes again alone, once its message was acknowledged.
        self._is_of_before = session_present
        if not session_present:
            self._last, self._copies = ("", b""), ()
        self.overflowed = False
        self._mailbox.put(Connected(connection, session_present, frozenset(self._refused)))
        self._refused.clear()

    def put(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        dup: bool,
        packet_id: int,
        subscription_ids: Sequence[int],
        properties: str | None,
    ) -> None:
        """Take one delivery. It enters the mailbox, or is counted where it does not."""
        if topic.startswith(SYS_PREFIX):
            if len(self.broker_says) < MAX_SYS_TOPICS or topic in self.broker_says:
                self.broker_says[topic] = payload.decode("utf-8", "replace")
            if not self.wanted.matches(topic):
                if qos:  # unacknowledged, these would fill the broker's window and stop all others
                    said = Message(topic, "", self._now_us(), qos, retain, None, packet_id)
                    self._mailbox.put(Delivery(said, self._connection, False, False, True))
                return
        self._metrics.received_total += 1
        if self._is_of_before and not dup:  # from here on all is of this connection
            self._is_of_before = False
            self._last, self._copies = ("", b""), ()
        message = Message(
            topic,
            text_or_bytes(payload),
            self._now_us(),
            qos,
            retain,
            properties,
            packet_id if qos else None,
        )
        delivery = Delivery(
            message,
            self._connection,
            dup and self._resumed,
            bool(subscription_ids) and self._is_copy(topic, payload, subscription_ids),
        )
        if self.overflowed or not self._mailbox.put(delivery):
            # Not acknowledged: a persistent session delivers QoS 1 again. QoS 0 is lost.
            self.overflowed = True
            if qos and not dup:
                self._refused.add(packet_id)
            explain_refusal(message)
            self._metrics.dropped[
                "mailbox_full_qos0" if not qos else "mailbox_full_unacknowledged"
            ] += 1

    def failed(self, place: str, sentence: str) -> None:
        """Something that nobody expected happened on the broker's thread, or to its news."""
        self._metrics.failures.caught(place, sentence)

    def let_go(self, packet_id: int) -> None:
        """A message that cannot be taken in, however often it comes: acknowledge it, or those
        behind it would never come."""
        self._metrics.dropped["unreadable"] += 1
        empty = Message("", "", self._now_us(), 1, False, None, packet_id)
        self._mailbox.put(Delivery(empty, self._connection, False, False, True))

    def _is_copy(self, topic: str, payload: bytes, subscription_ids: Sequence[int]) -> bool:
        """Whether this is one more copy of the message before it, for another subscription.

        A broker sends the copies for overlapping subscriptions one after the other, each with
        another identifier; the same identifier again is a new message. So is one after a
        subscription was replaced: the filter of the message before it is not held any more.
        """
        same = (
            self._last == (topic, payload)
            and set(self._copies).isdisjoint(subscription_ids)
            and self.held.issuperset(self._copies)
        )
        if same:
            self._copies = (*self._copies, *subscription_ids)
        else:
            self._last = (topic, payload)
            self._copies = subscription_ids
            self._is_of_before = False
        return same
