"""Memory that nobody uses is given back."""

from __future__ import annotations

import ctypes
import os

from gateway.free_memory import give_back
from tests.reliability.findings import memory_bytes

BLOCK_BYTES = 64 * 1024  # below what malloc asks the system for each time
BLOCKS = 800
MIB = 1024 * 1024


def test_holes_in_the_heap_are_given_back() -> None:
    """What lies free between two blocks in use goes back to the system; malloc alone keeps it."""
    c = ctypes.CDLL(None)
    c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [c.malloc(BLOCK_BYTES) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK_BYTES)
    for block in blocks[:-1]:  # the last one holds the end of the heap
        c.free(block)
    kept = memory_bytes(os.getpid())
    assert give_back()
    assert kept - memory_bytes(os.getpid()) > BLOCKS * BLOCK_BYTES // 2
    c.free(blocks[-1])
