"""Topic names and topic filters: validity, matching and covering.

Answers for: the only wildcard semantics in the program (MQTT 5.0, section 4.7).
Does not: know which topics exist or who listens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

MAX_TOPIC_BYTES = 65_535
# mosquitto 2.0 disconnects a client that sends a topic of more than 200 levels, and the client
# resends it for ever (TOPIC_HIERARCHY_LIMIT in its source).
MAX_SLASHES = 200
# Brokers drop a connection over control characters and noncharacters (MQTT 5.0, 1.5.4).
_FORBIDDEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "]"
)
# A filter remembers its verdict for this many names before it starts afresh: enough for a large
# plant, and a bound for one that puts a serial number in each topic.
MATCH_MEMORY = 20_000


class InvalidTopic(ValueError):
    """A topic name or filter that must not reach the broker; its text says what is wrong."""


def check_text(text: str) -> str:
    """Return a text fit for an MQTT string; InvalidTopic names the character that is not."""
    if text.isascii() and text.isprintable():
        return text  # nearly always, and told without looking at each character in turn
    found = _FORBIDDEN.search(text)
    if found:
        raise InvalidTopic(f"must not contain the character U+{ord(found.group()):04X}")
    return text


def _check_topic(text: str) -> None:
    if not text:
        raise InvalidTopic("must not be empty")
    check_text(text)
    size = len(text) if text.isascii() else len(text.encode("utf-8"))
    if size > MAX_TOPIC_BYTES:
        raise InvalidTopic(f"must be at most {MAX_TOPIC_BYTES:,} bytes of UTF-8")
    if text.count("/") > MAX_SLASHES:
        raise InvalidTopic(f"must have at most {MAX_SLASHES} slashes")


def check_name(name: str) -> str:
    """Return a topic name fit for reading; InvalidTopic says what is wrong with it."""
    _check_topic(name)
    if "+" in name or "#" in name:
        raise InvalidTopic("must not contain the wildcards + or #")
    return name


def check_publish_name(name: str) -> str:
    """Return a topic name fit for publishing; InvalidTopic says what is wrong with it."""
    check_name(name)
    if name.startswith("$") and name.split("/", 1)[0] in ("$SYS", "$share"):
        raise InvalidTopic("must not begin with $SYS/ or $share/: those belong to the broker")
    return name


def check_filter(text: str) -> str:
    """Return a valid topic filter; InvalidTopic says what is wrong with it."""
    _check_topic(text)
    levels = text.split("/")
    if levels[0] == "$share":
        raise InvalidTopic("must not be a shared subscription ($share/...)")
    for position, level in enumerate(levels):
        if "#" in level and (level != "#" or position != len(levels) - 1):
            raise InvalidTopic("may have # only as the whole last level")
        if "+" in level and level != "+":
            raise InvalidTopic("may have + only as a whole level")
    return text


def is_exact(text: str) -> bool:
    """Return whether the filter has no wildcard, so that it names one topic."""
    return "+" not in text and "#" not in text


@lru_cache(maxsize=4096)
def _levels(text: str) -> tuple[str, ...]:
    return tuple(text.split("/"))


def matches(text: str, name: str) -> bool:
    """Return whether the filter `text` matches the topic `name` (MQTT 5.0, section 4.7)."""
    if text == "#":
        return not name.startswith("$")
    if is_exact(text):
        return text == name
    if name.startswith("$") and text[0] in "+#":
        return False
    wanted, given = _levels(text), name.split("/")
    for position, level in enumerate(wanted):
        if level == "#":  # also the parent: a/# matches a
            return True
        if position >= len(given) or level not in ("+", given[position]):
            return False
    return len(given) == len(wanted)


def covers(wide: str, narrow: str) -> bool:
    """Return whether every topic that `narrow` matches is also matched by `wide`."""
    if wide == narrow:
        return True
    if narrow.startswith("$") and wide[0] in "+#":
        return False
    a, b = _levels(wide), _levels(narrow)
    for position, level in enumerate(a):
        if level == "#":
            return True
        if position >= len(b):
            return False
        if b[position] == "#":
            return False
        if level != "+" and level != b[position]:
            return False
    return len(a) == len(b)


def overlap(one: str, other: str) -> bool:
    """Return whether some topic is matched by both filters."""
    a, b = _levels(one), _levels(other)
    if (one[0] == "$" and other[0] in "+#") or (other[0] == "$" and one[0] in "+#"):
        return False
    for position in range(max(len(a), len(b))):
        x = a[position] if position < len(a) else None
        y = b[position] if position < len(b) else None
        if "#" in (x, y):
            return True
        if x is None or y is None or (x != y and "+" not in (x, y)):
            return False
    return True


def smallest_cover(wanted: dict[str, int]) -> dict[str, int]:
    """Return the fewest of the given filters that together match all, each at the highest QoS
    of those that it covers or overlaps. Shape in and out: filter -> QoS.

    A broker sends a message once for each filter that matches. At one QoS the copies come one
    after the other and are recognised; at different QoS one overtakes the other.
    """
    cover: dict[str, int] = {}
    for text in sorted(wanted):
        if not any(covers(other, text) for other in wanted if other != text):
            cover[text] = max(qos for other, qos in wanted.items() if covers(text, other))
    raised = sorted(cover, key=lambda text: cover[text])
    while raised:
        text = raised.pop()
        for other, qos in list(cover.items()):
            if qos < cover[text] and overlap(text, other):
                cover[other] = cover[text]
                raised.append(other)
    return cover


class TopicFilter:
    """What someone wants: one or more filters, matched together.

    Remembers its verdict for each name, since a name recurs with each message. Immutable but
    for that memory; equal filters are equal objects for a dict. Use from one thread only.
    """

    __slots__ = ("_memory", "texts", "within")

    def __init__(self, texts: Iterable[str] = ("#",), within: TopicFilter | None = None) -> None:
        self.texts = tuple(sorted(set(texts)))
        self.within = within
        """What the topics must match besides: what a caller may see."""
        self._memory: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        """Return whether any of the filters matches the topic name."""
        verdict = self._memory.get(name)
        if verdict is None:
            if len(self._memory) >= MATCH_MEMORY:
                self._memory.clear()
            verdict = any(matches(text, name) for text in self.texts)
            if verdict and self.within is not None:
                verdict = self.within.matches(name)
            self._memory[name] = verdict
        return verdict

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TopicFilter):
            return False
        return self.texts == other.texts and self.within == other.within

    def __hash__(self) -> int:
        return hash((self.texts, self.within))

    def __repr__(self) -> str:
        return f"TopicFilter({', '.join(self.texts)})"
