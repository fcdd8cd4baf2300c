"""A progress bar on a terminal, and silence where nobody looks.

Answers for: one line that is written over. Does not: measure.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

BAR_CHARACTERS = 30
# At most so many times a second.
REDRAW_S = 0.1
SIGNS = "|/-\\"


class Progress:
    """`with Progress("copying", monotonic) as at: at(0.5)`; `at.tick()` where no end is known."""

    def __init__(
        self, what: str, monotonic: Callable[[], float], stream: TextIO | None = None
    ) -> None:
        self._what = what
        self._monotonic = monotonic
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._drawn = float("-inf")
        self._ticks = 0

    def __enter__(self) -> Progress:
        return self

    def __call__(self, part: float) -> None:
        """Show how much is done, from 0 to 1."""
        filled = round(max(0.0, min(1.0, part)) * BAR_CHARACTERS)
        self._draw(f"[{'#' * filled}{'.' * (BAR_CHARACTERS - filled)}] {part:4.0%}")

    def tick(self) -> None:
        """Show that it goes on."""
        self._ticks += 1
        self._draw(SIGNS[self._ticks % len(SIGNS)])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()

    def _draw(self, state: str) -> None:
        now = self._monotonic()
        if self._shown and now - self._drawn >= REDRAW_S:
            self._drawn = now
            self._stream.write(f"\r{self._what} {state}\033[K")
            self._stream.flush()
