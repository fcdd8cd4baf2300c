"""Who is listening now.

Answers for: giving each message to every live reader whose filter matches, encoded once for
all who see it in the same form. Does not: know sockets or JSON; the transport hands in its
encoder and its readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from store.message import Message
from store.topics import TopicFilter


class LiveReader(Protocol):
    """One who listens. `send` takes the bytes of one or more frames and never blocks."""

    def send(self, frames: bytes) -> None:
        """Write the frames, or fall behind."""

    def give_up(self) -> None:
        """End: what was to be sent could not be, and who comes back gets it from the history."""


class Encoder(Protocol):
    """How a transport writes messages. One instance for all readers of that form."""

    def encode(self, message: Message) -> bytes:
        """Return one message in the form of the wire."""

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return encoded messages as the bytes to be written."""

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """Return any other frame, given the fields of its JSON object."""


# Payload bytes shown at once: what a peer that does not read may exceed its bound by, and what
# each channel joins a copy of.
PART_BYTES = 256 * 1024


class _Channel:
    """The live readers who see the same messages in the same form, and so share the bytes."""

    def __init__(self, topics: TopicFilter, encoder: Encoder) -> None:
        self.topics = topics
        self.encoder = encoder
        self.readers: dict[LiveReader, int] = {}
        """Each with the number of its join."""


class Hub:
    """The live readers by filter. Lives on the event loop.

    `newest_id` is the id of the last message shown. A reader that has been fed from the
    history up to it, checked in the same tick as `join`, misses nothing and repeats nothing.
    """

    def __init__(
        self,
        newest_id: int = 0,
        failed: Callable[[str, str], None] = lambda _place, _sentence: None,
    ) -> None:
        self._failed = failed
        self.newest_id = newest_id
        self.news: dict[str, object] = {}
        """What was told last."""
        self._joins = 0
        self._channels: dict[tuple[TopicFilter, Encoder], _Channel] = {}
        self._watchers: list[tuple[TopicFilter, Callable[[Message], None]]] = []

    def join(self, reader: LiveReader, topics: TopicFilter, encoder: Encoder) -> None:
        """Show the reader every message from now on."""
        key = (topics, encoder)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = _Channel(topics, encoder)
        self._joins += 1
        channel.readers[reader] = self._joins

    def leave(self, reader: LiveReader) -> None:
        """Show the reader nothing more. No error when it is not there."""
        for key, channel in list(self._channels.items()):
            channel.readers.pop(reader, None)
            if not channel.readers:
                del self._channels[key]

    @property
    def reader_count(self) -> int:
        """How many readers are live."""
        return sum(len(channel.readers) for channel in self._channels.values())

    def publish(self, messages: Sequence[Message]) -> int:
        """Give the messages of one commit to every live reader that wants some of them.

        Returns what `pass_over` needs to know of this showing.
        """
        joined_by = self._joins
        if not self._channels and not self._watchers:  # at full load that is worth a look
            if messages:
                self._count(messages)
            return joined_by
        for part in _parts(messages):
            self._send(part)
            self._notice(part)
            self._count(part)
        return joined_by

    def pass_over(self, messages: Sequence[Message], joined_by: int | None = None) -> None:
        """Count messages as shown: they were, before they had an id.

        `joined_by` is what `publish` returned then: a reader that was not live at that moment
        has not seen them, and gets them now.
        """
        for part in _parts(messages):
            if joined_by is not None:
                self._send(part, joined_by)
                self._notice(part)
            self._count(part)

    def _send(self, messages: Sequence[Message], joined_after: int = 0) -> None:
        pieces: dict[Encoder, list[bytes | None]] = {}
        for channel in list(self._channels.values()):
            readers = [
                reader for reader, joined in channel.readers.items() if joined > joined_after
            ]
            if not readers:
                continue
            encoded = pieces.setdefault(channel.encoder, [None] * len(messages))
            try:
                wanted = _encode(messages, channel, encoded)
                frames = channel.encoder.join(wanted) if wanted else b""
            except Exception:  # one form of the wire may not cost the readers of another
                self._failed("encoder", "messages could not be encoded; their readers are closed")
                self._give_up(readers)
                continue
            if wanted:
                self._give(readers, frames)

    def _give(self, readers: Sequence[LiveReader], frames: bytes) -> None:
        for reader in readers:
            try:
                reader.send(frames)
            except Exception:  # nor one reader another
                self._failed("reader", "a reader could not be sent messages and is closed")
                self._give_up([reader])

    def _give_up(self, readers: Sequence[LiveReader]) -> None:
        for reader in readers:
            self.leave(reader)
            try:
                reader.give_up()
            except Exception:
                self._failed("reader", "a reader could not be closed")

    def _notice(self, messages: Sequence[Message]) -> None:
        for topics, notice in list(self._watchers):
            for message in messages:
                if topics.matches(message.topic):
                    try:
                        notice(message)
                    except Exception:  # who waits has a time-out
                        self._failed("watcher", "who waited for a message could not be told")

    def _count(self, messages: Sequence[Message]) -> None:
        if messages[-1].id is not None:
            self.newest_id = messages[-1].id

    def watch(self, topics: TopicFilter, notice: Callable[[Message], None]) -> Callable[[], None]:
        """Call `notice` with each message from now on that the filter matches; returns the end."""
        watcher = (topics, notice)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def tell(self, fields: dict[str, object]) -> None:
        """Give every live reader the same frame, whatever its filter; the others learn it from
        `news` once they are live."""
        if fields == self.news:
            return
        for channel in list(self._channels.values()):
            self._give(list(channel.readers), channel.encoder.frame(fields))
        self.news = fields


def _parts(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut what is shown at once into parts of about PART_BYTES, in order."""
    if sum([len(message.payload) for message in messages]) <= PART_BYTES:  # nearly always
        if messages:
            yield messages
        return
    begin = size = 0
    for index, message in enumerate(messages):
        if size >= PART_BYTES:
            yield messages[begin:index]
            begin, size = index, 0
        size += len(message.payload)
    if messages:
        yield messages[begin:]


def _encode(
    messages: Sequence[Message], channel: _Channel, encoded: list[bytes | None]
) -> list[bytes]:
    """Return the pieces for one channel; what another channel has encoded is used again."""
    matches, encode = channel.topics.matches, channel.encoder.encode
    wanted: list[bytes] = []
    for index, message in enumerate(messages):
        if matches(message.topic):
            piece = encoded[index]
            if piece is None:
                piece = encoded[index] = encode(message)
            wanted.append(piece)
    return wanted
