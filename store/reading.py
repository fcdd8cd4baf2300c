"""The questions asked of the history, as SQL on a read-only connection.

Answers for: pages of messages. Does not: choose a connection, keep
time, or know who asks. Every function runs in the read transaction that its caller opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace

from store.message import Message
from store.minutes import id_range
from store.segments import SEGMENT_IDS, ids_of_topics
from store.selection import NO_BOUND, Page, Selection
from store.topic_reading import matching_topics
from store.topics import TopicFilter

COLUMNS = (
    "message.id, topic.name, message.timestamp_us, message.qos, message.retain, message.payload,"
    " message.properties"
)
# Reading every row and dropping what does not match costs about this many times less for each
# row than finding a matching row, or that there is none, by the index.
SCAN_ADVANTAGE = 8


Row = tuple[int, str, int, int, int, str | bytes, str | None]


def to_message(row: Row) -> Message:
    """Build the message of one row of COLUMNS."""
    message_id, topic, timestamp_us, qos, retain, payload, properties = row
    return Message(topic, payload, timestamp_us, qos, bool(retain), properties, None, message_id)


def page(
    connection: sqlite3.Connection,
    selection: Selection,
    *,
    limit: int,
    offset: int = 0,
    ascending: bool = False,
    max_bytes: int | None = None,
) -> Page:
    """Return one page of the selection, and the state of the log at the same instant.

    It ends early once its payloads have `max_bytes`: the memory it takes is bounded. Going on
    from a position it also ends where messages were shown and never stored, so that the next
    page begins with that gap.
    """
    pruned_id = _pruned_id(connection, selection)
    newest_id, oldest_id = connection.execute(
        "SELECT (SELECT coalesce(max(id), 0) FROM message), (SELECT min(id) FROM message)"
    ).fetchone()
    unstored, scanned_id = None, 0
    if ascending and selection.after_id:
        lost = _unstored_behind(connection, selection.after_id, selection.before_id)
        if lost is not None and lost[0] <= selection.after_id:
            unstored = lost
        elif lost is not None and not offset:
            scanned_id = lost[0]
            selection = replace(selection, before_id=scanned_id + 1)
    messages: list[Message] = []
    size, complete = 0, True
    for row in _rows(connection, _narrowed(connection, selection), limit + 1, offset, ascending):
        if len(messages) == limit or (max_bytes is not None and size >= max_bytes):
            complete = False
            break
        messages.append(to_message(row))
        size += len(messages[-1].payload)
    return Page(
        messages,
        newest_id,
        oldest_id,
        pruned_id,
        complete=complete and not scanned_id,
        unstored=unstored,
        scanned_id=scanned_id if complete else 0,
    )


def forward(
    connection: sqlite3.Connection,
    selection: Selection,
    *,
    limit: int,
    scan_ids: int,
    max_bytes: int | None = None,
) -> Page:
    """Return the next page in order of arrival, having looked at `scan_ids` ids at most.

    A selection that matches little is thus read in many short transactions, never in a long one.
    """
    pruned_id = _pruned_id(connection, selection)
    lost = _unstored_behind(connection, selection.after_id, selection.before_id)
    crossed = lost if lost is not None and lost[0] <= selection.after_id else None
    if crossed is not None:
        selection = replace(selection, after_id=crossed[1] - 1)
    selection = _behind_what_is_gone(connection, _narrowed(connection, selection))
    end = min(selection.before_id, selection.after_id + scan_ids + 1)
    if lost is not None and crossed is None:  # the page ends where the next begins with the gap
        end = min(end, lost[0] + 1)
    found = page(
        connection,
        replace(selection, before_id=end),
        limit=limit,
        ascending=True,
        max_bytes=max_bytes,
    )
    scanned_id = end - 1
    if found.messages and not found.complete:
        scanned_id = found.messages[-1].id or scanned_id
    return replace(
        found,
        pruned_id=pruned_id,
        scanned_id=scanned_id,
        complete=found.complete and end == selection.before_id,
        unstored=crossed,
    )


def _pruned_id(connection: sqlite3.Connection, selection: Selection) -> int:
    """Return the highest id that retention took from the topics of the selection.

    Where that is not behind `after_id` it is of no interest, and may be too high.
    """
    pruned_id, lost_id = connection.execute("SELECT pruned_id, lost_id FROM log").fetchone()
    topics = selection.topics
    if pruned_id <= selection.after_id or topics is None or _is_everything(topics):
        return int(pruned_id)
    own = connection.execute(
        "SELECT coalesce(max(pruned_id), 0) FROM topic"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (str(list(matching_topics(connection, topics, without_rows=True))),),
    ).fetchone()[0]
    return max(int(own), int(lost_id))


def _behind_what_is_gone(connection: sqlite3.Connection, selection: Selection) -> Selection:
    """Begin where there are rows: nobody need step through ids that retention has emptied."""
    pruned_id = connection.execute("SELECT pruned_id FROM log").fetchone()[0]
    return replace(selection, after_id=max(selection.after_id, pruned_id))


def _unstored_behind(
    connection: sqlite3.Connection, after_id: int, before_id: int
) -> tuple[int, int] | None:
    """Return the next place behind `after_id` where messages were shown and never stored."""
    row: tuple[int, int] | None = connection.execute(
        "SELECT after_id, next_id FROM unstored WHERE next_id - 1 > ? AND next_id <= ?"
        " ORDER BY after_id LIMIT 1",
        (after_id, before_id),
    ).fetchone()
    return row


def message_by_id(connection: sqlite3.Connection, message_id: int) -> Message | None:
    """Return one message, or None."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM message JOIN topic ON topic.id = topic_id WHERE message.id = ?",
        (message_id,),
    ).fetchone()
    return None if row is None else to_message(row)


def position_before(connection: sqlite3.Connection, since_us: int) -> int:
    """Return the id just before the first message of that time or later."""
    first, _ = id_range(connection, since_us, None)
    found = connection.execute(
        "SELECT id FROM message WHERE id >= ? AND timestamp_us >= ? ORDER BY id LIMIT 1",
        (first, since_us),
    ).fetchone()
    if found is not None:
        return int(found[0]) - 1
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()[0]
    return int(newest)


def _narrowed(connection: sqlite3.Connection, selection: Selection) -> Selection:
    """Turn times into bounds of ids; the times stay, since the bounds are only an outline."""
    if selection.since_us is None and selection.until_us is None:
        return selection
    first, last = id_range(connection, selection.since_us, selection.until_us)
    before = selection.before_id if last is None else min(selection.before_id, last + 1)
    return replace(selection, after_id=max(selection.after_id, first - 1), before_id=before)


def _rows(
    connection: sqlite3.Connection, selection: Selection, limit: int, offset: int, ascending: bool
) -> Iterable[Row]:
    where, values = _conditions(selection)
    direction = "ASC" if ascending else "DESC"
    topic_ids: dict[int, int] = {}
    if selection.topics is not None and not _is_everything(selection.topics):
        topic_ids = matching_topics(connection, selection.topics)
        if not topic_ids:
            return []
        wanted = limit + offset
        total = connection.execute("SELECT sum(message_count) FROM topic").fetchone()[0]
        scanned = wanted * total / max(1, sum(topic_ids.values()))
        sought = len(topic_ids) * (1 + scanned / SEGMENT_IDS)  # each topic in each segment
        if scanned > SCAN_ADVANTAGE * (wanted + sought):
            return _through_index(connection, topic_ids, selection, limit, offset, ascending)
        where += " AND +topic_id IN (SELECT value FROM json_each(?))"
        values.append(str(list(topic_ids)))
    elif selection.topics is not None:
        # Everything, but for the topics beginning with $ that another filter does not name.
        special = TopicFilter(text for text in selection.topics.texts if text.startswith("$"))
        topic_ids = matching_topics(connection, special)
        where += " AND (name NOT LIKE '$%' OR +topic_id IN (SELECT value FROM json_each(?)))"
        values.append(str(list(topic_ids)))
    sql = (
        f"SELECT {COLUMNS} FROM message CROSS JOIN topic ON topic.id = topic_id WHERE {where}"
        f" ORDER BY message.id {direction} LIMIT ? OFFSET ?"
    )
    return connection.execute(sql, (*values, limit, offset))


def _is_everything(topics: TopicFilter) -> bool:
    return "#" in topics.texts and topics.within is None


def _through_index(
    connection: sqlite3.Connection,
    topic_ids: dict[int, int],
    selection: Selection,
    limit: int,
    offset: int,
    ascending: bool,
) -> Iterable[Row]:
    """Find the ids by the index: for filters that match few of the rows."""
    ids = ids_of_topics(
        connection,
        topic_ids,
        selection.after_id,
        selection.before_id,
        _conditions(selection),
        limit + offset,
        ascending,
    )
    return connection.execute(
        f"SELECT {COLUMNS} FROM message JOIN topic ON topic.id = topic_id"
        " WHERE message.id IN (SELECT value FROM json_each(?))"
        f" ORDER BY message.id {'ASC' if ascending else 'DESC'}",
        (str(ids[offset:]),),
    )


def _conditions(selection: Selection) -> tuple[str, list[object]]:
    where = ["message.id > ?"]
    values: list[object] = [selection.after_id]
    if selection.before_id != NO_BOUND:
        where.append("message.id < ?")
        values.append(selection.before_id)
    for column, comparison, value in (
        ("timestamp_us", ">=", selection.since_us),
        ("timestamp_us", "<", selection.until_us),
        ("qos", "=", selection.qos),
        ("retain", "=", selection.retain),
    ):
        if value is not None:
            where.append(f"message.{column} {comparison} ?")
            values.append(value)
    if selection.contains is not None:
        where.append("typeof(payload) = 'text' AND instr(payload, ?) > 0")
        values.append(selection.contains)
    return " AND ".join(where), values
