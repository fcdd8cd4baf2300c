"""handlers/queries.py: a query that was right is not read anew, and that shows nowhere."""

from __future__ import annotations

import pytest

from handlers import queries
from handlers.contract import Contract, load_document
from handlers.problems import Problem
from handlers.queries import Queries

CONTRACT = Contract(load_document(), "1.2.3")


def of(path: str) -> Queries:
    """Return the queries of GET on a path, which have heard of none yet."""
    known = CONTRACT._queries[path, "get"]
    known._known.clear()
    return known


def test_the_same_query_gives_the_same_values_each_time() -> None:
    """Each caller has a dictionary of its own; defaults are filled in."""
    messages = of("/messages")
    first = messages.values("topic=a/%23&topic=b&limit=7")
    assert first["topic"] == ["a/#", "b"] and first["limit"] == 7 and first["format"] == "json"
    kept = dict(first)
    first["limit"] = 1
    assert messages.values("topic=a/%23&topic=b&limit=7") == kept


def test_what_is_wrong_is_wrong_each_time() -> None:
    """A fault is found anew, and never remembered as right."""
    messages = of("/messages")
    for _ in range(2):
        with pytest.raises(Problem) as found:
            messages.values("limit=0&colour=red")
        assert len(found.value.faults) == 2
    assert not messages._known


def test_the_memory_is_bounded() -> None:
    """In queries and in their length; beyond it they are read as ever."""
    messages = of("/messages")
    for number in range(3 * queries.MEMORY):
        assert messages.values(f"offset={number}")["offset"] == number
    assert len(messages._known) <= queries.MEMORY
    messages._known.clear()
    assert messages.values("contains=" + queries.MEMORY_LENGTH * "x")
    assert not messages._known


def test_a_ticket_is_not_kept() -> None:
    """It is a secret, and of one use."""
    events = of("/events")
    assert events.values("ticket=abc&topic=a")["ticket"] == "abc"
    assert not events._known
