"""A file that only takes room, so that there is some to give back when the disk is full.

Answers for: having it, giving it back, and taking it again once there is room for both. Does not:
know why room is needed: retention, a checkpoint and an orderly end all need some to make more.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

# What removing a step of rows and one checkpoint write.
BALLAST_BYTES = 4 * 1024 * 1024
# Taken only where so much more is free: a disk that is nearly full is not filled by us.
FREE_FACTOR = 4


class Ballast:
    """The ballast of one database. Its calls block for a moment, on any thread, one at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def is_there(self) -> bool:
        """Whether it takes its room."""
        return self._path.exists()

    def take(self) -> bool:
        """Take the room if there is enough; return whether it is taken."""
        if self.is_there:
            return True
        try:
            if self._free_bytes() < FREE_FACTOR * BALLAST_BYTES:
                return False
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.debug("no ballast could be taken: %s", error)
            self._path.unlink(missing_ok=True)
            return False
        return True

    def give_back(self) -> bool:
        """Give the room back; return whether there was any to give."""
        try:
            self._path.unlink()
        except OSError:
            return False
        log.warning("the disk is full: %d bytes kept for that case are given back", BALLAST_BYTES)
        return True

    def is_missed(self) -> bool:
        """Whether the disk has so little room left that an I/O error is for want of it.

        Making the log's index larger fails as such.
        """
        try:
            return self._free_bytes() < BALLAST_BYTES // 4
        except OSError:
            return False

    def _free_bytes(self) -> int:
        room = os.statvfs(self._path.parent)
        return room.f_bavail * room.f_frsize
