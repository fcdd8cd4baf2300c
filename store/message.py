"""A message as it arrived, and its one JSON form.

Answers for: the value that travels the whole message path, and how bytes become JSON text.
Does not: store, route or deliver anything.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from json.encoder import encode_basestring

# Made once: json.dumps would make one for each call.
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class InvalidPayload(ValueError):
    """The given text is not what its encoding says."""


@dataclass(slots=True)
class Message:
    """One MQTT message, as it came from the broker.

    `payload` is text where the bytes are valid UTF-8 and bytes where they are not: the same
    rule in the database, on the wire and here, so it is decided once, on arrival.
    `id` is None until the history has stored the message; the history alone sets it.
    """

    topic: str
    payload: str | bytes
    timestamp_us: int
    qos: int = 0
    retain: bool = False
    properties: str | None = None
    """MQTT 5 properties as one compact JSON object, or None when there were none."""
    packet_id: int | None = None
    """The MQTT packet number it was delivered with (None at QoS 0); recognises redeliveries."""
    id: int | None = None
    json: str | None = field(default=None, init=False, compare=False, repr=False)
    """What `message_json` returned, once the message has its id and changes no more: a message
    is written once, for however many readers, pages and forms of the wire."""


def text_or_bytes(payload: bytes) -> str | bytes:
    """Return the payload as text if it is valid UTF-8, else unchanged."""
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload


def payload_bytes(payload: str | bytes) -> bytes:
    """Return the very bytes that travelled over MQTT."""
    return payload.encode("utf-8") if isinstance(payload, str) else payload


def decode_base64(text: str) -> bytes:
    """Decode strict base64 (RFC 4648 section 4); InvalidPayload when it is anything else."""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise InvalidPayload("is not valid base64 (RFC 4648, with padding)") from None


def compact_json(value: object) -> str:
    """Return JSON without spaces, in plain UTF-8, and never NaN (ValueError)."""
    return _COMPACT.encode(value)


def iso_time(timestamp_us: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC, always with six digits and a Z."""
    seconds, microseconds = divmod(timestamp_us, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=1024)  # messages come in bursts: most share their second with the one before
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def message_json(message: Message) -> str:
    """Return the message as one compact JSON object (contract, section 2).

    Written by hand because it runs once for each message on the live path: json.dumps of a
    dict costs about three times as much.
    """
    if message.json is not None:
        return message.json
    payload = message.payload
    if isinstance(payload, str):
        body = encode_basestring(payload)
        tail = ""
    else:
        body = f'"{base64.b64encode(payload).decode("ascii")}"'
        tail = ',"encoding":"base64"'
    if message.properties is not None:
        tail += f',"properties":{message.properties}'
    number = message.id  # asked once: the writer's thread may set it meanwhile
    retain = "true" if message.retain else "false"
    written = (
        f'{{"id":{"null" if number is None else number}'
        f',"topic":{encode_basestring(message.topic)},"payload":{body},'
        f'"timestamp":"{iso_time(message.timestamp_us)}","qos":{message.qos},"retain":{retain}{tail}}}'
    )
    if number is not None:
        message.json = written
    return written


def message_fields(message: Message) -> str:
    """Return the members of the JSON object without its braces, for frames that add their own."""
    return message_json(message)[1:-1]
