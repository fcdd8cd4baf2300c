"""What a reader may ask of the history: positions, and which messages.

Answers for: the value objects and the parsing of positions. Does not: run SQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from store.message import Message
from store.topics import TopicFilter

# SQLite's largest integer; as an exclusive upper bound it means "no bound".
NO_BOUND = 2**63 - 1
_POSITION = re.compile(r"(?:([a-z][a-z0-9]{0,31})\.)?(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log: after message `id`. `epoch` is None when a bare id was given."""

    id: int
    epoch: str | None = None


class InvalidPosition(ValueError):
    """The text is not a position."""


def parse_position(text: str) -> Position:
    """Read `<epoch>.<id>` or a bare id; InvalidPosition says what is allowed."""
    found = _POSITION.fullmatch(text)
    if not found:
        raise InvalidPosition("must be a position: <epoch>.<id>, or a whole number")
    return Position(int(found.group(2)), found.group(1))


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages: all conditions hold together. Ids are exclusive, `since_us` is inclusive,
    `until_us` exclusive; `topics` None means every topic."""

    topics: TopicFilter | None = None
    after_id: int = 0
    before_id: int = NO_BOUND
    since_us: int | None = None
    until_us: int | None = None
    qos: int | None = None
    retain: bool | None = None
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the history, and what was true of the log in the same instant."""

    messages: list[Message]
    newest_id: int
    oldest_id: int | None
    pruned_id: int
    """Retention has removed messages of the selected topics up to here; only what lies behind
    `after_id` is worth telling."""
    complete: bool
    """Whether the page reached the end of the selection, so that nothing more matched."""
    unstored: tuple[int, int] | None = None
    """Reading forward begins at a place where messages were shown and never stored: the ids
    before and behind it."""
    scanned_id: int = 0
    """Reading forward: the log has been read up to here, so the next page begins after it. 0 where
    the last message says it."""
