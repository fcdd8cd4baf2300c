"""Text from outside into values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.parsing import InvalidMoment, parse_json, parse_moment, parse_query
from handlers.problems import Problem
from tests.recordings import NOW_US

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Every character that UTF-8 can carry.
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.booleans())
def test_json_is_read_as_it_was_written(value: Any, ascii_only: bool) -> None:
    """Every JSON value comes out as it went in, escaped or not."""
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "is not valid JSON"),
        (b"{", "line 1, column 2"),
        (b"{} {}", "Extra data"),
        (b"\xff", "is not valid UTF-8"),
        (b'"\xed\xa0\x80"', "is not valid UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"NaN", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"1e999", "is not valid JSON"),
        (b"[-1E999]", "is not valid JSON"),
        (b"9" * 5_000, "is not valid JSON"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "twice"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else None,
)
def test_what_is_not_strict_json_is_a_422(body: bytes, word: str) -> None:
    """Each way to be wrong is one Problem with a sentence, never a 500."""
    with pytest.raises(Problem) as caught:
        parse_json(body)
    assert caught.value.status == 422
    assert word in caught.value.detail


def test_a_pair_of_surrogates_is_a_character() -> None:
    """Escaped emoji are read as what they are."""
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1&a=2&b=", [("a", "1"), ("a", "2"), ("b", "")]),
        ("flag", [("flag", "")]),
        ("a=b=c", [("a", "b=c")]),
        ("contains=a+b%2Bc", [("contains", "a b+c")]),
        ("topic=factory/%2B/t", [("topic", "factory/+/t")]),
        ("topic=factory/+/t", [("topic", "factory/+/t")]),
        ("topic=+", [("topic", "+")]),
        ("topic=+/+/a", [("topic", "+/+/a")]),
        ("topic=hall+1/+", [("topic", "hall 1/+")]),
        ("since=2026-11-23T10:00:00+01:00", [("since", "2026-11-23T10:00:00+01:00")]),
        ("topic=%C3%A4", [("topic", "ä")]),
        ("x%20y=1", [("x y", "1")]),
    ],
)
def test_a_plus_means_what_the_caller_means(query: str, pairs: list[tuple[str, str]]) -> None:
    """A plus is a space, but for a wildcard level and a time zone; escapes are undone."""
    assert parse_query(query) == pairs


@pytest.mark.parametrize("query", ["a=%FF", "topic=%ED%A0%80", "%FF=1"])
def test_a_query_that_is_not_utf8_is_a_422(query: str) -> None:
    """Bytes that are no text are refused, in names as in values."""
    with pytest.raises(Problem) as caught:
        parse_query(query)
    assert caught.value.status == 422
    assert "not valid UTF-8" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "moment_us"),
    [
        ("2026-11-23T10:04:05.123456Z", NOW_US),
        ("2026-11-23T10:04:05.123456", NOW_US),
        ("2026-11-23T11:04:05.123456+01:00", NOW_US),
        ("2026-11-23", 1_795_392_000_000_000),
        ("1795428245", 1_795_428_245_000_000),
        ("1795428245.123456", NOW_US),
        ("0.5", 500_000),
        ("0", 0),
        ("15m", NOW_US - 15 * 60_000_000),
        ("24h", NOW_US - 24 * 3_600_000_000),
        ("7d", NOW_US - 7 * 86_400_000_000),
        ("2w", NOW_US - 14 * 86_400_000_000),
        ("1s", NOW_US - 1_000_000),
        ("999999999w", 0),
        ("1969-01-01", 0),
    ],
)
def test_a_moment_has_three_forms(text: str, moment_us: int) -> None:
    """ISO 8601 (no zone is UTC), seconds since 1970, or back from now: exact to the microsecond."""
    assert parse_moment(text, NOW_US) == moment_us


@pytest.mark.parametrize(
    "text", ["", "now", "-1", "1.5h", "15M", "1y", "2026-13-01", "1e9", "nan", "0.1234567"]
)
def test_anything_else_is_no_moment(text: str) -> None:
    """What is not a time is told what a time is."""
    with pytest.raises(InvalidMoment, match="must be a time: ISO 8601"):
        parse_moment(text, NOW_US)
