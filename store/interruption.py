"""The end of a question that takes too long.

Answers for: telling SQLite, from the event loop, to give up. Does not: say what that means to the
one who asked; store/database.py does.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress

# An interruption between two statements is forgotten, so it is repeated until the work is over.
AGAIN_S = 0.02


class Interruption:
    """Interrupts what runs on a connection once its time is over. Event loop's thread only.

    SQLite could ask "go on?" itself, but each such question waits for Python's lock: while
    messages come in as fast as they can, the asking took longer than the question.
    """

    def __init__(self, connection: sqlite3.Connection, after_s: float) -> None:
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(after_s, self._interrupt)

    def _interrupt(self) -> None:
        with suppress(sqlite3.ProgrammingError):  # closed a moment ago
            self._connection.interrupt()  # the one call that is allowed from another thread
        self._timer = asyncio.get_running_loop().call_later(AGAIN_S, self._interrupt)

    def cancel(self) -> None:
        """The work is over. What came too late has no effect on the next."""
        self._timer.cancel()
