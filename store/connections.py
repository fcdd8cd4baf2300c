"""The connections to one database file: one that writes, and a few that only read.

Answers for: opening and closing them together, and who reads on which. Does not: know what
threatens the file; errors of SQLite come out as they are.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from urllib.parse import quote

import aiosqlite

from store import hop, schema
from store.errors import HistoryUnavailable, QueryTimeout

P = ParamSpec("P")
T = TypeVar("T")

# SQLite releases the GIL while it works, so a few readers run beside the writer.
READERS = 3


class Connections:
    """Closed at first, and opened again after a close. Call from the event loop's thread only."""

    def __init__(self, path: Path, query_timeout_s: float) -> None:
        self._path = path
        self._reading_uri = f"file:{quote(str(path))}?mode=ro"
        self._query_timeout_s = query_timeout_s
        self._writer: aiosqlite.Connection | None = None
        self._readers: list[aiosqlite.Connection] = []
        self._idle: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()

    async def open(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        """Open all of them; nobody reads before `prepare` has run on the one that writes."""
        self._writer = await hop.connect(self._path)
        await hop.run(self._writer, prepare)
        for _ in range(READERS):
            reader = await hop.connect(self._reading_uri)
            self._readers.append(reader)
            await hop.run(reader, schema.prepare_reader)
            self._idle.put_nowait(reader)

    async def close(self) -> None:
        """Close them, the writer last, so that it makes a checkpoint. Safe to repeat."""
        readers, self._readers = self._readers, []
        while not self._idle.empty():
            self._idle.get_nowait()
        for reader in readers:
            await reader.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    async def write(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function on the writing connection. HistoryUnavailable while there is none."""
        if self._writer is None:
            raise HistoryUnavailable("the database is not open")
        return await hop.run(self._writer, function, *args, **kwargs)

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function in a read transaction on a connection that is free.

        Raises QueryTimeout when waiting for one or the function itself takes too long.
        """
        try:
            reader = await asyncio.wait_for(self._idle.get(), self._query_timeout_s)
        except TimeoutError:
            raise QueryTimeout("all readers of the history are busy") from None
        work = asyncio.ensure_future(hop.read_within(reader, self._query_timeout_s, function))
        # A cancelled caller does not stop the SQL: the connection is free when the work is done.
        work.add_done_callback(functools.partial(self._give_back, reader))
        return await asyncio.shield(work)

    async def copy(self, path: Path, mark: Callable[[sqlite3.Connection], None]) -> None:
        """Copy the database to a new file on a connection of its own, and have `mark` change it."""
        source = await hop.connect(self._reading_uri)
        try:
            await hop.run(source, hop.copy, path, mark)
        finally:
            await source.close()

    def _give_back(self, reader: aiosqlite.Connection, work: asyncio.Future[object]) -> None:
        if reader in self._readers:
            self._idle.put_nowait(reader)
        if not work.cancelled():
            work.exception()  # seen by the caller, or by nobody when the caller was cancelled
