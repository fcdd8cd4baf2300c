"""What became of each message, told at LOG_LEVEL=DEBUG.

Answers for: one line a delivery, without its payload, and one for each removal. Does not: decide.
Costs one look at the level for each commit while nobody wants to know.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from gateway.mailbox import Delivery
from store.counted import counted
from store.log_writer import Totals
from store.message import Message

log = logging.getLogger("decision")


def explain(
    deliveries: Sequence[Delivery], to_store: Sequence[Message], stored: Sequence[Message]
) -> None:
    """Tell of one batch, after its commit: what was stored, and why the rest was not."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    ids = {_mark(message): message.id for message in stored}
    wanted = {_mark(message) for message in to_store}
    for delivery in deliveries:
        mark = _mark(delivery.message)
        _tell(delivery.message, _outcome(delivery, mark in wanted, ids.get(mark)))


def explain_unstored(messages: Sequence[Message]) -> None:
    """Tell of messages that are shown although they cannot be stored yet."""
    if log.isEnabledFor(logging.DEBUG):
        for message in messages:
            _tell(message, "cannot be stored yet; shown without an id, kept, not acknowledged")


def explain_refusal(message: Message) -> None:
    """Tell of a message that finds no room in the mailbox. From the broker's thread."""
    if log.isEnabledFor(logging.DEBUG):
        fate = "the broker is to send it again" if message.qos else "lost, as QoS 0 may be"
        _tell(message, f"no room among those that wait to be stored; not taken in, {fate}")


def explain_removal(before: Totals, after: Totals, why: str) -> None:
    """Tell of messages that retention removed."""
    count = after.pruned_total - before.pruned_total
    if count and log.isEnabledFor(logging.DEBUG):
        left = f"the oldest is {after.oldest_id}" if after.oldest_id else "none is left"
        log.debug("%s pruned, %s; %s now", counted(count, "message"), why, left)


def _tell(message: Message, outcome: str) -> None:
    log.debug(
        "%r at QoS %d%s%s: %s",
        message.topic,
        message.qos,
        ", retained" if message.retain else "",
        "" if message.packet_id is None else f", packet {message.packet_id}",
        outcome,
    )


def _mark(message: Message) -> tuple[str, int, int | None]:
    return message.topic, message.timestamp_us, message.packet_id


def _outcome(delivery: Delivery, wanted: bool, message_id: int | None) -> str:
    done = "acknowledged" if delivery.message.qos else "nothing to acknowledge"
    if message_id is not None:
        return f"stored as {message_id}, {done}, shown to who follows it"
    if delivery.not_wanted:
        return f"the broker's own figures, which no subscription asked for; {done}, not stored"
    if delivery.extra_copy:
        return f"a second copy, for an overlapping subscription; {done}, not stored"
    if not wanted:
        return f"delivered again, and stored before; {done}, not stored"
    return f"a retained message that repeats the topic's last value; {done}, not stored"
