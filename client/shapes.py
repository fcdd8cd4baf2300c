"""The JSON objects that the service answers with, as types: dictionaries at run time.

Answers for: their fields. Does not: check them; the service's contract does.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Service(TypedDict):
    """`GET /`."""

    service: str
    version: str
    status: str
    docs: str
    health: str


class Health(TypedDict):
    """`GET /health`; `uptime` in seconds, `reasons` as sentences."""

    status: str
    mqtt_connected: bool
    uptime: float
    message_count: int
    active_subscriptions: int
    websocket_connections: int
    reasons: list[str]


class Check(TypedDict):
    """`GET /health/live` and `/health/ready`."""

    status: str
    reasons: list[str]


class PublishedData(TypedDict):
    """Of `Published`: `message_id` is the MQTT packet number, None at QoS 0."""

    topic: str
    message_id: int | None
    confirmed: bool


class Published(TypedDict):
    """`POST /publish`."""

    success: bool
    message: str
    data: PublishedData


class _Outcome(TypedDict):
    index: int
    status: int


class Outcome(_Outcome, total=False):
    """What became of one message of many: `status` is what it alone would have got."""

    message_id: int | None
    detail: str


class SubscribedData(TypedDict):
    """Of `Subscribed`: `qos` as granted."""

    topic: str
    qos: int


class Subscribed(TypedDict):
    """`POST /subscribe`."""

    success: bool
    message: str
    data: SubscribedData


class UnsubscribedData(TypedDict):
    """Of `Unsubscribed`."""

    topic: str
    still_covered_by: list[str]


class Unsubscribed(TypedDict):
    """`DELETE /subscribe/{topic}`."""

    success: bool
    message: str
    data: UnsubscribedData


class Subscription(TypedDict):
    """One of `GET /subscriptions`."""

    topic: str
    qos: int
    since: str


class WhoAmI(TypedDict):
    """`GET /whoami`."""

    name: str
    scopes: list[str]
    read: list[str]
    publish: list[str]


class Ticket(TypedDict):
    """`POST /ws/ticket`; `expires_in` in seconds."""

    ticket: str
    expires_in: int


class Statistics(TypedDict):
    """`GET /stats`."""

    total_messages: int
    unique_topics: int
    recent_messages: int
    topic_counts: dict[str, int]
    mqtt_connected: bool
    websocket_connections: int
    uptime: float
    received_total: int
    stored_total: int
    published_total: int
    dropped_total: dict[str, int]
    rate_1m: float
    queue_depth: int
    readers_behind: int
    oldest_id: int | None
    newest_id: int
    epoch: str
    database_bytes: int
    wal_bytes: int
    retention: dict[str, float]
    last_prune: str | None
    broker: dict[str, Any] | None
