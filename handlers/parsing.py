"""Text from outside into values: the one parse function for JSON, queries, times and paths.

Answers for: what no schema can say (NaN, surrogates, deep nesting, doubled names, `+` in a
query). Does not: check against the contract; contract.py does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from handlers.problems import Fault, Problem, unprocessable

_DURATION = re.compile(r"(\d{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_EPOCH_SECONDS = re.compile(r"\d{1,11}(\.\d{1,6})?")
_LONE_PLUS = re.compile(r"(?:^|(?<=/))\+(?=/|$)")
_CREDENTIALS = re.compile(r"//[^/]*@")
_SURROGATE = re.compile("[\ud800-\udfff]")
# A query may have so many: to read thousands of nothing, and to say of each that it is not known,
# would take longer than what they cost to send.
MAX_PARAMETERS = 1_000
# Parameters in which an unescaped plus may mean itself: a wildcard, or part of a time zone.
TOPIC_PARAMETERS = ("topic", "prefix")
TIME_PARAMETERS = ("since", "until")


class InvalidMoment(ValueError):
    """The text is not a time; its text says what is allowed."""


def without_credentials(path: str) -> str:
    """Return a path for the log: a URL that was sent as a whole loses its name and password."""
    return path if path.startswith("/") else _CREDENTIALS.sub("//", path, count=1)


def parse_json(body: bytes) -> Any:
    """Read strict JSON in UTF-8; a Problem 422 says what is wrong with it."""
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
            raise ValueError("a lone surrogate is not a character")
        return value
    except UnicodeDecodeError:
        message = "is not valid UTF-8"
    except RecursionError:
        message = "is nested too deeply"
    except json.JSONDecodeError as error:
        message = f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
    except ValueError as error:
        message = f"is not valid JSON: {error}"
    raise unprocessable([Fault("", message)])


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a JSON number")


def _no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999 reads as infinity
        raise ValueError("a number is too large")
    return number


# Made once: json.loads would make one for each call.
_DECODER = json.JSONDecoder(
    parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_no_doubles
)


def parse_query(query: str) -> list[tuple[str, str]]:
    """Split a query into (name, value) pairs, in order; a Problem 422 names what is not UTF-8."""
    if query.count("&") >= MAX_PARAMETERS:
        raise unprocessable([Fault("", f"has more than {MAX_PARAMETERS:,} parameters")])
    pairs = []
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        name = decode_text(name.replace("+", " "), "the query")
        if name in TOPIC_PARAMETERS:
            value = _LONE_PLUS.sub("%2B", value)
        elif name in TIME_PARAMETERS:
            value = value.replace("+", "%2B")
        pairs.append((name, decode_text(value.replace("+", " "), name)))
    return pairs


def decode_text(quoted: str, where: str) -> str:
    """Undo percent-encoding; a Problem 422 when the bytes are not UTF-8."""
    try:
        return unquote_to_bytes(quoted).decode("utf-8")
    except UnicodeDecodeError:
        raise unprocessable([Fault(where, "is not valid UTF-8")]) from None


def parse_moment(text: str, now_us: int) -> int:
    """Read a time as microseconds since 1970: ISO 8601, epoch seconds, or a duration back."""
    duration = _DURATION.fullmatch(text)
    if duration:
        return max(0, now_us - int(duration.group(1)) * _SECONDS[duration.group(2)] * 1_000_000)
    if _EPOCH_SECONDS.fullmatch(text):
        whole, _, fraction = text.partition(".")
        return int(whole) * 1_000_000 + int(fraction.ljust(6, "0") or 0)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, round(moment.timestamp() * 1_000_000))
    except (ValueError, OverflowError):
        raise InvalidMoment(
            "must be a time: ISO 8601, seconds since 1970, or back from now such as 15m, 24h, 7d"
        ) from None


def require_text(value: bytes, where: str) -> str:
    """Decode a part of the path; a Problem 422 when it is not UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise unprocessable([Fault(where, "is not valid UTF-8")]) from None


def one_problem(faults: Sequence[Fault]) -> None:
    """Raise the 422 for these faults, if there are any."""
    if faults:
        raise unprocessable(list(faults))


__all__ = [
    "InvalidMoment",
    "Problem",
    "decode_text",
    "one_problem",
    "parse_json",
    "parse_moment",
    "parse_query",
    "require_text",
]
