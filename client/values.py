"""What the service speaks of, as values: messages, gaps, topics, series.

Answers for: reading them from JSON, and a message's bytes. Does not: fetch anything.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

GapReason = Literal["pruned", "epoch", "ahead", "unstored"]


def moment(text: str) -> datetime:
    """Read a time of the service (ISO 8601, UTC, ending in Z) as an aware datetime."""
    return datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message.

    `payload` is text, or base64 where the bytes are not valid UTF-8 (then `encoding` says so);
    `bytes` is what was on the wire in either case. `id` is None only in a stream, while the
    history cannot be written. `timestamp` is the time of arrival, aware, in UTC.
    """

    id: int | None
    topic: str
    payload: str
    timestamp: datetime
    qos: int = 0
    retain: bool = False
    encoding: Literal["base64"] | None = None
    properties: Mapping[str, Any] | None = None
    truncated: bool = False
    """Whether a list cut the payload."""

    @property
    def bytes(self) -> bytes:
        """The payload as it was on the wire."""
        if self.encoding == "base64":
            return base64.b64decode(self.payload)
        return self.payload.encode("utf-8")

    def json(self) -> Any:
        """Return the payload read as JSON; ValueError where it is none."""
        return json.loads(self.bytes)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as the service writes them, ready for `json.dumps`."""
        text = self.timestamp.isoformat(timespec="microseconds").replace("+00:00", "Z")
        fields: dict[str, Any] = {"id": self.id, "topic": self.topic, "payload": self.payload}
        if self.encoding:
            fields["encoding"] = self.encoding
        fields |= {"timestamp": text, "qos": self.qos, "retain": self.retain}
        if self.properties is not None:
            fields["properties"] = dict(self.properties)
        if self.truncated:
            fields["truncated"] = True
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Message:
        """Read a message of the service; KeyError or ValueError for anything else."""
        return cls(
            id=fields["id"],
            topic=fields["topic"],
            payload=fields["payload"],
            timestamp=moment(fields["timestamp"]),
            qos=fields["qos"],
            retain=fields["retain"],
            encoding=fields.get("encoding"),
            properties=fields.get("properties"),
            truncated=fields.get("truncated", False),
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages that a reader asked for and cannot have.

    They lie after `after` (an id; for `epoch` the position that was asked for) and before `next`.
    `position` is where to go on behind them.
    """

    reason: GapReason
    after: int | str
    next: int
    position: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as the service writes them."""
        return {"type": "gap", "reason": self.reason, "after": self.after, "next": self.next}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], epoch: str) -> Gap:
        """Read a gap frame, or a gap line of an export, of the log `epoch`."""
        behind = int(fields["next"])
        position = f"{epoch}.{max(0, behind - 1)}"
        return cls(fields["reason"], fields["after"], behind, position)

    @classmethod
    def from_header(cls, text: str, epoch: str) -> Gap:
        """Read `X-Log-Gap: reason=pruned;after=5;next=900`."""
        fields: dict[str, Any] = dict(part.split("=", 1) for part in text.split(";"))
        if fields["after"].isdigit():
            fields["after"] = int(fields["after"])
        return cls.from_dict(fields, epoch)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `rate_1m` is messages a second over the last minute."""

    topic: str
    message_count: int
    first_seen: datetime
    last_seen: datetime
    rate_1m: float
    last_message: Message | None
    position: str | None = None
    """Of the last message (its ETag), where one topic was asked for."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as the service writes them."""
        return {
            "topic": self.topic,
            "message_count": self.message_count,
            "first_seen": _text(self.first_seen),
            "last_seen": _text(self.last_seen),
            "rate_1m": self.rate_1m,
            "last_message": self.last_message.as_dict() if self.last_message else None,
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], position: str | None = None) -> Topic:
        """Read a topic of the service."""
        last = fields["last_message"]
        return cls(
            topic=fields["topic"],
            message_count=fields["message_count"],
            first_seen=moment(fields["first_seen"]),
            last_seen=moment(fields["last_seen"]),
            rate_1m=fields["rate_1m"],
            last_message=Message.from_dict(last) if last else None,
            position=position,
        )


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket of a series, beginning at `t`."""

    t: datetime
    count: int
    min: float
    max: float
    avg: float
    first: float
    last: float

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as the service writes them."""
        names = ("count", "min", "max", "avg", "first", "last")
        return {"t": _text(self.t), **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers of one topic over time; `skipped` counts messages that held no number."""

    topic: str
    field: str | None
    bucket_seconds: int
    points: list[Point]
    skipped: int

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Series:
        """Read a series of the service."""
        points = [Point(**{**point, "t": moment(point["t"])}) for point in fields["points"]]
        return cls(
            fields["topic"], fields["field"], fields["bucket_seconds"], points, fields["skipped"]
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request, and after how many milliseconds."""

    response: Message
    rtt_ms: float


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
