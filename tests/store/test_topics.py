"""Names and filters: what is valid, what matches, what covers (MQTT 5.0, section 4.7)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.topics import (
    MATCH_MEMORY,
    InvalidTopic,
    TopicFilter,
    check_filter,
    check_name,
    check_publish_name,
    covers,
    matches,
    smallest_cover,
)

# Few letters, so that hits are frequent; empty levels and levels with a dollar are valid.
names = st.lists(st.sampled_from(["", "a", "b", "$c"]), min_size=1, max_size=4).map("/".join)
names = names.filter(bool)
filters = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]),
    st.lists(st.sampled_from(["", "a", "b", "$c", "+"]), max_size=3),
    st.sampled_from([[], ["#"], ["+"], ["a"]]),
).filter(bool)


def by_regular_expression(text: str, name: str) -> bool:
    """The specification once more, written another way."""
    if name.startswith("$") and text[0] in "+#":
        return False
    pattern = re.escape(text).replace(r"\+", "[^/]*").replace(r"\#", "#")
    if pattern == "#":
        pattern = ".*"
    elif pattern.endswith("/#"):
        pattern = pattern[:-2] + "(/.*)?"
    return re.fullmatch(pattern, name, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("#", "a", True),
        ("#", "/", True),
        ("a/#", "a", True),
        ("a/#", "a/", True),
        ("a/#", "ab", False),
        ("+", "a", True),
        ("+", "a/b", False),
        ("+/+", "/a", True),
        ("/+", "/a", True),
        ("+", "/a", False),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/+/c", "a/b/c", True),
        ("a/b", "a/b", True),
        ("a/b", "a/B", False),
        ("#", "$SYS/uptime", False),
        ("+/uptime", "$SYS/uptime", False),
        ("$SYS/#", "$SYS/uptime", True),
        ("$SYS/+", "$SYS/uptime", True),
        ("+/$x", "a/$x", True),
        ("a.b", "axb", False),
    ],
)
def test_a_filter_matches_as_the_specification_says(text: str, name: str, expected: bool) -> None:
    """The examples of MQTT 5.0, section 4.7, and their borders hold."""
    assert matches(text, name) is expected


@settings(max_examples=300, deadline=None)
@given(text=filters, name=names)
def test_matching_equals_a_second_reading_of_the_specification(text: str, name: str) -> None:
    """Two independent implementations of matching agree on every pair."""
    assert matches(text, name) is by_regular_expression(text, name)


@settings(max_examples=300, deadline=None)
@given(wide=filters, narrow=filters, name=names)
def test_what_covers_matches_everything_that_is_covered(wide: str, narrow: str, name: str) -> None:
    """A filter that covers another matches every topic that the other matches."""
    if covers(wide, narrow) and matches(narrow, name):
        assert matches(wide, name)


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("#", "a/+", True),
        ("#", "+/#", True),
        ("+/#", "#", False),
        ("a/#", "a", True),
        ("a/#", "a/#", True),
        ("a/+", "a/#", False),
        ("a/+", "a/b", True),
        ("a/b", "a/+", False),
        ("+/+", "a/+", True),
        ("#", "$SYS/#", False),
        ("+/#", "$SYS/x", False),
        ("$SYS/#", "$SYS/+", True),
    ],
)
def test_a_filter_covers_what_lies_within_it(wide: str, narrow: str, expected: bool) -> None:
    """Covering is exact at the borders: parents, levels, topics that begin with a dollar."""
    assert covers(wide, narrow) is expected


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(filters, st.integers(0, 1), max_size=6), names)
def test_the_smallest_cover_feeds_all_that_is_wanted(wanted: dict[str, int], name: str) -> None:
    """The cover matches what was wanted, no member is spare, and no QoS is lowered."""
    cover = smallest_cover(wanted)
    assert set(cover) <= set(wanted)
    assert any(matches(text, name) for text in cover) == any(matches(t, name) for t in wanted)
    assert not any(covers(one, other) for one in cover for other in cover if one != other)
    for text, qos in wanted.items():
        assert any(covers(one, text) and cover[one] >= qos for one in cover)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "empty"),
        ("a\x00b", "U+0000"),
        ("a\nb", "U+000A"),
        ("a\x7fb", "U+007F"),
        ("a\x9fb", "U+009F"),
        ("a\ud800b", "U+D800"),
        ("a\ufdd0b", "U+FDD0"),
        ("a\ufffeb", "U+FFFE"),
        ("a\U0010ffffb", "U+10FFFF"),
        ("/" * 201, "200 slashes"),
        ("ä" * 32_768, "65,535 bytes"),
    ],
)
def test_what_a_broker_would_hang_up_on_is_refused(text: str, word: str) -> None:
    """A text that costs the connection is neither a name nor a filter, and is told why."""
    for check in (check_name, check_publish_name, check_filter):
        with pytest.raises(InvalidTopic, match=re.escape(word)):
            check(text)


@pytest.mark.parametrize("text", ["a", "/", "a b", "ä/€/😀", "/" * 200, "a" * 65_535, "$SYSTEM/x"])
def test_what_the_standard_allows_is_allowed(text: str) -> None:
    """Spaces, emoji, empty levels and the very limits are valid, and come back unchanged."""
    assert check_name(text) == check_publish_name(text) == check_filter(text) == text


@pytest.mark.parametrize("text", ["a/#/b", "a#", "#a", "a/b#", "a+", "+a/b", "a/+b/c", "##", "++"])
def test_a_misplaced_wildcard_is_refused(text: str) -> None:
    """A wildcard is a whole level, and # the last one."""
    with pytest.raises(InvalidTopic, match="level"):
        check_filter(text)


@pytest.mark.parametrize("text", ["+", "#", "a/+/b", "a/#", "$SYS/#", "/#", "+/"])
def test_wildcards_are_for_filters_only(text: str) -> None:
    """What is a valid filter with a wildcard is no name."""
    assert check_filter(text) == text
    with pytest.raises(InvalidTopic, match="wildcards"):
        check_name(text)


def test_shared_subscriptions_are_refused_everywhere() -> None:
    """$share is neither subscribed to nor published to."""
    with pytest.raises(InvalidTopic, match="shared"):
        check_filter("$share/group/a")
    with pytest.raises(InvalidTopic, match="belong to the broker"):
        check_publish_name("$share/group/a")


def test_the_brokers_own_topics_can_be_read_but_not_published() -> None:
    """$SYS/ is a valid name and filter, and no target of a publish."""
    assert check_name("$SYS/uptime") == check_filter("$SYS/uptime") == "$SYS/uptime"
    with pytest.raises(InvalidTopic, match="belong to the broker"):
        check_publish_name("$SYS/uptime")


def test_a_topic_filter_matches_any_of_its_texts_and_is_a_value() -> None:
    """Several filters match together; order and doubles do not matter for equality."""
    topics = TopicFilter(["b", "a/+", "b"])
    assert [topics.matches(name) for name in ("a/x", "b", "c", "a/x")] == [True, True, False, True]
    assert topics == TopicFilter(("a/+", "b"))
    assert {topics: 1}[TopicFilter(["a/+", "b"])] == 1
    assert topics != TopicFilter(["a/+"])
    assert not TopicFilter(()).matches("a")


def test_a_filters_memory_is_bounded_and_never_wrong() -> None:
    """Beyond its bound the memory starts afresh, and verdicts stay right."""
    topics = TopicFilter(["yes/+"])
    for number in range(MATCH_MEMORY + 10):
        assert topics.matches(f"yes/{number}")
    assert len(topics._memory) <= MATCH_MEMORY
    assert topics.matches("yes/0")
    assert not topics.matches("no/0")
