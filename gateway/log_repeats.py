"""Keeps a warning that repeats from filling the log.

Answers for: how many lines of one kind are let through. Does not: touch what is told once for
each request or each change (INFO), where every line counts.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

# A fault that shows itself more often than so many times in so long is known by then.
MAX_LINES = 10
WINDOW_S = 60.0
# Kinds remembered at once. Templates are our own, so there are some hundred at most.
MAX_KINDS = 500


class Repeats(logging.Filter):
    """Lets MAX_LINES of a kind through in WINDOW_S; the next one says how many were left out.

    Of warnings a kind is a template: the same sentence about another topic is the same kind. Of
    errors it is the whole sentence. Called from any thread.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._shown: dict[tuple[str, str], deque[float]] = {}
        self._left_out: dict[tuple[str, str], int] = {}
        self._last: tuple[logging.LogRecord, bool] | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written."""
        if record.levelno < logging.WARNING:
            return True
        with self._lock:
            if self._last is None or self._last[0] is not record:  # once for all handlers
                self._last = (record, self._let_through(record))
            return self._last[1]

    def _let_through(self, record: logging.LogRecord) -> bool:
        is_error = record.levelno >= logging.ERROR
        sentence = record.getMessage() if is_error else str(record.msg)
        kind, now = (record.name, sentence), self._monotonic()
        if len(self._shown) >= MAX_KINDS:
            self._shown.clear()
        shown = self._shown.setdefault(kind, deque())
        while shown and now - shown[0] >= WINDOW_S:
            shown.popleft()
        if len(shown) >= MAX_LINES:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return False
        shown.append(now)
        more = self._left_out.pop(kind, 0)
        if more:
            record.msg = f"{record.msg} ({more} more such lines were left out)"
        return True
