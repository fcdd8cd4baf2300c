"""store/tail.py: what memory answers is what the file would have answered, or nothing."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import tail
from store.database import Database
from store.errors import HistoryUnavailable
from store.history import History
from store.message import Message, message_json
from store.purge import Purge
from store.selection import NO_BOUND, Page, Selection
from store.topics import TopicFilter
from tests.recordings import HOUR_US, NOW_US, message, messages, open_history

TOPICS = ["a", "a/b", "a/c", "$SYS/a", "b"]
FILTERS: list[TopicFilter | None] = [
    None,
    TopicFilter(("#",)),
    TopicFilter(("a/#",)),
    TopicFilter(("+",)),
    TopicFilter(("$SYS/#", "b")),
    TopicFilter(("#",), TopicFilter(("a/+", "b"))),
    TopicFilter(("none",)),
]
PAYLOADS: list[str | bytes] = ["", "x", "xy", "ü\0z", b"\xff", "x" * 40]

arriving = st.builds(
    lambda topic, payload, qos, retain, hours: Message(
        topic, payload, NOW_US - hours * HOUR_US, qos, retain
    ),
    st.sampled_from(TOPICS),
    st.sampled_from(PAYLOADS),
    st.integers(0, 1),
    st.booleans(),
    st.integers(0, 3),
)
happening = st.one_of(
    st.tuples(st.just("append"), st.lists(arriving, min_size=1, max_size=14)),
    st.tuples(st.just("append"), st.lists(arriving, min_size=1, max_size=4)),
    st.tuples(st.just("prune"), st.integers(1, 4)),
    st.tuples(
        st.just("purge"),
        st.builds(
            Purge,
            st.sampled_from(FILTERS),
            st.one_of(st.just(NO_BOUND), st.integers(1, 30)),
            st.one_of(st.none(), st.just(NOW_US - HOUR_US)),
        ),
    ),
    st.tuples(st.just("restart"), st.booleans()),
    st.tuples(st.just("not told"), st.lists(arriving, min_size=1, max_size=3)),
)
asking = st.tuples(
    st.builds(
        Selection,
        st.sampled_from(FILTERS),
        st.integers(0, 40),
        st.one_of(st.just(NO_BOUND), st.integers(0, 45)),
        st.one_of(st.none(), st.just(NOW_US - 2 * HOUR_US)),
        st.one_of(st.none(), st.just(NOW_US - HOUR_US)),
        st.one_of(st.none(), st.integers(0, 1)),
        st.one_of(st.none(), st.booleans()),
        st.one_of(st.none(), st.sampled_from(["x", "xy", "\0", "ü"])),
    ),
    st.integers(1, 12),
    st.sampled_from([0, 0, 0, 1, 5]),
    st.booleans(),
)
PLAIN = Selection()
HEAD = [
    (PLAIN, 3, 0, False),
    (PLAIN, 100, 0, False),
    (PLAIN, 100, 0, True),
    (PLAIN, 2, 2, False),
    (Selection(topics=FILTERS[2]), 2, 0, False),
]


def told(page: Page, selection: Selection) -> dict[str, Any]:
    """Return what a page says; `pruned_id` only where a gap is told."""
    gone = page.pruned_id > selection.after_id > 0
    return {
        "messages": page.messages,
        "json": [message_json(one) for one in page.messages],
        "ends": (page.oldest_id, page.complete, page.unstored, page.scanned_id),
        "gap": page.pruned_id if gone and selection.topics is None else None,
    }


async def compare(history: History, asked: list[Any]) -> int:
    """Ask everything in both ways; return how often memory knew."""
    known = 0
    for selection, limit, offset, ascending in asked:
        page = history.recent(selection, limit=limit, offset=offset, ascending=ascending)
        if page is None:
            continue
        known += 1
        theirs = await history.page(selection, limit=limit, offset=offset, ascending=ascending)
        # How a message was delivered is not part of what is read.
        for one in page.messages:
            one.packet_id = None
        assert told(page, selection) == told(theirs, selection), (selection, limit, offset)
        if history._tail._newest_id == history.totals().newest_id:  # else a commit was not told of
            assert page.newest_id == theirs.newest_id
    return known


async def live(path: Path, events: list[Any], asked: list[Any], cap: int) -> None:
    """Have a log live through these events, and ask after each."""
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US, cap_rows=cap, retention_hours=2)
    for name, what in events:
        if name == "append":
            await history.append([replace(one) for one in what])
        elif name == "prune":
            await history.prune(NOW_US, what)
        elif name == "purge":
            await history.purge(what)
        elif name == "not told":
            # As an append whose caller was cancelled while the writer was at it.
            await database.write(history._log.append, [replace(one) for one in what], None, ())
        else:
            if what:
                await history.close()
            await database.close()
            database = await Database.open(path)
            history = await History.open(database, now_us=NOW_US, cap_rows=cap, retention_hours=2)
        await compare(history, [*asked, *HEAD])
    await history.close()
    await database.close()


@given(
    st.lists(happening, min_size=1, max_size=8),
    st.lists(asking, min_size=1, max_size=8),
    st.sampled_from([0, 6, 20]),
    st.sampled_from([2, 5, 50]),
    st.sampled_from([60, 10_000]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_memory_and_file_answer_the_same(
    events: list[Any], asked: list[Any], cap: int, rows: int, max_bytes: int
) -> None:
    """Whatever happened to the log, and however little of it is held: where memory has an answer,
    every message, every bound and the JSON are those of the file."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as place:
        patch.setattr(tail, "ROWS", rows)
        patch.setattr(tail, "MAX_BYTES", max_bytes)
        asyncio.run(live(Path(place) / "history.db", events, asked, cap))


async def test_memory_knows_what_is_asked_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest page, the news behind a position, and a filter that matches much need no file,
    with a log that is far larger; before a restart and after it, a purge and a prune."""
    monkeypatch.setattr(tail, "ROWS", 50)
    asked = [
        (PLAIN, 49, 0, False),
        (PLAIN, 20, 20, False),
        (Selection(after_id=195), 100, 0, True),
        (Selection(after_id=200), 100, 0, True),
        (Selection(topics=TopicFilter(("t/+",))), 2, 0, False),
    ]
    path = tmp_path / "history.db"
    async with open_history(path) as history:
        for _ in range(20):
            await history.append(messages(9, "t/1") + messages(1, "t/9"))
        assert await compare(history, asked) == len(asked)
    async with open_history(path, cap_rows=150) as history:
        assert await compare(history, asked) == len(asked)
        await history.purge(Purge(TopicFilter(("t/9",))))
        assert await compare(history, asked) == len(asked)
        assert history.recent(Selection(after_id=20), limit=5, ascending=True) is None
        assert history.recent(PLAIN, limit=500) is None
        assert history.recent(Selection(topics=TopicFilter(("t/9",))), limit=1) is None


async def test_all_of_a_small_log_is_in_memory(tmp_path: Path) -> None:
    """Then every question is answered from there, one that matches nothing too."""
    async with open_history(tmp_path / "history.db", cap_rows=100) as history:
        for _ in range(15):
            await history.append(messages(10))
        asked = [
            (PLAIN, 1_000, 0, False),
            (PLAIN, 1_000, 0, True),
            (PLAIN, 10, 1_000, False),
            (Selection(topics=TopicFilter(("none",))), 10, 0, False),
        ]
        assert await compare(history, asked) == len(asked)


async def test_what_was_cut_by_its_bytes_is_asked_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large payloads leave memory sooner; one that is larger than the bound is never held."""
    monkeypatch.setattr(tail, "MAX_BYTES", 1_000)
    async with open_history(tmp_path / "history.db") as history:
        await history.append([message("a", "x" * 300) for _ in range(10)])
        assert await compare(history, [(PLAIN, 2, 0, False), (PLAIN, 3, 0, False)]) == 1
        await history.append([message("a", "x" * 5_000)])
        assert await compare(history, [(PLAIN, 1, 0, False)]) == 0
        await history.append([message("a", "y")])
        after = [(Selection(after_id=11), 5, 0, True)]
        assert await compare(history, after) == 1


async def test_all_that_a_message_carries_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Properties and long names take memory as payloads do, live and after a restart."""
    monkeypatch.setattr(tail, "MAX_BYTES", 1_000)
    path = tmp_path / "history.db"
    long_named = [message("a" * 300, "x") for _ in range(10)]
    described = [message("a", "x", properties=f'{{"content_type":"{"y" * 280}"}}')] * 10
    async with open_history(path) as history:
        for some in (long_named, [replace(one) for one in described]):
            await history.append(some)
            assert await compare(history, [(PLAIN, 2, 0, False), (PLAIN, 9, 0, False)]) == 1
    async with open_history(path) as history:
        assert await compare(history, [(PLAIN, 2, 0, False), (PLAIN, 9, 0, False)]) == 1


async def test_places_that_were_never_stored_are_told_by_the_file(tmp_path: Path) -> None:
    """Who comes back from before such a place is answered by the file, which has the gap."""
    path = tmp_path / "history.db"
    async with open_history(path) as history:
        await history.append(messages(5))
        history.note_trouble(True)
        await history.append(messages(2))
        history._database.note("unstored after 7")
    async with open_history(path) as history:
        await history.append(messages(3))
        behind = Selection(after_id=7)
        assert history.recent(behind, limit=10, ascending=True) is None
        page = await history.page(behind, limit=10, ascending=True)
        assert page.unstored is not None
        beyond = Selection(after_id=page.unstored[1])
        assert await compare(history, [(beyond, 10, 0, True)]) == 1


async def test_a_failed_append_changes_nothing(tmp_path: Path) -> None:
    """Memory is never ahead of the file."""
    path = tmp_path / "history.db"
    async with open_history(path) as history:
        await history.append(messages(3))
        broken = [message("a", "1"), message("a", "2", packet_id=object())]
        with pytest.raises(HistoryUnavailable):
            await history.append(broken)
        assert await compare(history, HEAD) == len(HEAD)
        page = history.recent(PLAIN, limit=9)
        assert page is not None and [one.id for one in page.messages] == [3, 2, 1]
