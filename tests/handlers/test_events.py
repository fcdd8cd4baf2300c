"""An event stream that ends after so many messages."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.reader import Reader
from handlers.events import LimitedEvents
from store.message import Message
from store.topics import TopicFilter
from tests.gateway.listening import PlainLines, Wire
from tests.recordings import messages, open_history


class CountedLines(PlainLines):
    """As PlainLines, for an encoder that may be told how many messages were skipped."""

    def encode(self, message: Message, skipped: int | None = None) -> bytes:
        """Return one message as a line."""
        return super().encode(message)


async def test_a_limit_counts_what_was_sent_and_not_what_was_refused(tmp_path: Path) -> None:
    """A peer that does not read falls behind, and what it refused comes again: it counts once."""
    async with open_history(tmp_path / "history.db") as history:
        hub, wire, ended = Hub(history.totals().newest_id), Wire(), asyncio.Event()
        events = LimitedEvents(CountedLines(), 8, ended.set, lambda: reader.is_full)
        metrics = Metrics(lambda: 0.0)
        reader = Reader(
            hub, history, metrics, wire, TopicFilter(), events, max_unsent_bytes=1, on_end=ended.set
        )
        reader.start_at(None)
        wire.stall()
        for _ in range(2):  # the second is refused
            hub.publish(await history.append(messages(3)))
        assert (reader.is_behind, wire.ids) == (True, [1, 2, 3])
        wire.go_on()
        await wire.until(lambda: len(wire.ids) == 6)
        assert not ended.is_set()
        hub.publish(await history.append(messages(3)))
        async with asyncio.timeout(5):
            await ended.wait()
        assert wire.ids == [1, 2, 3, 4, 5, 6, 7, 8]
        reader.close()
