"""What must be subscribed again after a restart.

Answers for: the stored list of filters. Does not: talk to the broker.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.database import Database


@dataclass(frozen=True, slots=True)
class Subscription:
    """A filter the gateway holds: `qos` as granted, `since_us` when it was first taken."""

    topic: str
    qos: int
    since_us: int


class Subscriptions:
    """The persisted subscriptions. Call from the event loop's thread only.

    What writes raises HistoryUnavailable when it cannot, and then nothing has changed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[Subscription]:
        """Return every subscription, by filter."""
        return await self._database.read(_all)

    async def add(self, subscription: Subscription) -> None:
        """Remember a subscription; one that is there keeps its `since_us`."""
        await self._database.write(_add, subscription)

    async def remove(self, topic: str) -> bool:
        """Forget a subscription; return whether there was one."""
        return await self._database.write(_remove, topic)

    async def setting_changed(self, name: str, value: str) -> bool:
        """Remember a setting's value; return whether it differs from the one remembered."""
        return await self._database.write(_setting_changed, name, value)


def _all(connection: sqlite3.Connection) -> list[Subscription]:
    rows = connection.execute("SELECT topic, qos, since_us FROM subscription ORDER BY topic")
    return [Subscription(*row) for row in rows]


def _add(connection: sqlite3.Connection, subscription: Subscription) -> None:
    connection.execute(
        "INSERT INTO subscription VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET qos = excluded.qos",
        (subscription.topic, subscription.qos, subscription.since_us),
    )


def _remove(connection: sqlite3.Connection, topic: str) -> bool:
    cursor = connection.execute("DELETE FROM subscription WHERE topic = ?", (topic,))
    return cursor.rowcount > 0


def _setting_changed(connection: sqlite3.Connection, name: str, value: str) -> bool:
    row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))
    return row is None or row[0] != value
