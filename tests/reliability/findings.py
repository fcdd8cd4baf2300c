"""What is looked at after a fault: the database file, and what it holds."""

from __future__ import annotations

import itertools
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.service_process import ServiceProcess


def stored_numbers(database: Path) -> list[int]:
    """Return the payloads of all rows as numbers, in order of id, read beside the service."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT CAST(payload AS TEXT) FROM message ORDER BY id")
        return [int(payload) for (payload,) in rows]


def assert_sound(database: Path, scratch: Path) -> None:
    """Check a copy of the files that a dead process left: SQLite finds no fault in them."""
    scratch.mkdir(exist_ok=True)
    copy = scratch / "copy.db"
    for suffix in ("", "-wal"):
        left = Path(f"{database}{suffix}")
        if left.exists():
            shutil.copy(left, f"{copy}{suffix}")
        else:
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)


def wait_until_stored(service: ServiceProcess, count: int, within_s: float = 60.0) -> None:
    """Wait until at least so many messages are stored, and none waits."""
    service.wait_for(
        lambda: service.get("/health").json()["message_count"] >= count, within_s=within_s
    )
    service.wait_for(lambda: service.get("/stats").json()["queue_depth"] == 0)


def assert_once_in_order(numbers: list[int], count: int) -> None:
    """Check that these are 0, 1, 2 and so on; say how many are missing, twice, out of order."""
    if numbers == list(range(count)):
        return
    missing = set(range(count)) - set(numbers)
    twice = len(numbers) - len(set(numbers))
    disorder = sum(one > two for one, two in itertools.pairwise(numbers))
    raise AssertionError(
        f"of {count}: {len(missing)} missing {sorted(missing)[:5]}, {twice} twice,"
        f" {disorder} out of order"
    )


def assert_nothing_missing(numbers: list[int], count: int, *, may_be_twice: set[int]) -> None:
    """Check that all of these are there, and twice only what the device itself sent again."""
    missing = set(range(count)) - set(numbers)
    assert not missing, f"{len(missing)} of {count} are missing: {sorted(missing)[:5]}"
    twice = {number for number, times in Counter(numbers).items() if times > 1} - may_be_twice
    assert not twice, f"{len(twice)} of {count} are there twice: {sorted(twice)[:5]}"


def memory_bytes(pid: int) -> int:
    """Return the memory of a process that is not shared with files, as it is now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    kilobytes = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    assert kilobytes is not None
    return 1024 * int(kilobytes.group(1))


def open_files(pid: int) -> int:
    """Return how many file handles a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
