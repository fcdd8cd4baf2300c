"""Connections to SQLite, each with a thread of its own.

Answers for: opening one, running a function on its thread in one hop, the time budget of a
question. Does not: know files, locks or tables.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import aiosqlite

from store.errors import QueryTimeout

P = ParamSpec("P")
T = TypeVar("T")

# SQLite asks "go on?" each so many virtual-machine steps: well under a millisecond.
PROGRESS_STEPS = 2_000


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
    raw = connection._conn
    return await connection._execute(  # type: ignore[no-any-return, no-untyped-call]
        function, raw, *args, **kwargs
    )


def read_within(
    connection: sqlite3.Connection, budget_s: float, function: Callable[[sqlite3.Connection], T]
) -> T:
    """Run a question in one read transaction. Raises QueryTimeout when it takes too long."""
    deadline = time.monotonic() + budget_s
    connection.set_progress_handler(lambda: time.monotonic() > deadline, PROGRESS_STEPS)
    try:
        connection.execute("BEGIN")
        return function(connection)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise QueryTimeout(f"the query ran longer than {budget_s:g} s") from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
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
