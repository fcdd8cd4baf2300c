"""The end of the log, in memory: the messages that were committed last.

Answers for: pages of which it surely holds every message, with no hop to another thread. Does not:
guess; where an answer may need an older message it is None, and the file is asked. Why there is
such a thing is said in docs/decisions/0023-the-tail-of-the-log.md.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter

from store import reading
from store.log_writer import Totals
from store.message import Message
from store.selection import Page, Selection

# Held at least, where there are as many, and twice that at most: what a screen shows at once, and
# what a program that asks every few seconds has missed.
ROWS = 1_000
# Of what they carry, likewise; with their JSON beside them that is four times as much memory.
MAX_BYTES = 2 * 1024 * 1024
# So many of the newest tell whether a filter matches enough of the others.
SAMPLE = 100

_ID: Callable[[Message], int] = attrgetter("id")


class Tail:
    """Holds messages by reference, in order of id. Lives on the event loop.

    It is told of every change after its commit and in the same order, so that it is never ahead of
    the file.
    """

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._bytes = 0
        self._after_id = 0
        """Of the messages behind it all are here that the file has."""
        self._newest_id = 0
        """The last id that it was told of."""
        self._pauses = 0

    def pause(self) -> None:
        """Hold nothing until as many calls of `begin`: messages may go from anywhere in the log."""
        self._pauses += 1
        self._messages, self._bytes = [], 0

    def begin(self, messages: list[Message], after_id: int, newest_id: int) -> None:
        """Hold all of the log behind `after_id`; `newest_id` is the last that was given."""
        self._pauses -= 1
        if not self._pauses:
            self._messages, self._after_id = messages, after_id
            self._bytes = _bytes_of(messages)
            self._newest_id = newest_id
            self._bound()

    def extend(self, stored: list[Message]) -> None:
        """These were committed behind all others."""
        if self._pauses or not stored:
            return
        if stored[0].id != self._newest_id + 1:  # it was not told of a commit
            self._messages, self._bytes = [], 0
            self._after_id = _ID(stored[0]) - 1
        self._newest_id = _ID(stored[-1])
        if len(stored) > ROWS:  # all that was held goes, and what is first of these
            self._messages, self._bytes = [], 0
            self._after_id = _ID(stored[-ROWS]) - 1
            stored = stored[-ROWS:]
        self._messages += stored
        self._bytes += _bytes_of(stored)
        self._bound()

    def _bound(self) -> None:
        if len(self._messages) > 2 * ROWS or self._bytes > 2 * MAX_BYTES:
            self._shorten()

    def page(
        self, selection: Selection, totals: Totals, *, limit: int, offset: int, ascending: bool
    ) -> Page | None:
        """Return one page as `reading.page` would; None when that needs the file.

        `totals` is what the log holds by now: what retention has removed is here no more. The
        page's `pruned_id` is that of the whole log, also where a selection has one of its own.
        """
        messages = self._messages
        if not messages or totals.oldest_id is None:
            return None
        if self._newest_id != totals.newest_id and selection.before_id > self._newest_id + 1:
            return None  # it was not told of a commit, or not yet
        gone_id = max(self._after_id, totals.pruned_id)  # what is behind it, and no more, is here
        is_whole = self._after_id <= totals.pruned_id or selection.after_id >= gone_id
        wanted = limit + offset + 1
        begin = bisect_right(messages, max(gone_id, selection.after_id), key=_ID)
        end = bisect_left(messages, selection.before_id, key=_ID)
        if not is_whole and (ascending or end - begin < wanted or selection.after_id > 0):
            return None
        order = range(begin, end) if ascending else range(end - 1, begin - 1, -1)
        found = _find(messages, order, selection, wanted, is_whole)
        if found is None:
            return None
        return Page(
            found[offset : offset + limit],
            _ID(messages[-1]) if _ID(messages[-1]) > totals.pruned_id else 0,
            totals.oldest_id,
            totals.pruned_id,
            complete=len(found) < wanted,
        )

    def _shorten(self) -> None:
        """Keep the newest, within both bounds."""
        newest = self._messages[-ROWS:]
        size, first = _bytes_of(newest), 0
        while size > MAX_BYTES:
            size -= _bytes_of((newest[first],))
            first += 1
        gone = len(self._messages) - len(newest) + first
        self._after_id = _ID(self._messages[gone - 1])
        self._messages, self._bytes = newest[first:], size


def _find(
    messages: Sequence[Message],
    order: range,
    selection: Selection,
    wanted: int,
    is_whole: bool,
) -> list[Message] | None:
    """Return the first `wanted` that match, in this order; None when an older one may be one."""
    check = _condition(selection)
    if check is None:
        return [messages[place] for place in order[:wanted]]
    if not is_whole:
        sample = order[:SAMPLE]
        matching = sum(check(messages[place]) for place in sample)
        if matching * len(order) < wanted * len(sample):
            return None  # most likely in vain
    matches = (messages[place] for place in order if check(messages[place]))
    found = list(islice(matches, wanted))
    return found if is_whole or len(found) == wanted else None


def _condition(selection: Selection) -> Callable[[Message], bool] | None:
    """Return what a message must be beside its id; None when any will do."""
    checks: list[Callable[[Message], bool]] = []
    if (qos := selection.qos) is not None:
        checks.append(lambda message: message.qos == qos)
    if (retain := selection.retain) is not None:
        checks.append(lambda message: message.retain == retain)
    if (since_us := selection.since_us) is not None:
        checks.append(lambda message: message.timestamp_us >= since_us)
    if (until_us := selection.until_us) is not None:
        checks.append(lambda message: message.timestamp_us < until_us)
    if (topics := selection.topics) is not None:
        checks.append(lambda message: topics.matches(message.topic))
    if (part := selection.contains) is not None:
        checks.append(lambda message: isinstance(message.payload, str) and part in message.payload)
    if len(checks) == 1:
        return checks[0]
    return (lambda message: all(check(message) for check in checks)) if checks else None


def _bytes_of(messages: Sequence[Message]) -> int:
    return sum([len(one.payload) + len(one.topic) + len(one.properties or "") for one in messages])


def load(connection: sqlite3.Connection) -> tuple[list[Message], int]:
    """Return the end of the log, and the id that all of it is behind."""
    page = reading.page(connection, Selection(), limit=ROWS, max_bytes=MAX_BYTES)
    messages = page.messages[::-1]
    after_id = 0 if page.complete or not messages else _ID(messages[0]) - 1
    # A reader behind such a place must be told of it, which the file knows.
    lost_id = connection.execute("SELECT coalesce(max(next_id) - 1, 0) FROM unstored").fetchone()[0]
    if lost_id > after_id:
        after_id = lost_id
        messages = messages[bisect_right(messages, after_id, key=_ID) :]
    return messages, after_id
