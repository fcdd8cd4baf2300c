"""`server.py db`: what it finds, what it refuses, and that copies hold everything."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server import main
from store.database import Database
from store.lock_file import LockFile
from store.schema import migrations
from tests.service_process import ROOT
from tests.store.test_upgrade import database_of, everything
from tools import database_command
from tools.progress import Progress

Command = Callable[..., int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that a service of this release has left in order."""
    made = database_of(1, tmp_path)
    asyncio.run(opened_once(made))
    return made


async def opened_once(path: Path) -> None:
    """Bring the schema up to date, as a start does."""
    await (await Database.open(path)).close()


@pytest.fixture
def db(path: Path) -> Command:
    """Run one command on it, with the settings given; return the exit status."""

    def run(*arguments: str | Path, **settings: str) -> int:
        return main(
            ["db", *map(str, arguments)],
            {
                "HISTORY_DB": str(path),
                "MAX_HISTORY_SIZE": "0",
                "MESSAGE_RETENTION_HOURS": "0",
                **settings,
            },
        )

    return run


@pytest.fixture
def held(path: Path) -> Iterator[None]:
    """A service has the database open."""
    lock = LockFile.take(path)
    yield
    lock.release()


def test_check_tells_a_sound_file_from_a_damaged_one(
    db: Command, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and one line; or 1, what is wrong, and what to do. Wrong counters count as damage."""
    assert db("check") == 0
    assert capsys.readouterr().out == f"{path} is sound\n"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE topic SET message_count = 99 WHERE name = 'busy/1'")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert db("check") == 1
    said = capsys.readouterr()
    assert said.out == "topic 'busy/1' counts 99 messages and has 8\n"
    assert "db restore" in said.err
    with path.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xa5" * 8192)
    assert db("check") == 1


def test_stats_shows_what_there_is(db: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows, topics, ids, times and sizes, in lines for people."""
    assert db("stats") == 0
    shown = dict(
        line.split("  ", 1) for line in capsys.readouterr().out.splitlines() if line[0] != " "
    )
    assert shown["messages"].strip() == "33"
    assert shown["epoch"].strip() == "d618a10"
    assert shown["schema version"].strip() == str(migrations()[-1][0])


def test_a_file_of_an_older_release_is_looked_at_and_copied_but_not_exported(
    db: Command, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before an upgrade one wants to know what is in it, and a copy; reading it needs a start."""
    path.unlink()
    database_of(1, tmp_path)
    for arguments in (("stats",), ("check",), ("backup", tmp_path / "before-upgrade.db")):
        assert db(*arguments) == 0
    assert db("export") == 78
    assert "start the service once" in capsys.readouterr().err


def test_a_backup_holds_everything_and_is_a_log_of_its_own(
    db: Command, path: Path, held: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made beside a running service, it differs in its epoch alone, and overwrites nothing."""
    copy = tmp_path / "copy.db"
    assert db("backup", copy) == 0
    before, after = everything(path), everything(copy)
    (original,), (own,) = before.pop("log"), after.pop("log")
    assert before == after
    assert original[0] != own[0] and original[1:] == own[1:]
    assert sorted(file.name for file in tmp_path.glob("*copy*")) == ["copy.db"]
    content = copy.read_bytes()
    assert db("backup", copy) == 78
    assert copy.read_bytes() == content
    assert "is not overwritten" in capsys.readouterr().err


def test_a_restore_keeps_what_was_there(
    db: Command, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy is in its place with a new epoch, and the database before it stands aside."""
    copy = tmp_path / "copy.db"
    assert db("backup", copy) == 0
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM message WHERE id > 60")
        connection.commit()
    lost = everything(path)
    assert db("restore", copy) == 0
    (aside,) = tmp_path.glob("history.db.before-restore-*Z")
    assert str(aside) in capsys.readouterr().out
    assert everything(aside)["messages"] == lost["messages"]
    assert everything(path)["messages"] == everything(copy)["messages"]
    assert len({everything(one)["log"][0][0] for one in (path, copy, aside)}) == 3
    assert db("check") == 0


def test_what_is_no_database_of_ours_is_not_restored(
    db: Command, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A text file, a strange database, a file that is not there: refused, nothing touched."""
    before = path.read_bytes()
    (tmp_path / "text").write_text("no database " * 1000)
    with closing(sqlite3.connect(tmp_path / "strange")) as connection:
        connection.execute("CREATE TABLE other (x)")
    for name in ("text", "strange", "nowhere"):
        assert db("restore", tmp_path / name) == 78, name
    assert path.read_bytes() == before
    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{tmp_path}/").partition(" ")[0] for line in said[:2]] == [
        "text",
        "strange",
    ]
    assert said[2] == f"there is no database {tmp_path / 'nowhere'}"


@pytest.mark.parametrize(
    "content",
    [b"no database " * 1000, b"SQLite format 3\0" + b"\xa5" * 40_000],
    ids=["text", "noise"],
)
@pytest.mark.parametrize("action", ["check", "stats", "vacuum", "backup copy.db", "export"])
def test_of_a_damaged_file_each_says_so_in_a_sentence(
    db: Command, path: Path, content: bytes, action: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """No command ends with a traceback over it, and none makes a copy of it."""
    path.write_bytes(content)
    name, *rest = action.split()
    assert db(name, *(path.with_name(one) for one in rest)) in (1, 78)
    said = capfd.readouterr()
    assert f"{path} is no database, or a damaged one" in said.out + said.err
    assert path.read_bytes() == content
    assert not list(path.parent.glob("*copy*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("export --topic a/#/b", "--topic may have # only as the whole last level"),
        ("export --since yesterday", "--since must be a time"),
        ("export --until yesterday", "--until must be a time"),
        ("export -o {0}/history.db", "{0}/history.db is there already, and is not overwritten"),
        ("export -o {0}/nowhere/x", "{0}/nowhere/x: No such file or directory"),
        ("backup {0}/nowhere/x", "{0}/nowhere/x: No such file or directory"),
        ("backup /dev/full/x", "/dev/full/x: Not a directory"),
        ("export -o /dev/null", "/dev/null is there already, and is not overwritten"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_name(
    db: Command, tmp_path: Path, arguments: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option or the file that is wrong, and never the database instead."""
    assert db(*arguments.format(tmp_path).split()) == 78
    assert capsys.readouterr().err.startswith(sentence.format(tmp_path))


def test_half_an_export_is_not_left_behind(
    db: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a full disk the file is named and taken away; an export that is whole is not touched."""

    def full(_messages: object) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(database_command, "ndjson_lines", full)
    assert db("export", "-o", tmp_path / "half") == 78
    assert capsys.readouterr().err == f"{tmp_path}/half: No space left on device\n"
    assert not (tmp_path / "half").exists()


def test_a_reader_who_has_enough_ends_an_export_quietly(path: Path) -> None:
    """`db export | head -1` prints a line, and no error."""
    command = f"{sys.executable} {ROOT}/server.py db export | head -c 1"
    done = subprocess.run(
        ["sh", "-c", command],
        env={"PATH": os.environ["PATH"], "HISTORY_DB": str(path), "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{" and "Error" not in done.stderr and "pipe" not in done.stderr


@pytest.mark.parametrize("action", ["prune", "vacuum", "restore copy.db"])
def test_what_would_hurt_a_running_service_is_refused(
    db: Command, path: Path, held: None, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """75, a sentence that says how to stop it, and the file as it was."""
    assert db("backup", path.with_name("copy.db")) == 0
    content = path.read_bytes()
    name, *rest = action.split()
    assert db(name, *(path.with_name(one) for one in rest)) == 75
    assert "systemctl stop mqtt-api" in capsys.readouterr().err
    assert path.read_bytes() == content
    for free in ("check", "stats", "export"):
        assert db(free) == 0


def test_prune_and_vacuum(db: Command, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The limits are carried out at once, and the ids go on where they were."""
    assert db("prune", MAX_HISTORY_SIZE="20") == 0
    assert capsys.readouterr().out == "removed 13 messages; left: 20\n"
    assert db("prune", MESSAGE_RETENTION_HOURS="1") == 0  # all are of January
    assert capsys.readouterr().out == "removed 20 messages; left: 0\n"
    assert everything(path)["log"][0][1] == 81, "no block of ids was skipped"
    assert db("vacuum") == 0
    before, after = (
        int(word.replace(",", "")) for word in capsys.readouterr().out.split() if word[0].isdigit()
    )
    assert after <= before and after == path.stat().st_size
    assert db("check") == 0


def test_export_selects_and_loses_nothing(
    db: Command, path: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """NDJSON holds every message; filters and times select; CSV has a header; no file is
    overwritten."""
    assert db("export", "-o", tmp_path / "all.ndjson") == 0
    lines = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert [one["id"] for one in lines] == [row[0] for row in everything(path)["messages"]]
    assert {one.get("encoding") for one in lines} >= {None} and db(
        "export", "-o", tmp_path / "all.ndjson"
    ) == 78
    capfdbinary.readouterr()
    assert (
        db("export", "--format", "csv", "--topic", "busy/+", "--until", "2026-01-01T00:00:50Z") == 0
    )
    rows = capfdbinary.readouterr().out.decode().splitlines()
    assert rows[0].startswith("id,time,topic") and 1 < len(rows) < 6
    assert all(",busy/" in row for row in rows[1:])


def test_without_a_database_none_is_made(
    db: Command, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command but restore says that there is none, and leaves no file behind."""
    for file in path.parent.iterdir():
        file.unlink()
    for action in ("check", "stats", "prune", "vacuum", "export"):
        assert db(action) in (1, 78), action
    assert db("backup", path.with_name("copy.db")) == 78
    assert "there is no database" in capsys.readouterr().err
    assert list(path.parent.iterdir()) == []


@pytest.mark.needs_sqlite3
def test_what_can_be_read_of_a_damaged_file_is_rescued(path: Path) -> None:
    """The line of docs/operations.md brings back rows of a file whose pages are partly noise."""
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"(?m)^sqlite3 \S+ \.dump .*$", page)
    content = bytearray(path.read_bytes())
    content[2 * 4096 : 3 * 4096] = b"\xa5" * 4096
    (path.parent / line.split()[1]).write_bytes(content)
    subprocess.run(["sh", "-c", line], cwd=path.parent, check=False, capture_output=True)
    with closing(sqlite3.connect(path.with_name("rescued.db"))) as rescued:
        assert rescued.execute("SELECT count(*) FROM message").fetchone()[0] > 0


def test_the_bar_is_drawn_on_a_terminal_alone() -> None:
    """Not more than ten times a second; the line is wiped at the end; a file gets nothing."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now, terminal, file = 0.0, Terminal(), io.StringIO()
    with Progress("copying", lambda: now, terminal) as at:
        for step in range(11):
            now = step * 0.0625
            at(step / 10)
    assert terminal.getvalue().count("copying") == 6
    assert "[############..................]  40%" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K")
    with Progress("copying", lambda: now, file) as at:
        at.tick()
    assert file.getvalue() == ""
