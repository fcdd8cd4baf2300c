"""Damaged files, and what a process that could not write leaves for the next one."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from store.database import Database
from store.errors import DatabaseRefused
from store.history import History
from store.message import Message
from store.selection import NO_BOUND, Selection
from store.topics import TopicFilter
from tests.recordings import messages, open_history

NOW_US = 1_800_000_000_000_000


async def _fill(path: Path, count: int, *, clean: bool) -> None:
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US)
    await history.append([Message("a", str(n) * 500, NOW_US + n) for n in range(count)])
    if clean:
        await history.close()
    await database.close()


@pytest.mark.parametrize("damage", ["not a database", "truncated", "zeroed page", "one bit"])
async def test_a_damaged_file_is_kept_aside_and_a_fresh_log_begins(
    tmp_path: Path, damage: str
) -> None:
    """A damaged database never stops the start; its file is kept, and the epoch is another."""
    path = tmp_path / "history.db"
    await _fill(path, 200, clean=False)
    content = bytearray(path.read_bytes())
    if damage == "not a database":
        content[:] = b"this is no database" * 1000
    elif damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "zeroed page":
        content[3 * 4096 : 8 * 4096] = bytes(5 * 4096)
    else:
        content[100] ^= 0xFF  # the kind of the schema's own page
    path.write_bytes(bytes(content))
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US)
    try:
        assert Path(database.quarantined).read_bytes() == bytes(content)
        assert history.totals().message_count == 0
        (stored,) = await history.append([Message("a", "1", NOW_US)])
        assert stored.id == 1
    finally:
        await history.close()
        await database.close()
    again = await Database.open(path)
    assert again.quarantined == ""
    await again.close()


async def test_a_database_that_is_not_ours_is_refused_and_untouched(tmp_path: Path) -> None:
    """Somebody else's SQLite file is neither used nor moved away."""
    path = tmp_path / "history.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseRefused, match="not one of this service"):
        await Database.open(path)
    assert path.read_bytes() == before


async def test_the_next_process_knows_what_was_shown_and_never_stored(tmp_path: Path) -> None:
    """A process that ends while nothing can be stored leaves a gap for those who resume."""
    path = tmp_path / "history.db"
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US)
    await history.append([Message("a", str(n), NOW_US + n) for n in range(3)])
    history.note_trouble(True)
    await history.close()
    await database.close()
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US)
    try:
        await history.append([Message("a", "after", NOW_US + 9)])
        before_id = history.totals().newest_id + 1
        page = await history.forward(Selection(before_id=before_id), limit=100)
        assert [message.id for message in page.messages] == [1, 2, 3]
        assert (page.unstored, page.complete, page.scanned_id) == (None, False, 3)
        page = await history.forward(Selection(after_id=3, before_id=before_id), limit=100)
        assert page.unstored == (3, 5)
        assert [message.payload for message in page.messages] == ["after"]
        page = await history.forward(Selection(after_id=5, before_id=NO_BOUND), limit=100)
        assert page.unstored is None
    finally:
        await history.close()
        await database.close()


async def test_what_was_stored_before_the_end_is_no_part_of_the_gap(tmp_path: Path) -> None:
    """A process that ends while it catches up has stored some of what it had shown: who resumes
    gets that, and the gap begins behind it."""
    path = tmp_path / "history.db"
    async with open_history(path, clean=False) as history:
        await history.append(messages(2))
        history.note_trouble(True)
        await history.append(messages(3))
    async with open_history(path) as history:
        await history.append(messages(1))
        before_id = history.totals().newest_id + 1
        page = await history.forward(Selection(after_id=2, before_id=before_id), limit=100)
        assert [message.id for message in page.messages] == [3, 4, 5]
        page = await history.forward(Selection(after_id=5, before_id=before_id), limit=100)
        assert page.unstored == (5, before_id - 1)
        assert [message.id for message in page.messages] == [before_id - 1]


async def test_a_page_that_goes_on_ends_where_something_was_never_stored(tmp_path: Path) -> None:
    """Who pages on from a position meets the gap at the beginning of a page, where it is told."""
    path = tmp_path / "history.db"
    async with open_history(path, clean=False) as history:
        await history.append(messages(3))
        history.note_trouble(True)
    async with open_history(path) as history:
        await history.append(messages(2))
        newest_id = history.totals().newest_id
        page = await history.page(Selection(after_id=1), limit=100, ascending=True)
        assert [message.id for message in page.messages] == [2, 3]
        assert (page.unstored, page.complete, page.scanned_id) == (None, False, 3)
        page = await history.page(Selection(after_id=1), limit=1, ascending=True)
        assert ([message.id for message in page.messages], page.scanned_id) == ([2], 0)
        elsewhere = Selection(topics=TopicFilter(("z",)), after_id=1)
        page = await history.page(elsewhere, limit=100, ascending=True)
        assert (page.messages, page.complete, page.scanned_id) == ([], False, 3)
        page = await history.page(Selection(after_id=3), limit=100, ascending=True)
        assert page.unstored == (3, newest_id - 1)
        assert [message.id for message in page.messages] == [newest_id - 1, newest_id]


@pytest.mark.parametrize("note", ["", "unstored after 2"])
async def test_a_position_that_was_told_never_names_a_later_message(
    tmp_path: Path, note: str
) -> None:
    """Two unclean ends with no message between them: the second start does not go back."""
    path = tmp_path / "history.db"
    async with open_history(path, clean=False) as history:
        await history.append(messages(2))
        history._database.note(note)
    async with open_history(path, clean=False) as history:
        told = history.totals().newest_id
    async with open_history(path) as history:
        assert history.totals().newest_id >= told
        (stored,) = await history.append(messages(1))
        assert stored.id is not None and stored.id > told


async def test_a_log_begun_afresh_keeps_its_numbers_through_a_kill(tmp_path: Path) -> None:
    """The ids of a damaged log stay spent, also when the process is killed before the first
    message of the new one; and what two notice at once is moved aside once."""
    path = tmp_path / "history.db"
    async with open_history(path, clean=False) as history:
        await history.append(messages(5))
        history._database.damage = "the history is damaged: somebody says so"
        again = await asyncio.gather(history.begin_afresh(NOW_US), history.begin_afresh(NOW_US))
        assert again == [True, False]
        assert history.totals().newest_id == history.totals().pruned_id == 5
    assert len(list(tmp_path.glob("*.damaged-*Z"))) == 1
    async with open_history(path) as history:
        (stored,) = await history.append(messages(1))
        assert stored.id is not None and stored.id > 5


async def test_trouble_that_ended_leaves_no_gap(tmp_path: Path) -> None:
    """What could be stored in the end is no gap for anybody."""
    path = tmp_path / "history.db"
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US)
    history.note_trouble(True)
    history.note_trouble(False)
    await history.close()
    await database.close()
    database = await Database.open(path)
    history = await History.open(database, now_us=NOW_US)
    page = await history.forward(Selection(before_id=100), limit=1)
    assert page.unstored is None
    await history.close()
    await database.close()
