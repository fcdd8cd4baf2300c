"""Which topics a caller may publish to and subscribe to, as Problems.

Answers for: the 403 of an order. Pure functions of a Caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers.keyring import Caller
from handlers.problems import Problem
from store.topics import covers, overlap


def permit_publish(caller: Caller, topic: str) -> None:
    """Raise a Problem 403 when the caller may not publish to the topic."""
    if not caller.may_publish(topic):
        raise Problem(403, f"the key {caller.name} may not publish to this topic")


def permit_order(caller: Caller, order: Mapping[str, Any]) -> None:
    """Raise a Problem 403 when the caller may not publish to the topic, or asks for a reply to
    one where it may neither read nor publish: whoever replies would do for it what it may not."""
    permit_publish(caller, order["topic"])
    reply_to = order.get("properties", {}).get("response_topic")
    if reply_to is not None and not (caller.may_publish(reply_to) or caller.may_read(reply_to)):
        raise Problem(403, f"the key {caller.name} may not have replies sent to this topic")


def permit_subscribe(caller: Caller, text: str) -> None:
    """Raise a Problem 403 when the filter reaches beyond what the caller may read.

    Only a caller with the scope `admin` may name the broker's own topics.
    """
    special = text.startswith("$SYS") and caller.digest and not caller.may("admin")
    inside = caller.read is None or any(covers(own, text) for own in caller.read.texts)
    if special or not inside:
        raise Problem(403, f"the key {caller.name} may not subscribe to this filter")


def permits_filter(caller: Caller, text: str) -> bool:
    """Return whether a caller may know that the gateway holds this filter."""
    return caller.read is None or any(overlap(own, text) for own in caller.read.texts)
