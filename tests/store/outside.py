"""The log seen from outside: by another program that has the file open, and by counting."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from store.history import History
from tests.recordings import MINUTE_US


@contextmanager
def stranger(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program that has the file open for writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def assert_counters_are_real(path: Path, history: History, now_us: int) -> None:
    """Compare every counter with a count."""
    with closing(sqlite3.connect(path)) as connection:
        real = connection.execute(
            "SELECT name, count(*), max(message.id) FROM message"
            " JOIN topic ON topic.id = topic_id GROUP BY name ORDER BY name"
        ).fetchall()
        counted = connection.execute(
            "SELECT name, message_count, last_id FROM topic WHERE message_count <> 0 ORDER BY name"
        ).fetchall()
        times = connection.execute("SELECT id, timestamp_us FROM message ORDER BY id").fetchall()
    assert counted == real
    totals = history.totals()
    assert totals.message_count == len(times)
    assert totals.oldest_id == (times[0][0] if times else None)
    by_minute = Counter(at_us // MINUTE_US for _, at_us in times)
    ahead = [minute for minute in by_minute if minute > now_us // MINUTE_US - 60]
    assert history.recent_count(now_us) == sum(by_minute[minute] for minute in ahead)
