"""`/messages`: pages of the history, one message, its raw payload, and purging."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import quote_plus

from gateway.hub import Hub
from handlers.base import Handler
from handlers.parsing import one_problem, parse_moment
from handlers.problems import Fault, Problem, unprocessable
from handlers.prompt import PromptHandler
from handlers.tables import CONTENT_TYPES, csv_header, csv_lines, ndjson_lines
from store.counted import counted
from store.history import History
from store.message import Message, message_json, payload_bytes
from store.purge import Purge
from store.selection import NO_BOUND, InvalidPosition, Page, Position, Selection, parse_position
from store.topics import TopicFilter

# To look takes a tenth of the time that quoting does.
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z0-9._-]*")


class Messages(PromptHandler):
    """`GET /messages` and `DELETE /messages`."""

    history: History
    hub: Hub
    now_us: Callable[[], int]
    prompt_method = "GET"

    def get(self) -> Coroutine[Any, Any, None] | None:
        """Answer with one page of messages, at once if it is of those that came last."""
        query = self.query()
        ascending = query.get("order", "asc" if "after" in query else "desc") == "asc"
        reading = ReadOrder(
            query,
            self.now_us(),
            self.history,
            self.hub.newest_id,
            self.visible(query.get("topic")),
        )
        bounds = {"limit": query["limit"], "offset": query["offset"], "ascending": ascending}
        page = None if reading.may_gap else self.history.recent(reading.selection, **bounds)
        if page is None:
            return self._ask(query, reading, bounds)
        self._tell(query, reading, page, ascending)
        return None

    async def _ask(self, query: dict[str, Any], reading: ReadOrder, bounds: dict[str, Any]) -> None:
        page = await self.history.page(reading.selection, **bounds)
        self._tell(query, reading, page, bounds["ascending"])

    def _tell(self, query: dict[str, Any], reading: ReadOrder, page: Page, ascending: bool) -> None:
        self.set_header("X-Log-Position", reading.position)
        gap = reading.gap(page)
        if gap:
            self.set_header("X-Log-Gap", gap)
        following = self._next_page(query, page, ascending, reading)
        if following:
            self.set_header("Link", f'<messages?{following}>; rel="next"')
        self.set_header("Content-Type", CONTENT_TYPES[query["format"]])
        self.finish_with(_written(page.messages, query["format"]))

    def _next_page(
        self, query: dict[str, Any], page: Page, ascending: bool, reading: ReadOrder
    ) -> str:
        """Return the query of the page that follows by key; ascending there always is one."""
        last_id = page.messages[-1].id if page.messages else None
        if ascending:
            after_id = page.scanned_id or last_id or reading.selection.after_id
            if page.complete and reading.selection.before_id > self.hub.newest_id:
                after_id = max(after_id, self.hub.newest_id)
            changed = {"after": f"{reading.epoch}.{after_id}", "order": "asc"}
        elif last_id is None or page.complete:
            return ""
        else:
            changed = {"before": f"{reading.epoch}.{last_id}", "order": "desc"}
        kept = {name: value for name, value in query.items() if name not in ("offset", *changed)}
        return "&".join(_parameters({**kept, **changed}))

    async def delete(self) -> None:
        """Remove messages for good."""
        query = self.query()
        if not query.keys() & {"topic", "before", "until"}:
            raise unprocessable([Fault("topic", "or before or until is needed: what to remove")])
        topics = self.visible(query.get("topic"))
        reading = ReadOrder(query, self.now_us(), self.history, NO_BOUND - 1, topics)
        selection = reading.selection
        self.audited = f"purge {self.request.query!r}"
        removed = await self.history.purge(
            Purge(selection.topics, selection.before_id, selection.until_us)
        )
        self.audited = f"purge {self.request.query!r} ({removed} removed)"
        self.reply(
            {
                "success": True,
                "message": f"{counted(removed, 'message')} removed",
                "data": {"deleted": removed},
            }
        )


class ReadOrder:
    """A checked query turned into a selection of the log.

    Nothing above `newest_id`, the last message shown, is read: a message is acknowledged first.
    """

    def __init__(
        self,
        query: dict[str, Any],
        now_us: int,
        history: History,
        newest_id: int,
        topics: TopicFilter | None,
    ) -> None:
        totals = history.totals()
        self.epoch = totals.epoch
        self.position = f"{totals.epoch}.{newest_id}"
        """The head at the time of reading: nothing above it was asked for."""
        self._given_id = totals.newest_id
        self._pruned_id = totals.pruned_id
        self._after: Position | None = None
        self._gap_before: str | None = None
        faults = []
        before_id = NO_BOUND
        if "before" in query:
            before = parse_position(query["before"])
            if before.epoch not in (None, self.epoch):
                faults.append(Fault("before", f"is of another log; this one is {self.epoch}"))
            before_id = before.id
        one_problem(faults)
        self.selection = Selection(
            topics=topics,
            after_id=self._start(query, totals.pruned_id, newest_id),
            before_id=min(before_id, newest_id + 1),
            since_us=parse_moment(query["since"], now_us) if "since" in query else None,
            until_us=parse_moment(query["until"], now_us) if "until" in query else None,
            qos=query.get("qos"),
            retain=query.get("retain"),
            contains=query.get("contains"),
        )

    def _start(self, query: dict[str, Any], pruned_id: int, newest_id: int) -> int:
        if "after" not in query:
            return 0
        after = self._after = parse_position(query["after"])
        if after.epoch not in (None, self.epoch):
            self._gap_before = f"reason=epoch;after={after.epoch}.{after.id};next={{}}"
            return pruned_id
        if after.id > self._given_id:
            self._gap_before = f"reason=ahead;after={after.id};next={newest_id + 1}"
            return newest_id
        return after.id

    @property
    def may_gap(self) -> bool:
        """Whether something is gone behind where it begins, if only from other topics."""
        return self._after is not None and self._after.id < self._pruned_id

    def gap(self, page: Page) -> str:
        """Return what X-Log-Gap says of this page, or the empty text."""
        oldest = page.oldest_id or page.pruned_id + 1
        if self._gap_before:
            return self._gap_before.format(oldest)
        if page.unstored is not None:
            return f"reason=unstored;after={page.unstored[0]};next={page.unstored[1]}"
        if self._after is not None and self._after.id < page.pruned_id:
            return f"reason=pruned;after={self._after.id};next={oldest}"
        return ""


class OneMessage(Handler):
    """`GET /messages/{id}`."""

    history: History
    hub: Hub

    async def get(self, text: str) -> None:
        """Answer with one message."""
        self.query()
        self.finish_with(message_json(await self.find(text)).encode("utf-8"))

    async def find(self, text: str) -> Message:
        """Return the message at a position; a Problem 404 when there is none."""
        try:
            position = parse_position(text)
        except InvalidPosition as error:
            raise unprocessable([Fault("id", str(error))]) from None
        ours = position.epoch in (None, self.history.totals().epoch)
        message = None
        if ours and position.id <= self.hub.newest_id:
            message = await self.history.message(position.id)
        if message is None or not self.caller.may_read(message.topic):
            raise Problem(404, f"there is no message {text}")
        return message


class RawPayload(OneMessage):
    """`GET /messages/{id}/payload`."""

    async def get(self, text: str) -> None:
        """Answer with the very bytes that came over MQTT, as a download."""
        self.query()
        message = await self.find(text)
        properties = json.loads(message.properties) if message.properties else {}
        kind = properties.get("content_type", "")
        self.set_header(
            "Content-Type", kind if _is_media_type(kind) else "application/octet-stream"
        )
        self.set_header("Content-Disposition", f'attachment; filename="message-{message.id}"')
        self.finish_with(payload_bytes(message.payload))


def _is_media_type(text: str) -> bool:
    kind, slash, rest = text.partition("/")
    return bool(kind and slash and rest) and text.isascii() and text.isprintable()


def _parameters(values: dict[str, Any]) -> Iterator[str]:
    """Yield `name=value` for each value of a query, quoted where that is needed."""
    for name, value in values.items():
        for one in value if isinstance(value, list) else (value,):
            text = ("false", "true")[one] if isinstance(one, bool) else str(one)
            yield f"{name}={text if _NEEDS_NO_QUOTES.fullmatch(text) else quote_plus(text)}"


def _written(messages: list[Message], form: str) -> bytes:
    if form == "ndjson":
        return ndjson_lines(messages)
    if form == "csv":
        return csv_header() + csv_lines(messages, raw=False)
    # One that was written before is not asked for in a call.
    return f"[{','.join([one.json or message_json(one) for one in messages])}]".encode()
