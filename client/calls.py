"""Every endpoint as a function that returns the call to be made.

Answers for: what is sent and how the answer is read; the docstrings here are those of the
clients' methods. Does not: do I/O. The history is in history_calls.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from client import shapes
from client.call import Answer, Call, encode_topic
from client.values import Message, Reply

Payload = str | bytes | int | float | bool | list[Any] | dict[str, Any] | None
# The service takes at most so many messages in one batch, and bodies of some 4 MB.
BATCH_MESSAGES = 1_000
BATCH_BYTES = 1_000_000
EITHER = frozenset((503,))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to be published; see `publish` for the fields."""

    topic: str
    payload: Payload
    qos: int = 0
    retain: bool = False
    properties: Mapping[str, Any] | None = None


Publishable = Outgoing | Message | tuple[str, Payload] | Mapping[str, Any]


def info() -> Call[shapes.Service]:
    """Return what answers at this URL: service, version."""
    return Call("GET", "/", _json, headers={"Accept": "application/json"})


def health_check() -> Call[shapes.Health]:
    """Return the state of the service: `status`, and `reasons` where it is degraded."""
    return Call("GET", "/health", _json)


def live() -> Call[shapes.Check]:
    """Return whether the process makes progress; no error when it does not."""
    return Call("GET", "/health/live", _json, also=EITHER)


def ready() -> Call[shapes.Check]:
    """Return whether it is connected and can write; no error when it is not."""
    return Call("GET", "/health/ready", _json, also=EITHER)


def get_statistics() -> Call[shapes.Statistics]:
    """Return the counters of the service."""
    return Call("GET", "/stats", _json)


def whoami() -> Call[shapes.WhoAmI]:
    """Return what the key may do."""
    return Call("GET", "/whoami", _json)


def metrics() -> Call[str]:
    """Return the counters in Prometheus' text format."""
    return Call("GET", "/metrics", lambda answer: answer.content.decode("utf-8"))


def openapi() -> Call[dict[str, Any]]:
    """Return the OpenAPI document."""
    return Call("GET", "/openapi.json", _json)


def asyncapi() -> Call[dict[str, Any]]:
    """Return the AsyncAPI document of the streams."""
    return Call("GET", "/asyncapi.json", _json)


def ticket() -> Call[shapes.Ticket]:
    """Return a ticket with which a browser can open one stream; it holds for 30 seconds."""
    return Call("POST", "/ws/ticket", _json)


def publish(
    topic: str,
    payload: Payload,
    qos: int = 0,
    retain: bool = False,
    *,
    properties: Mapping[str, Any] | None = None,
) -> Call[shapes.Published]:
    """Publish a message; at QoS 1 and 2 the answer comes when the broker has confirmed.

    A text goes as UTF-8, bytes as they are, None as the empty payload, anything else as compact
    JSON. `properties` are those of MQTT 5. Never repeated once it may have been sent: after a
    ConnectionFailed that is not `never_made`, or an OutcomeUnknown, it may have gone.
    """
    fields = as_fields(Outgoing(topic, payload, qos, retain, properties))
    return Call("POST", "/publish", _json, content=_body(fields))


def request(
    topic: str,
    payload: Payload,
    *,
    qos: int = 1,
    timeout: float = 5.0,
    response_topic: str | None = None,
) -> Call[Reply]:
    """Publish a request and return the reply to it, waited for `timeout` seconds (at most 60).

    OutcomeUnknown when none came; its `request_confirmed` says whether the broker took the
    request. RateLimited when too many requests wait.
    """
    fields: dict[str, Any] = {"topic": topic, **_encoded(payload), "qos": qos, "timeout": timeout}
    if response_topic is not None:
        fields["response_topic"] = response_topic
    return Call("POST", "/request", _reply, content=_body(fields), patience_s=timeout)


def subscribe(topic: str, qos: int = 0) -> Call[shapes.Subscribed]:
    """Let the gateway listen to a filter, for good; `data.qos` is what was granted."""
    return Call("POST", "/subscribe", _json, content=_body({"topic": topic, "qos": qos}))


def unsubscribe(topic: str) -> Call[shapes.Unsubscribed]:
    """Let go of a filter; NotFound when it is not held."""
    return Call("DELETE", f"/subscribe/{encode_topic(topic)}", _json)


def subscriptions() -> Call[list[shapes.Subscription]]:
    """Return the filters that the gateway holds."""
    return Call("GET", "/subscriptions", _json)


def batch(messages: list[dict[str, Any]]) -> Call[list[shapes.Outcome]]:
    """Publish up to 1,000 messages at once; the outcome of each, in order."""
    content = _body({"messages": messages})
    return Call("POST", "/publish/batch", lambda a: a.json()["data"]["results"], content=content)


def batches(messages: Iterable[Publishable]) -> Iterator[Call[list[shapes.Outcome]]]:
    """Yield batches of messages, as many as go into one request each."""
    waiting: list[dict[str, Any]] = []
    size = 0
    for message in messages:
        fields = as_fields(message)
        length = len(_body(fields))
        if waiting and (len(waiting) == BATCH_MESSAGES or size + length > BATCH_BYTES):
            yield batch(waiting)
            waiting, size = [], 0
        waiting.append(fields)
        size += length
    if waiting:
        yield batch(waiting)


def renumbered(outcomes: Iterable[shapes.Outcome], before: int) -> Iterator[shapes.Outcome]:
    """Yield the outcomes of a batch with indices that count the `before` messages before it."""
    for outcome in outcomes:
        outcome["index"] += before
        yield outcome


def as_fields(message: Publishable) -> dict[str, Any]:
    """Return a message as the service takes it."""
    if isinstance(message, Mapping):
        message = Outgoing(**message)
    elif isinstance(message, tuple):
        message = Outgoing(*message)
    payload = message.bytes if isinstance(message, Message) and message.encoding else None
    fields = {
        "topic": message.topic,
        **_encoded(message.payload if payload is None else payload),
        "qos": message.qos,
        "retain": message.retain,
    }
    if message.properties:
        fields["properties"] = dict(message.properties)
    return fields


def _encoded(payload: Payload) -> dict[str, Any]:
    if isinstance(payload, bytes | bytearray | memoryview):
        return {"payload": base64.b64encode(payload).decode("ascii"), "encoding": "base64"}
    return {"payload": payload}


def _body(fields: Mapping[str, Any]) -> bytes:
    """Return strict, compact JSON; ValueError for what JSON cannot say (NaN)."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _json(answer: Answer) -> Any:
    return answer.json()


def _reply(answer: Answer) -> Reply:
    fields = answer.json()
    return Reply(Message.from_dict(fields["response"]), fields["rtt_ms"])
