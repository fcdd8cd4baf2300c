"""Which rows the broker may deliver again, written down in the transaction that stores them.

Answers for: the window and what is carried over into it. Does not: recognise a redelivery; see
docs/decisions/0004-redeliveries.md.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from store.message import Message

# A redelivery window never reaches back further: MQTT packet numbers end here.
WINDOW_ROWS = 65_535


def window(connection: sqlite3.Connection) -> list[tuple[int, str, str | bytes, int]]:
    """Return (packet_id, topic, payload, id) of each row the broker may yet redeliver."""
    rows = connection.execute(
        "SELECT packet_id, name, payload, message.id FROM message"
        " JOIN topic ON topic.id = topic_id"
        " WHERE message.id >= (SELECT window_id FROM log) AND packet_id IS NOT NULL"
        " ORDER BY message.id DESC LIMIT ?",
        (WINDOW_ROWS,),
    ).fetchall()
    carried = connection.execute(
        "SELECT redelivered.packet_id, name, payload, message.id FROM redelivered"
        " JOIN message ON message.id = message_id JOIN topic ON topic.id = topic_id"
    ).fetchall()
    return carried + rows[::-1]


def add_copies(
    connection: sqlite3.Connection,
    copies: Sequence[tuple[int, Message]],
    stored: Sequence[Message],
    first_id: int,
) -> None:
    """Remember further packet numbers of messages of this window, stored now or before."""
    new_ids = {id(message): message_id for message_id, message in enumerate(stored, first_id)}
    rows = [(packet_id, one.id or new_ids.get(id(one))) for packet_id, one in copies]
    connection.executemany(
        "INSERT OR REPLACE INTO redelivered VALUES (?, ?)",
        [row for row in rows if row[1] is not None],
    )


def begin_window(connection: sqlite3.Connection, first_id: int, carried: dict[int, int]) -> None:
    """What came before `first_id` cannot be redelivered any more, but for the rows carried."""
    connection.execute("UPDATE log SET window_id = ?", (first_id,))
    connection.execute("DELETE FROM redelivered")
    connection.executemany("INSERT INTO redelivered VALUES (?, ?)", carried.items())
