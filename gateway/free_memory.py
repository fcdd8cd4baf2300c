"""Giving memory that nobody uses back to the system.

Answers for: asking the C library for it. SQLite and paho leave small holes behind in its heap,
which it keeps: with one commit for each message they grew by some 2 MiB an hour, and a burst
left 14 MiB, though what was in use stayed the same. Does not: know what used the memory.
"""

from __future__ import annotations

import ctypes


def give_back() -> bool:
    """Give back what is free; return whether something was.

    0.2 to 0.5 ms with 80 MiB in use. Only glibc has this (malloc_trim(3)); with another C library
    nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return bool(trim(0)) if trim else False
