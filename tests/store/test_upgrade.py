"""A database of every earlier schema version is brought up to date without loss."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import store.schema
from store.database import Database
from store.errors import DatabaseRefused
from store.history import History
from store.maintenance import check
from store.schema import migrations
from store.selection import Selection
from store.subscriptions import Subscriptions

SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = [number for number, _ in migrations()]
NOW_US = 1_767_225_700_000_000


def database_of(version: int, directory: Path) -> Path:
    """Make the file that an earlier release left."""
    path = directory / "history.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((SCHEMAS / f"{version:04}.sql").read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode = WAL")
    return path


def everything(path: Path) -> dict[str, list[Any]]:
    """Return what a person would miss: the rows as the view shows them, and what is beside them."""
    with closing(sqlite3.connect(path)) as connection:
        asked = {
            "messages": "SELECT * FROM history ORDER BY id",
            "properties": "SELECT id, properties FROM message WHERE properties IS NOT NULL",
            "last values": "SELECT topic_id, id, payload FROM last_value ORDER BY topic_id",
            "topics": "SELECT name, message_count, first_seen_us, last_id FROM topic ORDER BY 1",
            "log": "SELECT epoch, reserved_id, pruned_id FROM log",
            "subscriptions": "SELECT topic, qos, since_us FROM subscription",
            "settings": "SELECT name, value FROM setting",
        }
        return {name: connection.execute(sql).fetchall() for name, sql in asked.items()}


def test_every_earlier_schema_has_its_database() -> None:
    """Whoever adds a migration leaves a database of the schema before it here."""
    kept = {int(file.stem) for file in SCHEMAS.glob("*.sql")}
    assert set(VERSIONS[:-1]) | {1} <= kept <= set(VERSIONS)
    assert list(range(1, len(VERSIONS) + 1)) == VERSIONS


@pytest.mark.parametrize("version", [int(file.stem) for file in sorted(SCHEMAS.glob("*.sql"))])
async def test_it_is_brought_up_to_date_without_loss(version: int, tmp_path: Path) -> None:
    """Messages, positions, last values and subscriptions are as they were; ids go on behind."""
    path = database_of(version, tmp_path)
    before = everything(path)
    assert len(before["messages"]) > 30 and before["subscriptions"] and before["last values"]
    database = await Database.open(path, now_us=NOW_US)
    history = await History.open(database, now_us=NOW_US)
    newest = history.totals().newest_id
    page = await history.forward(Selection(), limit=10_000)
    assert [message.id for message in page.messages] == [row[0] for row in before["messages"]]
    assert (await history.topic_summary("once/only")) is not None, "its last value outlived it"
    assert [one.topic for one in await Subscriptions(database).all()] == ["factory/#"]
    await history.close()
    await database.close()
    assert everything(path) == before
    assert newest >= before["messages"][-1][0]
    assert check(path, lambda: None) == []


async def test_a_migration_that_fails_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each migration is one transaction, and a newer schema is refused and left untouched."""
    path = database_of(1, tmp_path)
    before = everything(path)
    step = "ALTER TABLE message ADD COLUMN extra TEXT;\nUPDATE message SET extra = payload;\n"
    newer = [*migrations(), (VERSIONS[-1] + 1, step)]
    broken = [*migrations(), (VERSIONS[-1] + 1, step + "INSERT INTO no_such_table VALUES (1);")]
    monkeypatch.setattr(store.schema, "migrations", lambda: broken)
    with pytest.raises(DatabaseRefused, match="no_such_table"):
        await Database.open(path, now_us=NOW_US)
    assert everything(path) == before

    monkeypatch.setattr(store.schema, "migrations", lambda: newer)
    await (await Database.open(path, now_us=NOW_US)).close()
    assert everything(path) == before
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(extra) FROM message").fetchone()[0] > 30
        content = path.read_bytes()

    monkeypatch.undo()
    with pytest.raises(DatabaseRefused, match="newer release"):
        await Database.open(path, now_us=NOW_US)
    assert path.read_bytes() == content
