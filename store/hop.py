"""One connection to SQLite, with a thread of its own.

Answers for: opening it, running a function on its thread in one hop, the time budget of a
question. Does not: know how many there are, or what threatens the file.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import aiosqlite

from store.errors import QueryTimeout
from store.interruption import Interruption

P = ParamSpec("P")
T = TypeVar("T")


async def connect(target: Path | str) -> aiosqlite.Connection:
    """Open a connection; a text is a URI. What cannot be opened leaves no thread behind."""
    connection = aiosqlite.connect(target, uri=isinstance(target, str), isolation_level=None)
    try:
        return await connection
    except BaseException:
        # aiosqlite tells its thread to end, but does not wait: on a loop that is closed meanwhile,
        # as by a start that fails, the thread would die with a traceback.
        await asyncio.to_thread(connection._thread.join)
        raise


async def run(
    connection: aiosqlite.Connection,
    function: Callable[Concatenate[sqlite3.Connection, P], T],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """One hop to the connection's thread: see docs/decisions/0002-one-hop-transactions.md."""
    raw = _raw(connection)
    return await connection._execute(  # type: ignore[no-any-return, no-untyped-call]
        function, raw, *args, **kwargs
    )


async def read_within(
    connection: aiosqlite.Connection, budget_s: float, function: Callable[[sqlite3.Connection], T]
) -> T:
    """Run a question in one read transaction. Raises QueryTimeout when it takes too long."""
    limit = Interruption(_raw(connection), budget_s)
    try:
        return await run(connection, _read, function)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise QueryTimeout(f"the query ran longer than {budget_s:g} s") from None
        raise
    finally:
        limit.cancel()


def _raw(connection: aiosqlite.Connection) -> sqlite3.Connection:
    """Return what SQLite itself opened; an error of SQLite when it was closed meanwhile, as while
    a damaged file is replaced: aiosqlite would raise a ValueError, which looks like our fault."""
    if not connection._running or connection._connection is None:
        raise sqlite3.ProgrammingError("the connection was closed meanwhile")
    return connection._connection


def _read(connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], T]) -> T:
    try:
        connection.execute("BEGIN")
        return function(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def copy(
    connection: sqlite3.Connection, path: Path, mark: Callable[[sqlite3.Connection], None]
) -> None:
    """Copy the database to a new file in one step, and have `mark` change the copy."""
    target = sqlite3.connect(path, isolation_level=None)
    try:
        connection.backup(target)
        mark(target)
    finally:
        target.close()
