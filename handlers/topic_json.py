"""One topic as JSON: its figures, and its last message.

Answers for: the fields, and cutting a long payload where many topics are listed. Does not: ask
the history (topics.py).
"""

from __future__ import annotations

from json.encoder import encode_basestring

from gateway.metrics import Metrics
from store.message import iso_time, message_fields, message_json, payload_bytes
from store.topic_reading import TopicSummary

CUT_BYTES = 1_024


def summary_json(summary: TopicSummary, metrics: Metrics, *, cut: bool) -> str:
    """Return one topic as JSON; `cut` shortens a long payload and says so.

    Written by hand, like a message: it runs a thousand times for one list.
    """
    fields = (
        f'{{"topic":{encode_basestring(summary.topic)},"message_count":{summary.message_count},'
        f'"first_seen":"{iso_time(summary.first_seen_us)}",'
        f'"last_seen":"{iso_time(summary.last_seen_us)}",'
        f'"rate_1m":{metrics.topic_rates.per_second(summary.topic)}'
    )
    message = summary.last_message
    if message is None:
        last = "null"
    elif cut and _is_long(message.payload):
        message.payload = _cut(message.payload)
        last = "{" + message_fields(message) + ',"truncated":true}'
    else:
        last = message_json(message)
    return f'{fields},"last_message":{last}}}'


def _is_long(payload: str | bytes) -> bool:
    # No character has more than four bytes, so most texts need not be encoded to be measured.
    return len(payload) > CUT_BYTES // 4 and len(payload_bytes(payload)) > CUT_BYTES


def _cut(payload: str | bytes) -> str | bytes:
    """Return the first KiB; a text keeps whole characters."""
    beginning = payload_bytes(payload)[:CUT_BYTES]
    return beginning.decode("utf-8", "ignore") if isinstance(payload, str) else beginning
