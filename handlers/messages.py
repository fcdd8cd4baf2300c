"""`GET /messages` and `GET /topics`: questions to the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from handlers.base import Handler
from handlers.parsing import one_problem, parse_moment
from handlers.problems import Fault
from store.history import History
from store.message import message_json
from store.selection import NO_BOUND, Page, Selection, parse_position
from store.topics import TopicFilter


class Messages(Handler):
    """`GET /messages`."""

    history: History
    now_us: Callable[[], int]

    async def get(self) -> None:
        """Answer with one page of messages."""
        query = self.query()
        ascending = query.get("order", "asc" if "after" in query else "desc") == "asc"
        page = await self.history.page(
            read_selection(query, self.now_us(), self.history.totals().epoch),
            limit=query["limit"],
            offset=query["offset"],
            ascending=ascending,
        )
        self._log_headers(query, page)
        body = ",".join(map(message_json, page.messages))
        self.finish_with(f"[{body}]".encode())

    def _log_headers(self, query: dict[str, Any], page: Page) -> None:
        epoch = self.history.totals().epoch
        self.set_header("X-Log-Position", f"{epoch}.{page.newest_id}")


def read_selection(query: dict[str, Any], now_us: int, epoch: str) -> Selection:
    """Turn a checked query into a selection; a Problem 422 for positions of another log."""
    faults = []
    bounds = {"after": 0, "before": NO_BOUND}
    for name in bounds:
        if name in query:
            position = parse_position(query[name])
            if position.epoch not in (None, epoch):
                faults.append(Fault(name, f"is a position of another log; this one is {epoch}"))
            bounds[name] = position.id
    one_problem(faults)
    topics = query.get("topic")
    return Selection(
        topics=TopicFilter(topics) if topics else None,
        after_id=bounds["after"],
        before_id=bounds["before"],
        since_us=parse_moment(query["since"], now_us) if "since" in query else None,
        until_us=parse_moment(query["until"], now_us) if "until" in query else None,
        qos=query.get("qos"),
        retain=query.get("retain"),
        contains=query.get("contains"),
    )


class Topics(Handler):
    """`GET /topics`."""

    history: History

    async def get(self) -> None:
        """Answer with the topics that have messages."""
        query = self.query()
        topics = TopicFilter(query["topic"]) if "topic" in query else None
        self.reply(await self.history.topics(topics, query.get("prefix", "")))
