"""What the text of a variable may be: parsers that return the value or say what is allowed.

Answers for: the types in the table of variables. Does not: know any variable by its name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from store.topics import InvalidTopic, check_filter, check_publish_name

TRUE_WORDS = ("true", "1", "yes", "on")
FALSE_WORDS = ("false", "0", "no", "off")


def any_text(given: str) -> str:
    """Take any text."""
    return given


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """Take a whole number within bounds, both included."""

    def parse(given: str) -> int:
        allowed = f"a whole number from {lowest} to {highest}"
        try:
            value = int(given)
        except ValueError:
            raise ValueError(allowed) from None
        if not lowest <= value <= highest:
            raise ValueError(allowed)
        return value

    return parse


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """Take a number within bounds, both included."""

    def parse(given: str) -> float:
        allowed = f"a number from {lowest:g} to {highest:g}"
        try:
            value = float(given)
        except ValueError:
            raise ValueError(allowed) from None
        if not lowest <= value <= highest:  # false for NaN, too
            raise ValueError(allowed)
        return value

    return parse


def flag(given: str) -> bool:
    """Take a word for yes or no."""
    word = given.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("true or false")


def choice(*words: str) -> Callable[[str], str]:
    """Take one of these words, in any case."""

    def parse(given: str) -> str:
        for word in words:
            if given.strip().lower() == word.lower():
                return word
        raise ValueError("one of " + ", ".join(words))

    return parse


def required_text(given: str) -> str:
    """Take a text that is not empty."""
    if not given.strip():
        raise ValueError("a text that is not empty")
    return given.strip()


def listed(given: str) -> tuple[str, ...]:
    """Take texts, comma-separated."""
    return tuple(part.strip() for part in given.split(",") if part.strip())


def subscriptions(given: str) -> tuple[tuple[str, int], ...]:
    """Take `filter` or `filter:qos`, comma-separated; the last colon counts."""
    found = []
    for part in listed(given):
        text, colon, qos = part.rpartition(":")
        if not colon or qos not in ("0", "1", "2"):
            text, qos = part, "1"
        try:
            found.append((check_filter(text), int(qos)))
        except InvalidTopic as error:
            raise ValueError(
                f"topic filters, comma-separated, each with :0 or :1 at will ({part!r} {error})"
            ) from None
    return tuple(found)


def networks(given: str) -> tuple[str, ...]:
    """Take addresses or networks, comma-separated."""
    found = listed(given)
    for part in found:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError("addresses or networks, comma-separated") from None
    return found


def client_id(given: str) -> str:
    """Take what may stand in a topic name: answers and the status have the client id in theirs,
    and a broker throws out who names a wildcard there, again and again."""
    if given:
        try:
            check_publish_name(f"mqtt-api/{given}/reply")
        except InvalidTopic as error:
            raise ValueError(f"one that may stand in a topic name (it {error})") from None
    return given


def status_topic(given: str) -> str:
    """Take a topic name, or nothing."""
    if given:
        try:
            check_publish_name(given.replace("<client id>", "x"))
        except InvalidTopic as error:
            raise ValueError(f"a topic name, or empty (it {error})") from None
    return given


def root_path(given: str) -> str:
    """Return the path without its last slash; the root itself is the empty text."""
    path = given.strip().rstrip("/")
    if path and not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", path):
        raise ValueError("empty, or a path such as /mqtt")
    return path


def one_worker(given: str) -> int:
    """Take 1 and say why no more."""
    if given.strip() != "1":
        raise ValueError("1: one process owns the log, and one serves hundreds of readers")
    return 1
