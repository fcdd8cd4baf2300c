"""Keeps a warning that repeats from filling the log.

Answers for: how many lines of one kind are let through, and a line that says how many were not.
Does not: touch what is told once for each request or each change (INFO), where every line counts.
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
# One line for each request and each change, also where its level is WARNING, as that of a 503 is.
COMPLETE = ("access", "audit")
# Marks a line of our own, which is never left out itself.
OF_OURS = "of_log_repeats"
MARK = {OF_OURS: True}


# What happens when the time is up, and how it is waited for: a timer that is not waited for at the
# end of the process.
Later = Callable[[float, Callable[[], None]], None]
Kind = tuple[str, str]


def _later(seconds: float, act: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


class Repeats(logging.Filter):
    """Lets MAX_LINES of a kind through in WINDOW_S; how many were left out is said by the next one,
    or, where none comes, by a line of its own within WINDOW_S.

    Of warnings a kind is a template: the same sentence about another topic is the same kind. Of
    errors it is the whole sentence. Called from any thread.
    """

    def __init__(self, monotonic: Callable[[], float], later: Later = _later) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._later = later
        self._lock = threading.Lock()
        self._shown: dict[Kind, deque[float]] = {}
        self._left_out: dict[Kind, tuple[int, int, str]] = {}
        """How many, of which level, and what the last one said."""
        self._last: tuple[logging.LogRecord, bool] | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written."""
        if record.levelno < logging.WARNING or record.name in COMPLETE or hasattr(record, OF_OURS):
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
            if not self._left_out:
                self._later(WINDOW_S, self._tell_the_end)
            count = self._left_out[kind][0] + 1 if kind in self._left_out else 1
            self._left_out[kind] = (count, record.levelno, record.getMessage())
            return False
        shown.append(now)
        more, _, _ = self._left_out.pop(kind, (0, 0, ""))
        if more:
            record.msg = f"{record.msg} ({more} more such lines were left out)"
        return True

    def _tell_the_end(self) -> None:
        """Say of each kind how many lines were left out, and what the last of them was."""
        with self._lock:
            left_out, self._left_out = self._left_out, {}
        for (name, _), (count, level, last) in left_out.items():
            logging.getLogger(name).log(
                level, "%d more such lines were left out, the last: %s", count, last, extra=MARK
            )
