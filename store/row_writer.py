"""Rows of messages, and the counters of their topics, in the transaction of an append.

Answers for: inserting, numbering topics, leaving out what a retained replay repeats. Does not:
number messages, or begin and end the transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from store.message import Message
from store.minutes import Minutes

# Topic numbers kept in memory; beyond it the dictionary starts afresh.
TOPIC_MEMORY = 50_000

INSERT_MESSAGES = (
    "INSERT INTO message (id, topic_id, timestamp_us, qos, retain, payload, properties, packet_id)"
    " VALUES "
)
ONE_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
COLUMNS = 8
# Rows of one statement: each statement costs some 1.5 us besides, and a turn of the interpreter's
# lock; from 16 rows on it is not felt any more (measured).
STATEMENT_ROWS = 16
INSERT_MANY = INSERT_MESSAGES + ", ".join([ONE_ROW] * STATEMENT_ROWS)
INSERT_ONE = INSERT_MESSAGES + ONE_ROW
COUNT_MESSAGES = (
    "UPDATE topic SET message_count = message_count + ?, last_id = ?, last_seen_us = ? WHERE id = ?"
)


class RowWriter:
    """Writes rows, and knows the numbers of the topics it wrote lately. Writer's thread only."""

    def __init__(self) -> None:
        self._topic_ids: dict[str, int] = {}

    def forget(self) -> None:
        """A transaction was rolled back: some numbers may not be there any more."""
        self._topic_ids.clear()

    def insert(
        self,
        connection: sqlite3.Connection,
        messages: Sequence[Message],
        next_id: int,
        minutes: Minutes,
    ) -> list[Message]:
        """Insert messages with the ids from `next_id` on; return those that were not left out."""
        values: list[object] = []  # of all rows, one after the other
        counts: dict[int, int] = {}
        newest: dict[int, tuple[int, int]] = {}
        stored: list[Message] = []
        latest: dict[str, str | bytes] = {}
        has_retained = any(message.retain for message in messages)
        known = self._topic_ids
        for message in messages:
            topic = message.topic
            topic_id = known.get(topic) or self._topic_id(connection, message)
            if has_retained:
                if message.retain and self._is_known(connection, message, topic_id, latest):
                    continue
                latest[topic] = message.payload
            moment_us = message.timestamp_us
            values += (
                next_id,
                topic_id,
                moment_us,
                message.qos,
                message.retain,
                message.payload,
                message.properties,
                message.packet_id,
            )
            counts[topic_id] = counts.get(topic_id, 0) + 1
            newest[topic_id] = (next_id, moment_us)
            stored.append(message)
            next_id += 1
        _insert(connection, values)
        connection.executemany(
            COUNT_MESSAGES,
            [(count, *newest[topic_id], topic_id) for topic_id, count in counts.items()],
        )
        minutes.add(connection, [one.timestamp_us for one in stored], next_id - len(stored))
        minutes.flush_when_large(connection)
        return stored

    def _topic_id(self, connection: sqlite3.Connection, message: Message) -> int:
        topic_id = self._topic_ids.get(message.topic)
        if topic_id is None:
            if len(self._topic_ids) >= TOPIC_MEMORY:
                self._topic_ids.clear()
            topic_id = connection.execute(
                "INSERT INTO topic (name, first_seen_us, last_seen_us, last_id)"
                " VALUES (?1, ?2, ?2, 0) ON CONFLICT DO UPDATE SET name = ?1 RETURNING id",
                (message.topic, message.timestamp_us),
            ).fetchone()[0]
            self._topic_ids[message.topic] = topic_id
        return topic_id

    def _is_known(
        self,
        connection: sqlite3.Connection,
        message: Message,
        topic_id: int,
        latest: dict[str, str | bytes],
    ) -> bool:
        """Whether a replayed retained message is what the topic last said."""
        if message.topic in latest:
            return latest[message.topic] == message.payload
        row = connection.execute(
            "SELECT payload FROM message WHERE id = (SELECT last_id FROM topic WHERE id = ?1)"
            " UNION ALL SELECT payload FROM last_value WHERE topic_id = ?1 LIMIT 1",
            (topic_id,),
        ).fetchone()
        return row is not None and row[0] == message.payload


def _insert(connection: sqlite3.Connection, values: Sequence[object]) -> None:
    step = STATEMENT_ROWS * COLUMNS
    whole = len(values) - len(values) % step
    for at in range(0, whole, step):
        connection.execute(INSERT_MANY, values[at : at + step])
    left = range(whole, len(values), COLUMNS)
    connection.executemany(INSERT_ONE, [values[at : at + COLUMNS] for at in left])
