"""`GET /topics`, `GET /topics/{topic}` and `GET /series`: what the plant says, by topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from gateway.hub import Hub
from gateway.metrics import Metrics
from handlers.base import Handler
from handlers.parsing import parse_moment
from handlers.problems import Fault, Problem, unprocessable
from handlers.topic_json import summary_json
from store.history import History
from store.message import Message, compact_json, iso_time
from store.series import SECOND_US, Point
from store.topic_reading import TopicSummary
from store.topics import TopicFilter

DETAILED_LIMIT = 1_000
MAX_BUCKETS = 10_000
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# `auto` takes the first of these that is wide enough, so that points begin at round times.
NICE_SECONDS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800),
    *(3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800),
)


class Topics(Handler):
    """`GET /topics`."""

    history: History
    metrics: Metrics

    async def get(self) -> None:
        """Answer with the topics that have messages."""
        query = self.query()
        topics = self.visible(query.get("topic"))
        prefix, after = query.get("prefix", ""), query.get("after", "")
        limit = query.get("limit")
        if query["details"]:
            limit = limit or DETAILED_LIMIT
            found = await self.history.topic_summaries(topics, prefix, after, limit)
            names = [one.topic for one in found]
            body = ",".join(summary_json(one, self.metrics, cut=True) for one in found)
        else:
            names = await self.history.topics(topics, prefix, after, limit)
            body = ",".join(map(compact_json, names))
        if limit is not None and len(names) == limit:
            given = {**query, "after": names[-1], "details": str(query["details"]).lower()}
            self.set_header("Link", f'<topics?{urlencode(given, doseq=True)}>; rel="next"')
        self.finish_with(f"[{body}]".encode())


class ShownId:
    """Waits until a message is shown that is newer than those known already.

    One that is not stored has no id, and is no value to come back to.
    """

    def __init__(self, known_id: int) -> None:
        self._known_id = self._newest_id = known_id
        self.later = asyncio.Event()

    def notice(self, message: Message) -> None:
        """Called by the hub with each message of the topic."""
        self._newest_id = max(self._newest_id, message.id or 0)
        if self._newest_id > self._known_id:
            self.later.set()

    def pass_over(self, message_id: int | None) -> None:
        """Take a message for known: only what is newer ends the waiting."""
        self._known_id = max(self._known_id, message_id or 0)
        if self._newest_id <= self._known_id:
            self.later.clear()

    def give_up(self) -> None:
        """End the waiting: nobody is there any more."""
        self.later.set()


class OneTopic(Handler):
    """`GET /topics/{topic}`: the last known value, or the next one."""

    history: History
    hub: Hub
    metrics: Metrics
    waiters: asyncio.Semaphore

    _left: Callable[[], None] = staticmethod(lambda: None)

    async def get(self, topic: str) -> None:
        """Answer with the topic; with `wait`, when it next has a value."""
        query = self.query()
        self.contract.check_text("topic", topic, "topic-name")
        self.require_topic(topic)
        known = self.request.headers.get("If-None-Match")
        wait_s = query.get("wait")
        shown = ShownId(self.hub.newest_id)
        self._left = shown.give_up
        end = self.hub.watch(TopicFilter((topic,)), shown.notice)
        try:
            summary = await self.history.topic_summary(topic)
            if wait_s is not None and (known is None or self._is_known(summary, known)):
                if known is not None and summary is not None and summary.last_message is not None:
                    shown.pass_over(summary.last_message.id)  # committed, and known before shown
                if not await self._wait(shown.later, wait_s):
                    self._answer_unchanged(known, summary)
                    return
                summary = await self.history.topic_summary(topic)
        finally:
            end()
        if summary is None or summary.last_message is None:
            raise Problem(404, f"there is no message of {topic}")
        self.set_header("ETag", self._tag(summary))
        if known is not None and self._is_known(summary, known):
            self._answer_unchanged(known, summary)
            return
        self.finish_with(summary_json(summary, self.metrics, cut=False).encode())

    def on_connection_close(self) -> None:
        """The caller hung up: its place is free at once."""
        super().on_connection_close()
        self._left()

    async def _wait(self, arrived: asyncio.Event, wait_s: float) -> bool:
        if self.waiters.locked():
            raise Problem(503, "too many callers wait for values", headers={"Retry-After": "5"})
        async with self.waiters:
            try:
                async with asyncio.timeout(wait_s):
                    await arrived.wait()
            except TimeoutError:
                return False
        return True

    def _tag(self, summary: TopicSummary) -> str:
        assert summary.last_message is not None
        return f'"{self.history.totals().epoch}.{summary.last_message.id}"'

    def _is_known(self, summary: TopicSummary | None, known: str) -> bool:
        if summary is None or summary.last_message is None:
            return False
        tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
        return "*" in tags or self._tag(summary) in tags

    def _answer_unchanged(self, known: str | None, summary: TopicSummary | None) -> None:
        if summary is not None and summary.last_message is not None:
            self.set_header("ETag", self._tag(summary))
        self.clear_header("Content-Type")
        self.set_status(204 if known is None else 304)
        self.finish_with(b"")


class SeriesOf(Handler):
    """`GET /series`: numbers over time, for charts."""

    history: History
    now_us: Callable[[], int]

    async def get(self) -> None:
        """Answer with buckets of one topic."""
        query = self.query()
        self.require_topic(query["topic"])
        now_us = self.now_us()
        since_us = parse_moment(query["since"], now_us)
        until_us = parse_moment(query["until"], now_us) if "until" in query else now_us
        if until_us <= since_us:
            given = "until" in query
            at_fault = ("until", "must be later than since") if given else ("since", "must be past")
            raise unprocessable([Fault(*at_fault)])
        seconds = _bucket_seconds(query, since_us, until_us)
        found = await self.history.series(
            query["topic"], query.get("field"), since_us, until_us, seconds * SECOND_US
        )
        self.reply(
            {
                "topic": query["topic"],
                "field": query.get("field"),
                "bucket_seconds": seconds,
                "points": [_point(point) for point in found.points],
                "skipped": found.skipped,
            }
        )


def _bucket_seconds(query: dict[str, Any], since_us: int, until_us: int) -> int:
    def buckets(seconds: int) -> int:  # those begun and ended within count as well
        width_us = seconds * SECOND_US
        return (until_us - 1) // width_us - since_us // width_us + 1

    if query["bucket"] == "auto":
        for seconds in NICE_SECONDS:
            if buckets(seconds) <= query["max_points"]:
                return seconds
        while buckets(seconds) > query["max_points"]:
            seconds *= 2
        return seconds
    seconds = int(query["bucket"][:-1]) * UNITS[query["bucket"][-1]]
    if buckets(seconds) > MAX_BUCKETS:
        raise unprocessable([Fault("bucket", f"would make more than {MAX_BUCKETS:,} points")])
    return seconds


def _point(point: Point) -> dict[str, object]:
    return {
        "t": iso_time(point.start_us),
        "count": point.count,
        "min": point.min,
        "max": point.max,
        "avg": point.avg,
        "first": point.first,
        "last": point.last,
    }
