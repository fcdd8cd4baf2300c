"""Pages of the log, compared with the same question asked of a list in Python."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import reading
from store.message import Message
from store.selection import NO_BOUND, Page, Selection
from store.topics import TopicFilter, matches
from tests.recordings import NOW_US, everything, ids_of, message, messages, open_history

# Rows so spread that a filter matches many of them, few of them, or none.
SPREAD = {"a": 40, "a/b": 20, "a/c": 3, "ab": 1, "b": 9, "$x/a": 5, "$SYS/up": 2, "/a": 1, "b/b": 7}
LIMITED = 12
TEXTS = [
    *["#", "+", "a", "a/#", "a/+", "+/b", "$x/#", "$SYS/#", "$x/+", "/+", "/#", "ab", "+/+", "b/#"],
    *["none", "none/#", "a/b/#"],
]
PAYLOADS = ["", "cold", "cold and wet", "%_", b"\xffcold", "naïve \U0001f600"]


def recorded() -> list[Message]:
    """Return the rows: every combination turns up, in a fixed disorder."""
    topics = [topic for topic, count in SPREAD.items() for _ in range(count)]
    size = len(topics)
    return [
        message(
            topics[number * 37 % size],
            PAYLOADS[number % len(PAYLOADS)],
            NOW_US + number * 7_000_000,
            qos=number % 2,
            retain=False,
        )
        for number in range(size)
    ]


def naive(rows: list[Message], selection: Selection) -> list[Message]:
    """Answer the question by looking at every row."""

    def wanted(row: Message) -> bool:
        assert row.id is not None
        texts = selection.topics.texts if selection.topics is not None else None
        contains = selection.contains
        return (
            (texts is None or any(matches(text, row.topic) for text in texts))
            and selection.after_id < row.id < selection.before_id
            and (selection.since_us is None or row.timestamp_us >= selection.since_us)
            and (selection.until_us is None or row.timestamp_us < selection.until_us)
            and (selection.qos is None or row.qos == selection.qos)
            and (selection.retain is None or row.retain == selection.retain)
            and (contains is None or (isinstance(row.payload, str) and contains in row.payload))
        )

    return [row for row in rows if wanted(row)]


selections = st.builds(
    Selection,
    topics=st.none() | st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(TopicFilter),
    after_id=st.just(0) | st.integers(0, 90),
    before_id=st.just(NO_BOUND) | st.integers(0, 90),
    since_us=st.none() | st.integers(NOW_US - 10, NOW_US + 700_000_000),
    until_us=st.none() | st.integers(NOW_US - 10, NOW_US + 700_000_000),
    qos=st.none() | st.integers(0, 1),
    retain=st.none() | st.booleans(),
    contains=st.none() | st.sampled_from(["cold", "", "%", "\U0001f600", "COLD"]),
)


async def compare(selection: Selection, limit: int, offset: int, advantage: float) -> None:
    """Compare pages in both directions with the naive answer."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "SCAN_ADVANTAGE", advantage)
        async with open_history(Path(directory) / "history.db") as history:
            await history.append(recorded())
            expected = naive(await everything(history), selection)
            for ascending in (True, False):
                ordered = expected if ascending else expected[::-1]
                page = await history.page(
                    selection, limit=limit, offset=offset, ascending=ascending
                )
                assert ids_of(page.messages) == ids_of(ordered[offset : offset + limit])
                assert page.messages == ordered[offset : offset + limit]
                assert page.complete == (len(ordered) <= offset + limit)


@pytest.mark.parametrize("advantage", [0, 8, 1e9], ids=["index", "as shipped", "scan"])
def test_pages_equal_a_naive_filter(advantage: float) -> None:
    """Through the index, by scan and as chosen: every page is what a loop over the rows gives."""

    @settings(max_examples=60, deadline=None)
    @given(selections, st.integers(1, LIMITED), st.just(0) | st.integers(0, 40))
    def check(selection: Selection, limit: int, offset: int) -> None:
        asyncio.run(compare(selection, limit, offset, advantage))

    check()


@pytest.mark.parametrize("texts", [["#", "$SYS/#"], ["#", "a"], ["#"], ["$x/#", "#"]])
async def test_the_hash_filter_leaves_out_dollar_topics_unless_named(
    tmp_path: Path, texts: list[str]
) -> None:
    """# beside other filters still does not match what begins with a dollar."""
    selection = Selection(TopicFilter(texts))
    async with open_history(tmp_path / "history.db") as history:
        await history.append(recorded())
        whole = await everything(history)
        assert ids_of(await everything(history, selection)) == ids_of(naive(whole, selection))


async def test_pages_in_a_row_give_every_message_once(tmp_path: Path) -> None:
    """Reading on after the last id of a page, until it is complete, misses and repeats nothing."""
    selection = Selection(TopicFilter(["a/#"]))
    async with open_history(tmp_path / "history.db") as history:
        await history.append(recorded())
        found: list[Message] = []
        while True:
            page = await history.page(selection, limit=7, ascending=True)
            found += page.messages
            if page.complete:
                break
            selection = replace(selection, after_id=page.messages[-1].id)
        expected = naive(await everything(history), Selection(TopicFilter(["a/#"])))
        assert ids_of(found) == ids_of(expected)


async def test_a_page_says_what_was_true_in_the_same_instant(tmp_path: Path) -> None:
    """Beside the messages are the oldest id, the newest, and up to where retention has removed."""
    async with open_history(tmp_path / "history.db", cap_rows=4) as history:
        page = await history.page(Selection(), limit=5)
        assert (page.messages, page.newest_id, page.oldest_id) == ([], 0, None)
        assert page.complete
        await history.append(messages(10))
        page = await history.page(Selection(), limit=2)
        assert ids_of(page.messages) == [10, 9]
        assert (page.newest_id, page.oldest_id, page.pruned_id, page.complete) == (10, 7, 6, False)


async def test_pages_forward_are_read_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many readers are behind, one page is fetched at once, and each gets its own."""
    running = most = 0
    forward = reading.forward

    def counted(*args: Any, **options: Any) -> Page:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return forward(*args, **options)
        finally:
            running -= 1

    monkeypatch.setattr(reading, "forward", counted)
    async with open_history(tmp_path / "history.db") as history:
        await history.append([message(payload=str(number)) for number in range(3_000)])
        pages = await asyncio.gather(
            *(
                history.forward(Selection(after_id=after), limit=500)
                for after in range(0, 2_500, 50)
            )
        )
    assert most == 1
    assert [page.messages[0].payload for page in pages] == [str(n) for n in range(0, 2_500, 50)]
