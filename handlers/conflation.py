"""Conflation for screens: each topic's newest message at most once per interval.

Answers for: keeping the newest, counting the skipped, and writing at the interval. Stands in for
the encoder of one reader, so that replay and live pass through it alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.hub import Encoder
from gateway.reader import Transport
from store.message import Message

# Topics kept between two writes; with more, the write comes early.
MAX_TOPICS = 20_000


class CountingEncoder(Encoder, Protocol):
    """How a transport writes messages, and how many it left out before them."""

    def encode(self, message: Message, skipped: int | None = None) -> bytes:
        """Return one message in the form of the wire; `skipped` is shown unless it is None."""


class Conflation:
    """An encoder for one reader. `encode` keeps the message; a timer writes what was kept."""

    def __init__(
        self,
        encoder: CountingEncoder,
        transport: Transport,
        interval_s: float,
        max_unsent_bytes: int,
    ) -> None:
        self._encoder = encoder
        self._transport = transport
        self._interval_s = interval_s
        self._max_unsent_bytes = max_unsent_bytes
        self._newest: dict[str, Message] = {}
        self._skipped: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def encode(self, message: Message) -> bytes:
        """Keep the message instead of the one before it on its topic."""
        topic = message.topic
        if topic in self._newest:
            self._skipped[topic] = self._skipped.get(topic, 0) + 1
        self._newest[topic] = message
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._write)
        elif len(self._newest) >= MAX_TOPICS:
            self._timer.cancel()
            self._write()
        return b""

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Nothing is written at once."""
        return b""

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """News that is no message is not held back.

        Its position would pass over what is kept, so a reader is told it only when nothing is.
        """
        return self._encoder.frame(fields, None if self._newest else position_id)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be written."""
        return not self._newest

    def close(self) -> None:
        """Write nothing more."""
        if self._timer is not None:
            self._timer.cancel()
        self._newest.clear()

    def _write(self) -> None:
        self._timer = None
        if self._transport.unsent_bytes > self._max_unsent_bytes:  # what is kept gets newer
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._write)
            return
        newest = sorted(self._newest.values(), key=lambda message: message.id or 0)
        skipped, self._newest, self._skipped = self._skipped, {}, {}
        encode = self._encoder.encode
        pieces = [encode(message, skipped.get(message.topic, 0)) for message in newest]
        self._transport.write(self._encoder.join(pieces))
