"""Which topics a caller may order about."""

from __future__ import annotations

import pytest

from handlers.keyring import ANYBODY, Caller
from handlers.permits import permit_order, permit_publish, permit_subscribe, permits_filter
from handlers.problems import Problem
from store.topics import TopicFilter


def caller(read: list[str] | None = None, publish: list[str] | None = None, *scopes: str) -> Caller:
    """Return a caller with a key that is narrowed to these filters."""
    return Caller(
        "one",
        frozenset(scopes or ("read", "publish", "subscribe")),
        None if read is None else TopicFilter(read),
        None if publish is None else TopicFilter(publish),
        digest=b"1",
    )


def refused(order: object, *arguments: object) -> bool:
    """Return whether an order is refused, which must be by a 403 that names the key."""
    try:
        order(*arguments)  # type: ignore[operator]
    except Problem as problem:
        assert problem.status == 403
        assert "the key one" in problem.detail
        return True
    return False


@pytest.mark.parametrize(
    ("publish", "topic", "allowed"),
    [
        (None, "any/thing", True),
        (["#"], "any/thing", True),
        (["#"], "$other/thing", False),
        (["a/+", "b"], "a/x", True),
        (["a/+", "b"], "b", True),
        (["a/+", "b"], "a/x/y", False),
        (["a/+", "b"], "a", False),
        (["a/#"], "a", True),
        ([], "a", False),
    ],
)
def test_publishing_stays_within_the_filters(
    publish: list[str] | None, topic: str, allowed: bool
) -> None:
    """A key may publish to what its filters match; without filters, to everything."""
    assert refused(permit_publish, caller(None, publish), topic) is not allowed


@pytest.mark.parametrize(
    ("reply_to", "allowed"), [("r/x", True), ("p/x", True), ("other", False), (None, True)]
)
def test_replies_go_only_where_the_key_may_look_or_write(
    reply_to: str | None, allowed: bool
) -> None:
    """Who asks for a reply has somebody publish it: to a topic of its own rights."""
    order = {"topic": "p/ask", "payload": 1}
    if reply_to:
        order["properties"] = {"response_topic": reply_to}
    assert refused(permit_order, caller(["r/#"], ["p/#"]), order) is not allowed
    assert not refused(permit_order, caller(), order)
    assert refused(permit_order, caller(["r/#"], ["p/#"]), {**order, "topic": "r/ask"})


@pytest.mark.parametrize(
    ("read", "text", "allowed"),
    [
        (None, "#", True),
        (["#"], "#", True),
        (["a/#"], "a/b/+", True),
        (["a/#"], "a", True),
        (["a/#"], "a/#", True),
        (["a/#"], "#", False),
        (["a/#"], "+/b", False),
        (["a/#"], "b", False),
        (["a/+"], "a/#", False),
        (["a/+"], "a/b", True),
        (["a", "b"], "+", False),
        ([], "a", False),
    ],
)
def test_subscribing_stays_within_what_may_be_read(
    read: list[str] | None, text: str, allowed: bool
) -> None:
    """A filter must lie within one of the key's own as a whole."""
    assert refused(permit_subscribe, caller(read), text) is not allowed


@pytest.mark.parametrize("text", ["$SYS/#", "$SYS/broker/uptime", "$SYS", "$SYS/+/x"])
def test_the_brokers_topics_are_the_administrators(text: str) -> None:
    """$SYS needs the scope admin where there are keys; where there are none it is open."""
    assert refused(permit_subscribe, caller(), text)
    assert refused(permit_subscribe, caller(["$SYS/#"]), text)
    assert not refused(permit_subscribe, caller(None, None, "subscribe", "admin"), text)
    assert refused(permit_subscribe, caller(["a/#"], None, "subscribe", "admin"), text)
    assert not refused(permit_subscribe, ANYBODY, text)


@pytest.mark.parametrize(
    ("read", "held", "shown"),
    [
        (None, "secret/#", True),
        (["a/#"], "#", True),
        (["a/#"], "+/b", True),
        (["a/#"], "a/b", True),
        (["a/#"], "b/#", False),
        (["a/+"], "a/b/c", False),
        (["#"], "$SYS/#", False),
        ([], "#", False),
    ],
)
def test_a_held_filter_is_shown_to_those_it_concerns(
    read: list[str] | None, held: str, shown: bool
) -> None:
    """A key sees the subscriptions that could bring it something."""
    assert permits_filter(caller(read), held) is shown
