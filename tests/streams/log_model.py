"""A log whose readers a test moves step by step, and what each of them must have seen.

The history and its SQLite file, the hub and the readers are real. What the test holds in its
hands is time: when a question to the history is answered, and when a peer reads.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.reader import Reader
from store.history import History
from store.message import Message
from store.purge import Purge
from store.selection import Page, Position, Selection
from store.topics import TopicFilter

SECOND_US = 1_000_000
RETENTION_HOURS = 1
RETENTION_US = RETENTION_HOURS * 3_600 * SECOND_US
# Small, so that a few messages fill a buffer and a few steps make many pages.
MAX_UNSENT_BYTES = 40
LOW_WATER_BYTES = 10
MAX_STEPS = 2_000


class Lines:
    """The plainest encoder: one JSON object a line. `number` tells messages apart."""

    def encode(self, message: Message) -> bytes:
        return json.dumps({"id": message.id, "number": int(message.payload)}).encode() + b"\n"

    def join(self, pieces: Sequence[bytes]) -> bytes:
        return b"".join(pieces)

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        return json.dumps({**fields, "position": position_id}).encode() + b"\n"


class Peer:
    """A transport whose other end reads when the test says so."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.reads = True
        self.gone = False
        self.unsent_bytes = 0
        self.most_unsent_bytes = 0
        self._sent = asyncio.Event()

    def write(self, data: bytes) -> None:
        assert not self.gone, "something was written after the end"
        self.frames += [json.loads(line) for line in data.splitlines()]
        if not self.reads:
            self.unsent_bytes += len(data)
            self.most_unsent_bytes = max(self.most_unsent_bytes, self.unsent_bytes)

    async def wait_until_sent(self) -> None:
        while self.unsent_bytes > LOW_WATER_BYTES:
            self._sent.clear()
            await self._sent.wait()

    def read(self, size: int) -> None:
        """Take some bytes off the wire."""
        self.unsent_bytes = max(0, self.unsent_bytes - size)
        self._sent.set()


@dataclass
class Question:
    """A page that a reader has asked for: read when, and answered when, the test says so."""

    selection: Selection
    limit: int
    answer: asyncio.Future[Page]
    page: Page | None = None


class HeldHistory:
    """The real history, but each answer to a reader waits for the test."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.totals = history.totals
        self.questions: list[Question] = []

    async def forward(self, selection: Selection, *, limit: int) -> Page:
        question = Question(selection, limit, asyncio.get_running_loop().create_future())
        self.questions.append(question)
        try:
            return await question.answer
        finally:
            if question in self.questions:
                self.questions.remove(question)

    async def read(self, number: int) -> None:
        """Have one question look at the database now."""
        if self.questions:
            question = self.questions[number % len(self.questions)]
            question.page = await self.history.forward(question.selection, limit=question.limit)

    async def answer(self, number: int) -> None:
        """Give one answer, looking at the database now unless it has."""
        if self.questions:
            question = self.questions[number % len(self.questions)]
            if question.page is None:
                await self.read(number)
            assert question.page is not None
            self.questions.remove(question)
            question.answer.set_result(question.page)


@dataclass
class Change:
    """The filter changed: messages up to `surely_old` were passed under the one before, and from
    above `surely_new` all come under this one."""

    topics: TopicFilter
    surely_old: int
    surely_new: int
    frames: int
    """How many frames had been written before."""


@dataclass
class Connection:
    """One reader from its beginning to its end, and what the test knows of it."""

    reader: Reader
    peer: Peer
    start: int
    """It is owed everything with a higher id."""
    filters: list[Change]
    claims: str = ""
    """The reason of the gap that must come first, for a position that is not of this log."""
    excused: set[int] = field(default_factory=set)
    """Ids purged before it came to them: a hole is no gap."""
    live_since: int = 0
    """Showings without an id before which it was not live all the time."""
    checked: int = 0
    last_id: int = 0

    @property
    def position(self) -> int:
        """The last id it knows of: where its client would go on."""
        found = [frame["id"] for frame in self.peer.frames if frame.get("id") is not None]
        found += [
            frame["position"] for frame in self.peer.frames if frame.get("position") is not None
        ]
        return max([self.start, *found])


class Log:
    """The log and its readers, one example at a time on one database."""

    def __init__(self, history: History, start_us: int) -> None:
        self.history = history
        self.held = HeldHistory(history)
        self.now_us = start_us
        self.hub = Hub(history.totals().newest_id)
        self.base = self.hub.newest_id
        self.number = 0
        self.all: dict[int, Message] = {}
        """Every message ever stored, by id."""
        self.topics: dict[int, str] = {}
        """Topic of each message, by number."""
        self.pruned: set[int] = set()
        self.purged: set[int] = set()
        self.waiting: list[Message] = []
        """Committed, and not shown yet."""
        self.unstored: list[tuple[list[Message], Any]] = []
        """Shown without an id, and not stored yet; and what the hub said of the showing."""
        self.showings = 0
        self.shown_in: dict[int, int] = {}
        """Number of a message that was shown without an id -> which showing that was."""
        self.open: list[Connection] = []
        self.ended: list[Connection] = []
        self.failures = Metrics(lambda: 0.0)

    # -- what happens -----------------------------------------------------------------------

    async def settle(self) -> None:
        """Let the readers go on as far as they can without an answer or a read."""
        for _ in range(6):
            await asyncio.sleep(0)
        for connection in self.open:
            self._look_at(connection)

    def _arriving(self, topics: Sequence[str]) -> list[Message]:
        found = []
        for topic in topics:
            self.number += 1
            self.now_us += SECOND_US
            self.topics[self.number] = topic
            found.append(Message(topic, str(self.number), self.now_us))
        return found

    async def append(self, topics: Sequence[str]) -> None:
        """Commit messages; they are shown later."""
        if self.unstored or self.waiting:
            return  # the recorder shows each commit before the next, and stores in order
        await self._store(self._arriving(topics))
        self.waiting = [self.all[one] for one in sorted(self.all) if one > self.hub.newest_id]

    async def _store(self, messages: list[Message]) -> list[Message]:
        before = await self._existing()
        stored = await self.history.append(messages)
        for message in stored:
            assert message.id is not None
            self.all[message.id] = message
        await self._note_removed(before | {one.id for one in stored if one.id}, self.pruned)
        return stored

    def publish(self) -> None:
        """Show what was committed."""
        messages, self.waiting = self.waiting, []
        if messages:
            self.hub.publish(messages)
            self._note_behind()

    def show_unstored(self, topics: Sequence[str]) -> None:
        """The database cannot be written: show messages without an id."""
        if self.waiting:
            return
        messages = self._arriving(topics)
        self.showings += 1
        for message in messages:
            self.shown_in[int(message.payload)] = self.showings
        self.unstored.append((messages, self.hub.publish(messages)))
        self._note_behind()

    async def store_late(self) -> None:
        """The database can be written again: store the oldest of what was shown without an id."""
        if self.unstored:
            messages, showing = self.unstored.pop(0)
            self.hub.pass_over(await self._store(messages), showing)
            self._note_behind()

    async def prune(self, count: int) -> None:
        """Retention takes about `count` of the oldest."""
        before = await self._existing()
        oldest = sorted(before)[:count]
        if oldest:
            # Just after the time of the last one to go.
            until_us = self.all[oldest[-1]].timestamp_us + 1
            await self.history.prune(until_us + RETENTION_US)
            await self._note_removed(before, self.pruned)

    async def purge(self, topic: str) -> None:
        """An administrator removes a topic."""
        before = await self._existing()
        await self.history.purge(Purge(TopicFilter([topic])))
        removed = await self._note_removed(before, self.purged)
        for connection in self.open:
            if connection.reader.is_behind:
                connection.excused |= removed
            else:  # up to here it has seen everything
                connection.excused |= {one for one in removed if one > self.hub.newest_id}

    def connect(self, topics: TopicFilter, how: str, offset: int) -> None:
        """A reader comes."""
        peer = Peer()
        reader = Reader(
            self.hub,
            cast(History, self.held),
            self.failures,
            peer,
            topics,
            LINES,
            max_unsent_bytes=MAX_UNSENT_BYTES,
        )
        newest = self.hub.newest_id
        totals = self.history.totals()
        start, claims = newest, ""
        if how == "head":
            reader.start_at(None)
        elif how == "all":
            start = totals.pruned_id
            reader.start_after(0)
        elif how == "epoch":
            start, claims = self.base - 1, "epoch"
            reader.start_at(Position(newest, "zother"))
        elif how == "ahead":
            claims = "ahead"
            reader.start_at(Position(totals.newest_id + 1 + max(0, offset)))
        else:
            start = max(0, min(totals.newest_id, newest - offset))
            reader.start_at(Position(start, totals.epoch if how == "after" else None))
        connection = Connection(reader, peer, start, [Change(topics, 0, start, 0)], claims)
        connection.live_since = self.showings
        connection.last_id = start
        connection.excused = {one for one in self.purged if one > start}
        self.open.append(connection)
        self._note_behind()

    def cut(self, connection: Connection) -> None:
        """The connection is lost."""
        self._look_at(connection)
        connection.reader.close()
        connection.peer.gone = True
        self.open.remove(connection)
        self.ended.append(connection)

    def resume(self, connection: Connection) -> None:
        """The connection is lost, and the client goes on where it stopped."""
        self.cut(connection)
        position = connection.position
        if position <= self.history.totals().newest_id:
            self.connect(connection.filters[-1].topics, "after", self.hub.newest_id - position)

    def change_topics(self, connection: Connection, topics: TopicFilter) -> None:
        """The client wants to see other topics."""
        self._look_at(connection)
        newest = self.hub.newest_id
        surely_old = connection.last_id if connection.reader.is_behind else newest
        connection.filters.append(
            Change(topics, surely_old, max(newest, surely_old), len(connection.peer.frames))
        )
        connection.live_since = self.showings
        connection.reader.change_topics(topics)

    async def finish(self) -> None:
        """Let everything come to rest, then check every reader."""
        self.publish()
        while self.unstored:
            await self.store_late()
        for connection in self.open:
            connection.peer.reads = True
        for _ in range(MAX_STEPS):
            for connection in self.open:
                connection.peer.read(1 << 30)
            await self.settle()
            if not self.held.questions:
                break
            await self.held.answer(0)
        assert not any(connection.reader.is_behind for connection in self.open), "never caught up"
        assert not self.failures.failures.counts
        for connection in self.open:
            self.check(connection, through=max(self.all, default=0))
        for connection in self.ended:
            self.check(connection, through=0)
        for connection in list(self.open):
            self.cut(connection)
        await self.settle()
        assert not self.hub._channels
        assert not self.held.questions

    # -- what must be true ------------------------------------------------------------------

    async def _existing(self) -> set[int]:
        page = await self.history.page(Selection(after_id=self.base), limit=10_000)
        return {one.id for one in page.messages if one.id}

    async def _note_removed(self, before: set[int], cause: set[int]) -> set[int]:
        removed = before - await self._existing()
        cause |= removed
        return removed

    def _note_behind(self) -> None:
        for connection in self.open:
            if connection.reader.is_behind:
                connection.live_since = self.showings

    def _look_at(self, connection: Connection) -> None:
        """Check what has come since the last look against the log as it is now."""
        frames = connection.peer.frames
        if connection.reader.is_behind:
            connection.live_since = self.showings
        for frame in frames[connection.checked :]:
            if frame.get("type") == "gap":
                self._check_gap(connection, frame, first=connection.checked == 0)
            elif frame["id"] is not None:
                assert frame["id"] > connection.last_id, f"again, or out of order: {frame}"
                connection.last_id = frame["id"]
            connection.checked += 1

    def _check_gap(self, connection: Connection, gap: dict[str, Any], first: bool) -> None:
        after, following = gap["after"], gap["next"]
        assert gap["position"] == following - 1, gap
        if connection.claims and first:
            assert gap["reason"] == connection.claims, gap
            if connection.claims == "epoch":
                assert str(after).startswith("zother."), gap
                after = 0
            else:
                assert following == connection.start + 1, gap
                return
        else:
            assert gap["reason"] == "pruned", gap
            assert connection.last_id <= after < following, gap
            wanted = [one.topics for one in connection.filters]
            gone = {
                one
                for one in self.pruned
                if after < one < following
                and any(topics.matches(self.all[one].topic) for topics in wanted)
            }
            assert gone or after < self.base, f"nothing was pruned there: {gap}"
        there = set(self.all) - self.pruned - self.purged
        assert not {one for one in there if after < one < following}, f"is there: {gap}"
        connection.last_id = max(connection.last_id, following - 1)

    def check(self, connection: Connection, through: int) -> None:
        """The stream is exactly the log from its start, or says what is missing."""
        frames = connection.peer.frames
        seen = [frame["id"] for frame in frames if frame.get("id") is not None]
        assert seen == sorted(set(seen)), "not strictly increasing"
        for frame in frames:
            if frame.get("id") is not None:
                assert frame["number"] == int(self.all[frame["id"]].payload), frame
        gaps = [
            (frame["after"] if isinstance(frame["after"], int) else 0, frame["next"])
            for frame in frames
            if frame.get("type") == "gap" and frame["reason"] != "ahead"
        ]
        without_id = {
            frame["number"] for frame in frames if "number" in frame and frame["id"] is None
        }
        for place, frame in enumerate(frames):
            if "number" in frame:
                change = [one for one in connection.filters if one.frames <= place][-1]
                assert change.topics.matches(self.topics[frame["number"]]), "not what it wants"
        for one in seen:
            number = self.all[one].payload
            if int(number) in without_id:
                showing = self.shown_in[int(number)]
                assert showing <= connection.live_since, f"{one} was shown twice to a live reader"
        # What is not live at the end is owed no more than what was seen.
        through = through or max(seen, default=0)
        owed = [one for one in sorted(self.all) if connection.start < one <= through]
        self._check_filters(connection, owed, set(seen), gaps, without_id)

    def _check_filters(
        self,
        connection: Connection,
        owed: list[int],
        seen: set[int],
        gaps: list[tuple[int, int]],
        without_id: set[int],
    ) -> None:
        """Some moments for the changes of the filter explain exactly what was seen.

        While a reader is behind, the test does not know how far it had read when the filter
        changed; but it must be one place, before which the old filter holds and after it the new.
        """
        filters = connection.filters
        possible = {0}
        for one in owed:
            message = self.all[one]
            for index in range(1, len(filters)):  # may have changed before this message
                if index - 1 in possible and one > filters[index].surely_old:
                    possible.add(index)
            for index in range(1, len(filters)):  # must have changed before this message
                if one > filters[index].surely_new:
                    possible -= set(range(index))
            excused = (
                one in connection.excused
                or int(message.payload) in without_id
                or (
                    one in self.pruned and any(after < one < following for after, following in gaps)
                )
            )
            if one in seen:
                assert not any(after < one < following for after, following in gaps), one
                possible = {i for i in possible if filters[i].topics.matches(message.topic)}
                assert possible, f"{one} on {message.topic} is not in the filter"
            elif not excused:
                possible = {i for i in possible if not filters[i].topics.matches(message.topic)}
                assert possible, f"{one} on {message.topic} is missing: {connection.peer.frames}"


LINES = Lines()
