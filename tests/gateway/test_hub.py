"""Who is listening now."""

from __future__ import annotations

from gateway.hub import Hub
from store.message import Message
from store.topics import TopicFilter
from tests.gateway.listening import PlainLines, Wire
from tests.recordings import message


def numbered(first_id: int, *topics: str) -> list[Message]:
    """Return stored messages with consecutive ids."""
    return [message(topic, id=first_id + number) for number, topic in enumerate(topics)]


async def test_each_reader_gets_what_its_filter_matches() -> None:
    """A commit is written to each reader at most once, with only the messages it wants."""
    hub, lines = Hub(), PlainLines()
    wires = {text: Wire() for text in ("#", "a/+", "b", "none")}
    for text, wire in wires.items():
        hub.join(wire, TopicFilter([text]), lines)
    hub.publish(numbered(1, "a/1", "b", "a/2"))
    assert {text: wire.ids for text, wire in wires.items()} == {
        "#": [1, 2, 3],
        "a/+": [1, 3],
        "b": [2],
        "none": [],
    }
    assert [len(wire.writes) for wire in wires.values()] == [1, 1, 1, 0]


async def test_a_message_is_encoded_once_however_many_see_it() -> None:
    """Readers with one filter share the very bytes; other filters share each message's encoding."""
    hub, lines, others = Hub(), PlainLines(), PlainLines()
    first, second, overlapping = Wire(), Wire(), Wire()
    hub.join(first, TopicFilter(["a/#"]), lines)
    hub.join(second, TopicFilter(["a/#"]), lines)
    hub.join(overlapping, TopicFilter(["#"]), lines)
    hub.join(Wire(), TopicFilter(["#"]), others)
    hub.publish(numbered(1, "a", "a/b"))
    assert lines.encoded == 2
    assert others.encoded == 2
    assert first.writes[0] is second.writes[0]
    assert overlapping.ids == [1, 2]


async def test_what_nobody_wants_is_not_encoded() -> None:
    """Without a reader that wants it a message costs no encoding, and still counts as shown."""
    hub, lines = Hub(), PlainLines()
    hub.join(Wire(), TopicFilter(["b"]), lines)
    hub.publish(numbered(5, "a"))
    assert (lines.encoded, hub.newest_id) == (0, 5)


async def test_who_leaves_hears_nothing_more() -> None:
    """Leaving ends it at once, also during a publish, and may be repeated."""
    hub, lines = Hub(), PlainLines()

    class LeavesAtOnce(Wire):
        def send(self, frames: bytes) -> None:
            super().write(frames)
            hub.leave(self)

    leaving, staying = LeavesAtOnce(), Wire()
    hub.join(leaving, TopicFilter(), lines)
    hub.join(staying, TopicFilter(), lines)
    hub.publish(numbered(1, "a"))
    hub.publish(numbered(2, "a"))
    hub.leave(leaving)
    assert (leaving.ids, staying.ids) == ([1], [1, 2])
    hub.leave(staying)
    assert not hub._channels, "nothing of those who left is kept"


async def test_the_newest_id_is_that_of_the_last_message_shown() -> None:
    """It grows with what is stored, and messages without an id do not change it."""
    hub = Hub(7)
    hub.publish([])
    hub.publish([message()])
    assert hub.newest_id == 7
    hub.pass_over(numbered(8, "a", "b"))
    assert hub.newest_id == 9


async def test_news_reach_everybody_whatever_the_filter() -> None:
    """`tell` writes one frame to each reader."""
    hub, lines = Hub(), PlainLines()
    wires = [Wire(), Wire()]
    for wire, text in zip(wires, ("a", "b"), strict=True):
        hub.join(wire, TopicFilter([text]), lines)
    hub.tell({"type": "status"})
    assert [wire.frames for wire in wires] == [[{"type": "status"}]] * 2


async def test_a_watcher_is_called_with_each_message_until_it_ends() -> None:
    """`watch` gives the messages its filter matches, from now on and until its end is called."""
    hub = Hub()
    seen: list[int | None] = []
    hub.publish(numbered(1, "a"))
    end = hub.watch(TopicFilter(["a"]), lambda one: seen.append(one.id))
    hub.publish(numbered(2, "a", "b", "a"))
    end()
    hub.publish(numbered(5, "a"))
    assert seen == [2, 4]


async def test_a_watcher_hears_of_a_message_again_when_it_is_stored() -> None:
    """What was shown without an id is announced once more with it: only then can it be read."""
    hub = Hub()
    seen: list[int | None] = []
    hub.watch(TopicFilter(["#"]), lambda one: seen.append(one.id))
    late = [message()]
    shown = hub.publish(late)
    late[0].id = 1
    hub.pass_over(late, shown)
    assert seen == [None, 1]
