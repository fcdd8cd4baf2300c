"""Where a stream stands, kept in a file so that a program goes on there after its own restart.

Answers for: that the file is always whole. Does not: decide what is finished (stream_state.py).
The file holds one line, `<epoch>.<id>`, and is replaced as a whole with each change; it is
synced to the disk once a second and at the end, so that a power cut repeats a second at most.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from client.errors import MQTTAPIError

SYNC_EVERY_S = 1.0
_POSITION = re.compile(r"[A-Za-z][A-Za-z0-9]*\.\d+")


class CursorFile:
    """A position in a file. Use it from one thread or task, and one file for one stream."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._writing = self._path.with_name(f"{self._path.name}.writing")
        self._synced = float("-inf")
        self._unsynced: str | None = None

    def read(self) -> str | None:
        """Return the position, None when there is no file yet; MQTTAPIError for another file."""
        try:
            text = self._path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise MQTTAPIError(f"the cursor file {self._path} cannot be read: {error}") from None
        if not _POSITION.fullmatch(text):
            raise MQTTAPIError(
                f"{self._path} is no cursor file, since it holds no position; "
                "remove it to begin anew"
            )
        return text

    def write(self, position: str) -> None:
        """Replace the position; OSError where that cannot be done."""
        now = time.monotonic()
        due = now - self._synced >= SYNC_EVERY_S
        self._replace(position, sync=due)
        if due:
            self._synced = now
        self._unsynced = None if due else position

    def close(self) -> None:
        """See that the last position is on the disk. Safe to repeat."""
        if self._unsynced is not None:
            self._replace(self._unsynced, sync=True)
            self._unsynced = None

    def _replace(self, position: str, *, sync: bool) -> None:
        with self._writing.open("w", encoding="utf-8") as file:
            file.write(f"{position}\n")
            if sync:
                file.flush()
                os.fsync(file.fileno())
        self._writing.replace(self._path)
