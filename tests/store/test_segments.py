"""The rows of topics are found by the index in segments, wherever in the log they are."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator

import pytest

from store import reading
from store.minutes import Minutes
from store.purge import Purge, purge_step
from store.schema import migrations
from store.segments import SEGMENT_IDS, ids_of_topics, newest_id_of
from store.selection import NO_BOUND, Selection
from store.series import series
from store.topics import TopicFilter

TOPICS = 40
ROWS = 3_000
# Rows lie scattered over so many segments, some of which are empty.
SPAN = 90 * SEGMENT_IDS
EVERYTHING = ("1", [])


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """A log of a few rows with numbers far apart, as after many unclean ends."""
    made = sqlite3.connect(":memory:", isolation_level=None)
    for _, script in migrations():
        made.executescript(script)
    chance = random.Random(7)
    ids = sorted(chance.sample(range(1, SPAN), ROWS))
    topics = [1 + min(int(chance.expovariate(0.2)), TOPICS - 1) for _ in ids]
    made.execute("INSERT INTO log (only_row, epoch, created_us) VALUES (1, 'a', 0)")
    made.executemany(
        "INSERT INTO topic (id, name, first_seen_us, last_seen_us, last_id) VALUES (?, ?, 0, 0, 0)",
        [(number, f"plant/t{number}") for number in range(1, TOPICS + 1)],
    )
    made.executemany(
        "INSERT INTO message (id, topic_id, timestamp_us, qos, retain, payload)"
        " VALUES (?, ?, ?, ?, 0, ?)",
        [(id_, topic, id_, id_ % 2, str(id_)) for id_, topic in zip(ids, topics, strict=True)],
    )
    made.execute(
        "UPDATE topic SET message_count = (SELECT count(*) FROM message WHERE topic_id = topic.id),"
        " last_id = (SELECT coalesce(max(id), 0) FROM message WHERE topic_id = topic.id)"
    )
    yield made
    made.close()


def by_looking_at_all(
    connection: sqlite3.Connection, topic_ids: list[int], where: str = "1", order: str = "ASC"
) -> list[int]:
    """Return what the index has to find, without it."""
    rows = connection.execute(
        f"SELECT id FROM message NOT INDEXED WHERE topic_id IN ({str(topic_ids)[1:-1]})"
        f" AND {where} ORDER BY id {order}"
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize("topic_ids", [[1], [TOPICS], [2, 9, 17], list(range(1, TOPICS + 1))])
@pytest.mark.parametrize("limit", [1, 7, 200, 2 * ROWS])
def test_the_first_ids_of_topics_from_either_end(
    connection: sqlite3.Connection, topic_ids: list[int], limit: int, ascending: bool
) -> None:
    """They are those that a look at every row finds, in the same order."""
    all_of_them = by_looking_at_all(connection, topic_ids, order="ASC" if ascending else "DESC")
    found = ids_of_topics(connection, topic_ids, 0, NO_BOUND, EVERYTHING, limit, ascending)
    assert found == all_of_them[:limit]


def test_bounds_and_conditions_hold(connection: sqlite3.Connection) -> None:
    """Both bounds are exclusive, wherever in a segment they lie, and a condition is kept to."""
    ids = by_looking_at_all(connection, [3])
    condition = ("message.id > ? AND message.id < ? AND message.qos = ?", [ids[4], ids[-3], 1])
    found = ids_of_topics(connection, [3], ids[4], ids[-3], condition, ROWS, ascending=True)
    assert found == [id_ for id_ in ids[5:-3] if id_ % 2]


def test_topics_that_have_nothing_there(connection: sqlite3.Connection) -> None:
    """Unknown topics, no topics, and bounds with nothing between them are simply empty."""
    for topic_ids in ([], [TOPICS + 1]):
        assert ids_of_topics(connection, topic_ids, 0, NO_BOUND, EVERYTHING, 9, False) == []
    assert ids_of_topics(connection, [1], SPAN, NO_BOUND, EVERYTHING, 9, True) == []
    connection.execute("DELETE FROM message")
    assert ids_of_topics(connection, [1], 0, NO_BOUND, EVERYTHING, 9, True) == []
    assert newest_id_of(connection, 1) == 0


def test_pages_of_a_rare_topic_and_of_a_common_one(connection: sqlite3.Connection) -> None:
    """The page is the same whether every row is read or the index asked."""
    for topic_ids in ([1], [TOPICS], [30, 31, 32]):
        names = TopicFilter(f"plant/t{number}" for number in topic_ids)
        ids = by_looking_at_all(connection, topic_ids, order="DESC")
        page = reading.page(connection, Selection(names), limit=5, offset=2)
        assert [message.id for message in page.messages] == ids[2:7]


def test_a_series_over_all_segments(connection: sqlite3.Connection) -> None:
    """Every row of the topic counts, whichever segment it is in."""
    ids = by_looking_at_all(connection, [5])
    found = series(connection, "plant/t5", None, 0, 2 * SPAN, 4 * SPAN)
    (point,) = found.points
    assert (point.count, point.first, point.last) == (len(ids), ids[0], ids[-1])
    assert series(connection, "plant/none", None, 0, SPAN, SPAN).points == []


def test_a_purge_finds_the_newest_that_is_left(connection: sqlite3.Connection) -> None:
    """A topic whose newest rows were removed knows the newest of the others."""
    ids = by_looking_at_all(connection, [4])
    connection.execute("UPDATE message SET timestamp_us = 0 WHERE id >= ?", (ids[10],))
    purge = Purge(TopicFilter(["plant/t4"]), until_us=1)
    after_id: int | None = 0
    while after_id is not None:
        _, after_id = purge_step(connection, purge, after_id, Minutes())
    assert by_looking_at_all(connection, [4]) == ids[:10]
    row = connection.execute("SELECT message_count, last_id FROM topic WHERE id = 4").fetchone()
    assert row == (10, ids[9])


def test_what_people_ask_about_one_topic_uses_the_index(connection: sqlite3.Connection) -> None:
    """`select ... from history where topic = ...` in the shell does not read every row."""
    connection.execute("ANALYZE sqlite_schema")  # as whoever opens the file knows it
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT * FROM history WHERE topic = 'plant/t4' ORDER BY id DESC LIMIT 5"
    ).fetchall()
    assert any("message_by_segment" in step[3] for step in plan), plan
