"""Who is listening now.

Answers for: giving each message to every live reader whose filter matches, encoded once for
all who see it in the same form. Does not: know sockets or JSON; the transport hands in its
encoder and its readers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from store.message import Message
from store.topics import TopicFilter


class LiveReader(Protocol):
    """One who listens. `send` takes the bytes of one or more frames and never blocks."""

    def send(self, frames: bytes) -> None:
        """Write the frames, or fall behind."""


class Encoder(Protocol):
    """How a transport writes messages. One instance for all readers of that form."""

    def encode(self, message: Message) -> bytes:
        """Return one message in the form of the wire."""

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return encoded messages as the bytes to be written."""

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """Return any other frame, given the fields of its JSON object."""


class _Channel:
    """The live readers who see the same messages in the same form, and so share the bytes."""

    def __init__(self, topics: TopicFilter, encoder: Encoder) -> None:
        self.topics = topics
        self.encoder = encoder
        self.readers: set[LiveReader] = set()


class Hub:
    """The live readers by filter. Lives on the event loop.

    `newest_id` is the id of the last message shown. A reader that has been fed from the
    history up to it, checked in the same tick as `join`, misses nothing and repeats nothing.
    """

    def __init__(self, newest_id: int = 0) -> None:
        self.newest_id = newest_id
        self._channels: dict[tuple[TopicFilter, Encoder], _Channel] = {}
        self._watchers: list[tuple[TopicFilter, Callable[[Message], None]]] = []

    def join(self, reader: LiveReader, topics: TopicFilter, encoder: Encoder) -> None:
        """Show the reader every message from now on."""
        key = (topics, encoder)
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = _Channel(topics, encoder)
        channel.readers.add(reader)

    def leave(self, reader: LiveReader) -> None:
        """Show the reader nothing more. No error when it is not there."""
        for key, channel in list(self._channels.items()):
            channel.readers.discard(reader)
            if not channel.readers:
                del self._channels[key]

    def publish(self, messages: Sequence[Message]) -> None:
        """Give the messages of one commit to every live reader that wants some of them."""
        pieces: dict[Encoder, list[bytes | None]] = {}
        for channel in list(self._channels.values()):
            encoded = pieces.setdefault(channel.encoder, [None] * len(messages))
            wanted = _encode(messages, channel, encoded)
            if wanted:
                frames = channel.encoder.join(wanted)
                for reader in list(channel.readers):
                    reader.send(frames)
        for topics, notice in list(self._watchers):
            for message in messages:
                if topics.matches(message.topic):
                    notice(message)
        self.pass_over(messages)

    def pass_over(self, messages: Sequence[Message]) -> None:
        """Count messages as shown: they have been, or were shown before they had an id."""
        if messages and messages[-1].id is not None:
            self.newest_id = messages[-1].id

    def watch(self, topics: TopicFilter, notice: Callable[[Message], None]) -> Callable[[], None]:
        """Call `notice` with each message from now on that the filter matches; returns the end."""
        watcher = (topics, notice)
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def tell(self, fields: dict[str, object]) -> None:
        """Give every live reader the same frame, whatever its filter."""
        for channel in list(self._channels.values()):
            frame = channel.encoder.frame(fields)
            for reader in list(channel.readers):
                reader.send(frame)


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
