"""The questions to the history as calls: messages, topics, series, and pages that name the next.

Answers for: what is asked, and where a page ends. Does not: do I/O. Of the docstrings here
those of the clients' methods are made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl

from client.call import Answer, Call, encode_topic
from client.errors import LogGap
from client.values import Gap, Message, Series, Topic

T_co = TypeVar("T_co", covariant=True)
Topics = str | Sequence[str] | None
Moment = str | int | float | datetime | date | timedelta | None
Order = Literal["asc", "desc"]
PAGE_MESSAGES = 1_000
NO_VALUE = frozenset((304,))
_NEXT = re.compile(r'<[^>?]*\?([^>]*)>\s*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class Page(Generic[T_co]):
    """Some items, and the call that brings those after them."""

    items: Sequence[T_co]
    following: Call[Page[T_co]] | None


def pairs(**values: Any) -> list[tuple[str, str]]:
    """Return query parameters as the service reads them; None is left out."""
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        several = isinstance(value, Sequence) and not isinstance(value, str)
        for one in value if several else [value]:
            if one is not None:
                found.append((name, _text(one)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        return (datetime.now(UTC) - value).isoformat()
    if isinstance(value, float):
        return f"{value:.6f}"
    return value.isoformat() if isinstance(value, date) else str(value)


def get_messages(
    topic: Topics = None,
    limit: int = 100,
    offset: int = 0,
    *,
    after: str | int | None = None,
    before: str | int | None = None,
    since: Moment = None,
    until: Moment = None,
    order: Order | None = None,
    qos: int | None = None,
    retain: bool | None = None,
    contains: str | None = None,
) -> Call[list[dict[str, Any]]]:
    """Return one page of messages as dictionaries, newest first; see `messages` for all of them.

    `topic` is a filter or several; `after` and `before` are positions, exclusive; `since` and
    `until` are times: a datetime (no zone is UTC), a timedelta back from now, epoch seconds, ISO
    8601, or such as "15m", "24h", "7d".
    """
    query = pairs(
        topic=topic,
        limit=limit,
        offset=offset or None,
        after=after,
        before=before,
        since=since,
        until=until,
        order=order,
        qos=qos,
        retain=retain,
        contains=contains,
    )
    return Call("GET", "/messages", lambda answer: list(answer.json()), query)


def messages(query: list[tuple[str, str]], limit: int | None, gaps: str) -> Call[Page[Message]]:
    """Return the call for the first page; each page brings the call for the next."""
    size = min(PAGE_MESSAGES, limit or PAGE_MESSAGES)
    read = partial(_message_page, left=limit, gaps=gaps, head=None)
    return Call("GET", "/messages", read, [*query, ("limit", str(size))])


def _message_page(
    answer: Answer, *, left: int | None, gaps: str, head: int | None
) -> Page[Message]:
    epoch, _, newest = answer.headers["x-log-position"].rpartition(".")
    head = int(newest) if head is None else head  # what comes while we read is not waited for
    gap = answer.headers.get("x-log-gap")
    if gap and gaps == "raise":
        raise LogGap(Gap.from_header(gap, epoch))
    items = [Message.from_dict(fields) for fields in answer.json()][:left]
    left = None if left is None else left - len(items)
    following = _following(answer)
    if following is None or not items or left == 0:
        return Page(items, None)
    after = following.get("after", [""])[0].rpartition(".")[2]
    if after.isdigit() and int(after) >= head:
        return Page(items, None)
    read = partial(_message_page, left=left, gaps=gaps, head=head)
    return Page(items, Call("GET", "/messages", read, _flat(following)))


def _following(answer: Answer) -> dict[str, list[str]] | None:
    """Return the query of the next page. Only that is taken from a Link, never a host."""
    found = _NEXT.search(answer.headers.get("link", ""))
    if found is None:
        return None
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(found.group(1), keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return query


def _flat(query: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, values in query.items() for value in values]


def message(position: int | str) -> Call[Message]:
    """Return one message by id or position; NotFound when there is none."""
    return Call("GET", f"/messages/{encode_topic(str(position))}", _one_message)


def _one_message(answer: Answer) -> Message:
    return Message.from_dict(answer.json())


def payload(position: int | str) -> Call[bytes]:
    """Return the raw bytes of one message."""
    path = f"/messages/{encode_topic(str(position))}/payload"
    return Call("GET", path, lambda answer: answer.content)


def purge(
    *, topic: Topics = None, before: str | int | None = None, until: Moment = None
) -> Call[int]:
    """Remove messages for good, by at least one of these; return how many. For administrators."""
    query = pairs(topic=topic, before=before, until=until)
    return Call("DELETE", "/messages", lambda answer: int(answer.json()["data"]["deleted"]), query)


def backup() -> Call[None]:
    """Return the call for a copy of the database, which is to be streamed."""
    return Call("GET", "/backup", lambda answer: None)


def get_topics(
    topic: Topics = None, *, prefix: str | None = None, limit: int | None = None
) -> Call[list[str]]:
    """Return the names of the topics that have messages, sorted."""
    query = pairs(topic=topic, prefix=prefix, limit=limit)
    return Call("GET", "/topics", lambda answer: list(answer.json()), query)


def topics(topic: Topics, prefix: str | None) -> Call[Page[Topic]]:
    """Return the call for the first page of topics in detail."""
    return Call("GET", "/topics", _topic_page, pairs(topic=topic, prefix=prefix, details=True))


def _topic_page(answer: Answer) -> Page[Topic]:
    items = [Topic.from_dict(fields) for fields in answer.json()]
    following = _following(answer)
    if following is None:
        return Page(items, None)
    return Page(items, Call("GET", "/topics", _topic_page, _flat(following)))


def topic(
    name: str, *, wait: float | None = None, newer_than: str | None = None
) -> Call[Topic | None]:
    """Return one topic with its last message, which outlives retention; NotFound without one.

    With `wait` (seconds, at most 60) it waits for the next value, and returns None when none
    came. With `newer_than` (the `position` of a Topic that you have) it returns None while that
    one is still the last.
    """
    headers = {"If-None-Match": f'"{newer_than}"'} if newer_than else {}
    return Call(
        "GET",
        f"/topics/{encode_topic(name)}",
        _one_topic,
        pairs(wait=wait),
        headers=headers,
        also=NO_VALUE,
        patience_s=wait or 0,
    )


def _one_topic(answer: Answer) -> Topic | None:
    if answer.status != 200:
        return None
    return Topic.from_dict(answer.json(), answer.headers.get("etag", "").strip('"') or None)


def series(
    topic: str,
    *,
    field: str | None = None,
    since: Moment = None,
    until: Moment = None,
    bucket: str = "auto",
    max_points: int | None = None,
) -> Call[Series]:
    """Return the numbers of one topic over time, of the last 24 hours unless `since` says else.

    `field` is a JSON path such as "$.value"; without it the payload is the number. `bucket` is
    such as "10s", "5m", "1h", or "auto" with at most `max_points` (500).
    """
    query = pairs(
        topic=topic, field=field, since=since, until=until, bucket=bucket, max_points=max_points
    )
    return Call("GET", "/series", lambda answer: Series.from_dict(answer.json()), query)
