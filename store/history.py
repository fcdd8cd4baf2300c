"""What was kept: the only door to the log.

Answers for: append, page, topics, totals and prune, each as one awaitable. Does not: know
SQL beyond its own rooms (log_writer, reading, retention), or who asks.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from store import reading, redeliveries, retention, tail, topic_reading
from store.database import Database
from store.errors import HistoryDamaged, HistoryUnavailable
from store.failures import could_not_open
from store.log_writer import Totals, renew_epoch
from store.message import Message
from store.present_log import PresentLog
from store.purge import Purge
from store.scan import Scan
from store.selection import Page, Selection
from store.series import Series, series
from store.tail import Tail
from store.topic_reading import TopicSummary
from store.topics import TopicFilter

log = logging.getLogger(__name__)

# Busiest topics that `topic_counts` names.
TOP_TOPICS = 1_000


class History:
    """The log of messages. Made by `open`; call from the event loop's thread only."""

    def __init__(self, database: Database, present: PresentLog) -> None:
        self._database = database
        self._log = present
        self._scan = Scan(database)
        self._tail = Tail()

    @classmethod
    async def open(
        cls,
        database: Database,
        *,
        now_us: int,
        cap_rows: int = 0,
        retention_hours: float = 0,
        cap_bytes: int = 0,
    ) -> History:
        """Open the log in an open database. A limit of 0 is no limit of that kind.

        What is found to be damaged only now is moved aside as well. Raises DatabaseHeld when an
        outside program has it locked, DatabaseUnready when the disk is full or fails.
        """
        self = cls(database, PresentLog(cap_rows, retention_hours, cap_bytes))
        try:
            async with self._without_tail():
                await database.write(self._log.open, now_us, database.noted)
        except HistoryDamaged:
            await self.begin_afresh(now_us)
        except HistoryUnavailable as error:
            if not isinstance(error.__cause__, sqlite3.Error):
                raise
            raise could_not_open(database.path, error.__cause__) from error
        database.note("")
        return self

    async def append(
        self,
        messages: Sequence[Message],
        new_window: dict[int, int] | None = None,
        copies: Sequence[tuple[int, Message]] = (),
    ) -> list[Message]:
        """Store messages in one transaction; return those stored, with ids, in order.

        Retained replays that repeat the topic's last value are left out. Raises
        HistoryUnavailable when the database cannot be written: then nothing was stored.
        """
        append = self._log.append
        try:
            stored = await self._database.write(append, messages, new_window, copies)
        except HistoryUnavailable as error:
            # The size that the file may have, not the disk: what is oldest makes room.
            if error.cause != "full" or not await self._database.write(self._log.make_room):
                raise
            stored = await self._database.write(append, messages, new_window, copies)
        self._tail.extend(stored)
        return stored

    async def page(
        self, selection: Selection, *, limit: int, offset: int = 0, ascending: bool = False
    ) -> Page:
        """Return one page, newest first unless `ascending`. Raises QueryTimeout."""
        return await self._database.read(
            reading.page, selection, limit=limit, offset=offset, ascending=ascending
        )

    def recent(
        self, selection: Selection, *, limit: int, offset: int = 0, ascending: bool = False
    ) -> Page | None:
        """Return the same page at once when memory has all of it, else None: ask `page`.

        Its `pruned_id` is that of the whole log: who asks for the gap before some topics' messages
        asks `page`.
        """
        return self._tail.page(
            selection, self.totals(), limit=limit, offset=offset, ascending=ascending
        )

    @asynccontextmanager
    async def _without_tail(self) -> AsyncIterator[None]:
        """Change the log anywhere; then remember its end anew."""
        self._tail.pause()
        try:
            yield
        finally:
            messages: list[Message] = []
            after_id = self.totals().newest_id
            try:
                messages, after_id = await self._database.write(tail.load)
            finally:
                self._tail.begin(messages, after_id, self.totals().newest_id)

    async def forward(self, selection: Selection, *, limit: int) -> Page:
        """Return the next page in order of arrival; its `scanned_id` is where to go on.

        Short however little matches and however large it is: it may be empty without being
        complete. One is read at a time. Raises QueryTimeout.
        """
        return await self._scan.forward(selection, limit)

    async def message(self, message_id: int) -> Message | None:
        """Return one message, or None."""
        return await self._database.read(reading.message_by_id, message_id)

    async def position_before(self, since_us: int) -> int:
        """Return the id after which everything that arrived since then comes."""
        return await self._database.read(reading.position_before, since_us)

    async def topics(
        self,
        topics: TopicFilter | None = None,
        prefix: str = "",
        after: str = "",
        limit: int | None = None,
    ) -> list[str]:
        """Return the sorted names of the topics that have rows. Raises QueryTimeout."""
        return await self._database.read(
            topic_reading.topic_names, topics, prefix, after, -1 if limit is None else limit
        )

    async def topic_summaries(
        self, topics: TopicFilter | None, prefix: str, after: str, limit: int
    ) -> list[TopicSummary]:
        """Return what is known of the topics that have rows, by name. Raises QueryTimeout."""
        return await self._database.read(
            topic_reading.topic_summaries, topics, prefix, after, limit
        )

    async def topic_summary(self, name: str) -> TopicSummary | None:
        """Return what is known of one topic, or None."""
        return await self._database.read(topic_reading.topic_summary, name)

    async def series(
        self, topic: str, field: str | None, since_us: int, until_us: int, bucket_us: int
    ) -> Series:
        """Return numbers over time of one topic. Raises QueryTimeout."""
        return await self._database.read(series, topic, field, since_us, until_us, bucket_us)

    async def topic_counts(self, within: TopicFilter | None = None) -> tuple[int, dict[str, int]]:
        """Return how many topics have rows, and the busiest of them with their rows."""
        return await self._database.read(topic_reading.topic_counts, TOP_TOPICS, within)

    async def counts_of(self, topics: TopicFilter, since_us: int) -> tuple[int, int]:
        """Return the rows of these topics, and how many of them arrived since then.

        Raises QueryTimeout.
        """
        return await self._database.read(topic_reading.counts_of, topics, since_us)

    def totals(self) -> Totals:
        """Return what the log holds now: counters, never a scan."""
        return self._log.totals

    def recent_count(self, now_us: int) -> int:
        """Return how many rows arrived within the last hour."""
        return self._log.minutes.recent(now_us)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the database file and its write-ahead log."""
        database_bytes, wal_bytes = self._database.sizes()
        return {"database_bytes": database_bytes, "wal_bytes": wal_bytes}

    async def window(self) -> list[tuple[int, str, str | bytes, int]]:
        """Return (packet_id, topic, payload, id) of each row the broker may yet redeliver."""
        return await self._database.write(redeliveries.window)

    async def prune(self, now_us: int | None, at_most: int = retention.STEP_ROWS) -> int:
        """Remove one step of what is too old or too much; return the rows removed.

        `now_us` None prunes nothing by age: the clock is not believed. Call again while it
        returns more than 0, letting appends through between. Raises HistoryUnavailable.
        """
        return await self._database.write(self._log.prune, now_us, at_most)

    def note_trouble(self, begins: bool) -> None:
        """Write down, where it works with a full disk too, that messages are shown unstored.

        If the process ends before they could be stored, the next one knows of the gap.
        """
        self._database.note(f"unstored after {self.totals().newest_id}" if begins else "")

    async def tidy(self) -> None:
        """See to what only shows with time: call every few seconds.

        Raises HistoryDamaged once a question or an append ran into damage.
        """
        await self._database.tidy()

    async def begin_afresh(self, now_us: int) -> bool:
        """Keep a damaged file aside and go on with a new one; return whether that was needed.

        It has an epoch of its own. Its ids go on behind those given out: a reader that is live
        misses nothing, and one that comes back learns that there was another log.
        Raises HistoryUnavailable, and then it may be tried again.
        """
        async with self._without_tail():
            return await self._database.begin_afresh(
                now_us, lambda connection: self._log.open_another(connection, now_us)
            )

    async def newest_time_us(self) -> int | None:
        """Return when the newest message arrived, by the clock of that time, or None."""
        return await self._database.write(retention.newest_time_us)

    @property
    def wal_bytes(self) -> int:
        """The bytes of the write-ahead log."""
        return self._database.wal_bytes

    @property
    def is_short_of_room(self) -> bool:
        """Whether the disk is so full that there is no reserve left."""
        return self._database.is_short

    @property
    def quarantined(self) -> str:
        """Where a damaged database was moved since the start, or the empty text."""
        return self._database.quarantined

    async def purge(self, purge: Purge) -> int:
        """Remove what an administrator wants gone, in steps; return the messages removed.

        Raises HistoryUnavailable; what was removed by then stays removed.
        """
        removed, after_id = 0, 0
        async with self._without_tail():
            while True:
                count, go_on = await self._database.write(self._log.purge, purge, after_id)
                removed += count
                if go_on is None:
                    return removed
                after_id = go_on

    async def backup(self, path: Path) -> None:
        """Write a consistent copy of the database to a new file. HistoryUnavailable.

        The copy has an epoch of its own: restored, it would give out ids that were given out since.
        """
        await self._database.backup(path, renew_epoch)

    async def close(self) -> None:
        """Mark the log as closed in order. The database itself is closed by its owner."""
        try:
            await self._database.write(self._log.close)
        except HistoryUnavailable as error:
            log.warning(
                "the history is not closed in order, ids will skip a block: %s", error.in_full
            )
