"""The file beside the database whose lock keeps a second process away, and that takes one note.

Answers for: the lock, and a line that can be written when the disk is full. Does not: know what
the line means. See docs/decisions/0011-a-note-in-the-lock-file.md.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from store.errors import DatabaseHeld, DatabaseRefused

log = logging.getLogger(__name__)

# Room for one note.
NOTE_BYTES = 64


class LockFile:
    """The lock of one database. Made by `take`, ends with `release` or with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        noted = os.pread(descriptor, NOTE_BYTES, 0)
        self.noted = noted.decode("ascii", "replace").strip()
        """What the process before noted."""
        if len(noted) < NOTE_BYTES:
            self.note(self.noted)  # take the room now: later the disk may be full

    @classmethod
    def take(cls, path: Path) -> LockFile:
        """Lock the database at `path`. Raises DatabaseHeld or DatabaseRefused."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise DatabaseRefused(
                f"the directory of the database {path} cannot be written: {error.strerror}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise DatabaseHeld(
                f"another process has the database {path} open: does the service run already?"
            ) from None
        return cls(descriptor)

    def note(self, text: str) -> None:
        """Write one short line where it needs no room on the disk.

        For what must be known after a crash while the database cannot be written.
        """
        if self._descriptor is not None:
            try:
                os.pwrite(self._descriptor, text.encode("ascii").ljust(NOTE_BYTES), 0)
            except OSError as error:
                log.warning("a note for the next start could not be written: %s", error.strerror)

    def release(self) -> None:
        """Let go of the lock. Safe to repeat."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
