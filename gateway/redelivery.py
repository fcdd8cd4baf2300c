"""Recognising what a broker delivers again because an acknowledgement was lost.

Answers for: which delivery repeats a message that is already recorded. Does not: store or
acknowledge anything. A rule that is too eager throws real messages away, since packet numbers
and payloads recur; docs/decisions/0004-redeliveries.md explains each condition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from gateway.mailbox import Connected, Delivery
from store.message import Message

# There are no more MQTT packet numbers than this.
MAX_PACKET_ID = 65_535


class _Seen(NamedTuple):
    packet_id: int
    topic: str
    payload_hash: int
    message_id: int | None
    message: Message | None  # only until it is stored and has its id

    def is_same(self, message: Message) -> bool:
        return self.topic == message.topic and self.payload_hash == hash(message.payload)

    def stored_id(self) -> int | None:
        return self.message_id if self.message is None else self.message.id


class RedeliveryWindow:
    """What the broker may send again. Lives on the event loop, used by the recorder alone."""

    def __init__(self) -> None:
        self._before: dict[int, _Seen] = {}  # of earlier connections of this session
        # (packet_id, topic, hash of the payload, id): plain tuples of plain values, since one is
        # kept for each message and the garbage collector need not look at those.
        self._current: deque[tuple[int, str, int, int | None]] = deque(maxlen=MAX_PACKET_ID)
        self._repeated: list[_Seen] = []  # carried over into the present window
        self._session = 0
        self._waiting: deque[tuple[int, Message]] = deque()  # (session, recorded, not stored yet)
        self._carried: list[_Seen] = []
        self._expecting = False
        self._new_window: list[_Seen] | None = None
        self._original: Message | None = None  # what a copy for another subscription is one of
        self._copies: list[tuple[int, Message]] = []  # (packet_id, original), not written down yet

    def restore(self, rows: Sequence[tuple[int, str, str | bytes, int]]) -> None:
        """Begin with what an earlier process stored: (packet_id, topic, payload, id)."""
        for packet_id, topic, payload, message_id in rows:
            self._before[packet_id] = _Seen(packet_id, topic, hash(payload), message_id, None)

    def connected(self, event: Connected) -> None:
        """Take note of a new connection to the broker."""
        if event.session_present:
            for row in self._current:
                self._before[row[0]] = _Seen(*row, None)
            for seen in self._repeated:
                self._before.setdefault(seen.packet_id, seen)
            for session, message in self._waiting:
                if session == self._session:
                    seen = _seen(message)
                    self._before[seen.packet_id] = seen
            for packet_id, original in self._copies:
                self._before[packet_id] = _seen(original, packet_id)
            for packet_id in event.refused:
                self._before.pop(packet_id, None)
        else:
            self._session += 1  # what still waits can no longer be redelivered
            self._before.clear()
            self._new_window = []
        self._copies.clear()
        self._current.clear()
        self._repeated.clear()
        self._carried.clear()
        self._expecting = event.session_present

    def is_known(self, delivery: Delivery) -> bool:
        """Return whether this delivery repeats a recorded message; otherwise record it."""
        message = self._original = delivery.message
        if message.packet_id is None:
            return False
        if self._expecting:
            if delivery.redelivered:
                earlier = self._before.get(message.packet_id)
                if earlier is not None and earlier.is_same(message):
                    self._carried.append(earlier)
                    self._original = None
                    return True
                self._carried.append(_seen(message))
            else:  # the first new message: everything unacknowledged has been sent again
                self._expecting = False
                self._before.clear()
                self._new_window, self._carried = self._carried, []
                self._repeated.extend(self._new_window)
        self._waiting.append((self._session, message))
        return False

    def copied(self, delivery: Delivery) -> None:
        """Take note of one more copy of the message before it: it may be sent again alone."""
        packet_id = delivery.message.packet_id
        if packet_id is not None and self._original is not None:
            self._copies.append((packet_id, self._original))

    @property
    def copies(self) -> Sequence[tuple[int, Message]]:
        """What the next append must write down, too: packet_id -> the message it is a copy of."""
        return self._copies

    def dropped(self) -> None:
        """Take note that what was recorded and not stored yet never will be: it is to come again,
        and must not be taken for known then."""
        self._waiting.clear()
        self._copies.clear()

    def change(self) -> dict[int, int] | None:
        """Return what the next append must write down: packet_id -> id of the rows that count
        beside those that it stores, or None when nothing changed."""
        if self._new_window is None:
            return None
        carried = {}
        for seen in self._new_window:
            message_id = seen.stored_id()
            if message_id is not None:
                carried[seen.packet_id] = message_id
        return carried

    def stored(self, messages: Sequence[Message]) -> None:
        """Take note that an append succeeded."""
        self._new_window = None
        for message in messages:
            if message.packet_id is None:
                continue
            session, _ = self._waiting.popleft()
            if session == self._session:
                self._current.append(
                    (message.packet_id, message.topic, hash(message.payload), message.id)
                )
        if self._copies:
            self._keep_copies()

    def _keep_copies(self) -> None:
        """Keep what was written down as plain values; the rest belongs to later appends."""
        for packet_id, original in self._copies:
            if original.id is not None:
                row = (packet_id, original.topic, hash(original.payload), original.id)
                self._current.append(row)
        later = {id(message) for _, message in self._waiting}
        self._copies = [copy for copy in self._copies if id(copy[1]) in later]


def _seen(message: Message, packet_id: int | None = None) -> _Seen:
    packet_id = message.packet_id if packet_id is None else packet_id
    assert packet_id is not None
    return _Seen(packet_id, message.topic, hash(message.payload), None, message)
