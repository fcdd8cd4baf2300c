"""Recognising redeliveries: the row of pitfalls "kill -9 between commit and acknowledgement"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.mailbox import Connected, Delivery
from gateway.redelivery import MAX_PACKET_ID, RedeliveryWindow
from store.message import Message
from tests.recordings import message


class Play:
    """Drives a window as the recorder does; ids come from a counter, `disk` is what is written."""

    def __init__(self, disk: list[tuple[int, str, str | bytes, int]] | None = None) -> None:
        self.window = RedeliveryWindow()
        self.disk = list(disk or [])
        self.last_id = max((row[3] for row in self.disk), default=0)
        self.window.restore(self.disk)

    def connect(self, *, resumed: bool) -> None:
        """Begin a connection."""
        self.window.connected(Connected(1, resumed))

    def arrive(
        self, packet_id: int | None, payload: str = "same", *, dup: bool = False, topic: str = "t"
    ) -> Message | None:
        """Have a delivery arrive; return the message if it is to be stored."""
        one = message(topic, payload, packet_id=packet_id, qos=int(packet_id is not None))
        return None if self.window.is_known(Delivery(one, 1, dup, False)) else one

    def store(self, some: Sequence[Message | None]) -> None:
        """Append what is to be stored, and write the window as the history does."""
        change = self.window.change()
        kept = [one for one in some if one is not None]
        if change is not None:
            self.disk = [row for row in self.disk if change.get(row[0]) == row[3]]
        copies = list(self.window.copies)
        for one in kept:
            self.last_id += 1
            one.id = self.last_id
            if one.packet_id is not None:
                self.disk.append((one.packet_id, one.topic, one.payload, one.id))
        self.disk += [(number, one.topic, one.payload, one.id) for number, one in copies if one.id]
        self.window.stored(kept)

    def record(self, *arrivals: tuple[int | None, str], dup: bool = False) -> list[bool]:
        """Have deliveries arrive and be stored in one batch; return which were new."""
        some = [self.arrive(packet_id, payload, dup=dup) for packet_id, payload in arrivals]
        self.store(some)
        return [one is not None for one in some]

    def killed(self) -> Play:
        """Return what a new process knows: the disk and nothing else."""
        return Play(self.disk)


@pytest.fixture(params=["reconnected", "killed"])
def again(request: pytest.FixtureRequest) -> object:
    """Go on after a lost connection, or in a new process after kill -9."""

    def resume(play: Play) -> Play:
        play = play if request.param == "reconnected" else play.killed()
        play.connect(resumed=True)
        return play

    return resume


def begun(*arrivals: tuple[int | None, str]) -> Play:
    """A first connection with a fresh session that recorded these."""
    play = Play()
    play.connect(resumed=False)
    play.record(*arrivals)
    return play


def test_a_redelivery_is_recognised(again) -> None:
    """On a resumed session a marked delivery with equal number, topic and payload is known."""
    play = again(begun((1, "a"), (2, "b")))
    assert play.record((1, "a"), (2, "b"), dup=True) == [False, False]


@pytest.mark.parametrize(
    "change", [{"packet_id": 9}, {"payload": "other"}, {"topic": "other"}, {"dup": False}]
)
def test_anything_that_differs_is_a_new_message(again, change) -> None:
    """Another number, payload or topic, or no mark of the broker: it is stored."""
    play = again(begun((1, "a")))
    given = {"packet_id": 1, "payload": "a", "topic": "t", "dup": True, **change}
    assert play.arrive(**given) is not None


def test_a_fresh_session_redelivers_nothing() -> None:
    """Where the broker has no session, equal numbers and payloads are new messages."""
    for play in (begun((1, "a")), begun((1, "a")).killed()):
        play.connect(resumed=False)
        assert play.record((1, "a"), dup=True) == [True]


def test_the_first_new_message_ends_the_window(again) -> None:
    """Brokers resend before anything new, so a mark after it is no repetition of ours."""
    play = again(begun((1, "a"), (2, "b")))
    assert play.record((1, "a"), dup=True) == [False]
    assert play.record((3, "new")) == [True]
    assert play.record((2, "b"), dup=True) == [True]


def test_qos_0_says_nothing_about_the_window(again) -> None:
    """A QoS 0 message has no number: always new, and the window stays open."""
    play = again(begun((1, "a"), (None, "a")))
    assert play.record((None, "a")) == [True]
    assert play.record((1, "a"), dup=True) == [False]


def test_numbers_and_payloads_recur_without_loss(again) -> None:
    """A sensor that sends the same text under few numbers for ever loses no message."""
    play = begun()
    for packet_id in [1, 2, 3] * 50:
        assert play.record((packet_id, "21.5")) == [True]
    play = again(play)
    assert play.record((2, "21.5"), (3, "21.5"), dup=True) == [False, False]
    for packet_id in [1, 2, 3] * 50:
        assert play.record((packet_id, "21.5")) == [True]


def test_only_the_latest_bearer_of_a_number_counts(again) -> None:
    """A number that was used again stands for its latest message."""
    play = again(begun((1, "old"), (1, "new")))
    assert play.record((1, "old"), dup=True) == [True]
    play = again(begun((1, "old"), (1, "new")))
    assert play.record((1, "new"), dup=True) == [False]


def test_only_the_last_window_counts(again) -> None:
    """What was recorded on a connection before the previous one is no candidate any more."""
    play = begun((1, "a"))
    play.connect(resumed=True)
    play.record((2, "b"))
    play = again(play)
    assert play.record((1, "a"), dup=True) == [True]


def test_a_redelivery_can_come_twice(again) -> None:
    """When the acknowledgement of a recognised redelivery is lost, too, it is known again."""
    play = begun((1, "a"), (2, "b"))
    for _ in range(3):
        play = again(play)
        assert play.record((1, "a"), (2, "b"), dup=True) == [False, False]


def test_a_recognised_redelivery_is_carried_past_the_first_new_message(again) -> None:
    """Its acknowledgement may be lost on the connection that also brought something new."""
    play = again(begun((1, "a"), (2, "b")))
    assert play.record((1, "a"), dup=True) == [False]
    play.record((3, "new"))
    play = again(play)
    assert play.record((1, "a"), (3, "new"), dup=True) == [False, False]
    assert play.record((2, "b"), dup=True) == [True], "that one was acknowledged long ago"


def test_an_unrecorded_redelivery_is_stored_and_known_afterwards(again) -> None:
    """A marked delivery that we never took in is new once, and known on the next connection."""
    play = again(begun((1, "a")))
    assert play.record((7, "missed"), dup=True) == [True]
    play.record((8, "new"))
    play = again(play)
    assert play.record((7, "missed"), (8, "new"), dup=True) == [False, False]


def test_a_redelivery_is_known_while_its_message_waits_to_be_stored() -> None:
    """A connection lost between arrival and commit brings a copy: it is recognised, too."""
    play = Play()
    play.connect(resumed=False)
    waiting = play.arrive(1, "a")
    play.connect(resumed=True)
    assert play.arrive(1, "a", dup=True) is None
    fresh = play.arrive(2, "b")
    play.store([waiting])
    play.store([fresh])
    play.connect(resumed=True)
    assert play.record((1, "a"), (2, "b"), dup=True) == [False, False]


def test_a_failed_append_leaves_the_window_to_be_written() -> None:
    """What must be written down is offered again until an append succeeds."""
    play = begun((1, "a"))
    play.connect(resumed=True)
    assert play.arrive(1, "a", dup=True) is None
    assert play.window.change() is None, "nothing new yet: the rows on the disk still count"
    fresh = play.arrive(2, "b")
    assert play.window.change() == play.window.change() == {1: 1}
    play.store([fresh])
    assert play.window.change() is None
    assert play.disk == [(1, "t", "a", 1), (2, "t", "b", 2)]


def test_messages_of_a_lost_session_are_no_candidates() -> None:
    """What waited while the broker lost the session is not compared with the next session."""
    play = Play()
    play.connect(resumed=False)
    waiting = play.arrive(1, "21.5")
    play.connect(resumed=False)  # the broker has forgotten us: its numbers begin anew
    play.connect(resumed=True)
    in_memory = play.arrive(1, "21.5", dup=True)
    assert in_memory is not None, "a message of the second session, lost on its way"

    play = Play()
    play.connect(resumed=False)
    waiting = play.arrive(1, "21.5")
    play.connect(resumed=False)
    play.store([waiting])
    play.connect(resumed=True)
    assert play.arrive(1, "21.5", dup=True) is not None


def test_the_memory_is_bounded_by_the_packet_numbers() -> None:
    """On a connection without end no more is remembered than there are packet numbers."""
    play = begun()
    for number in range(MAX_PACKET_ID + 500):
        one = play.arrive(number % MAX_PACKET_ID + 1, str(number))
        play.window.stored([one])
    assert len(play.window._current) <= MAX_PACKET_ID
    assert not play.window._waiting


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_copy_that_is_sent_again_alone_is_known(again: Any, together: bool) -> None:
    """The copy for an overlapping subscription has a packet number of its own; when only its
    acknowledgement was lost, only it comes again."""
    play = begun((1, "first"))
    original = play.arrive(2, "both")
    if not together:
        play.store([original])
    play.window.copied(Delivery(message("t", "both", packet_id=3, qos=1), 1, False, True))
    play.store([original] if together else [])
    assert not play.window.copies
    resumed = again(play)
    assert resumed.record((3, "both"), dup=True) == [False]
    assert resumed.record((4, "both")) == [True]


def test_a_message_that_was_refused_is_not_the_one_that_had_its_number_before() -> None:
    """Numbers recur: what did not fit in the mailbox comes again, and an equal message that was
    recorded under the same number, and acknowledged long ago, is another one."""
    play = Play()
    play.connect(resumed=False)
    assert play.record((1, "same"), (2, "same")) == [True, True]
    play.window.connected(Connected(2, True, frozenset({1})))
    assert play.record((1, "same"), (2, "same"), dup=True) == [True, False]
