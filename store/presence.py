"""Whether the files are still where they were when they were opened.

Answers for: noticing that somebody removed or replaced a file that we have open, which SQLite goes
on writing to for nobody. Does not: act on it.
"""

from __future__ import annotations

from pathlib import Path


class Presence:
    """Remembers files by their inodes, from the first look at each on."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._inodes: dict[Path, int] = {}

    def forget(self) -> None:
        """Other files were put in their places."""
        self._inodes.clear()

    def missed(self) -> str:
        """Return the name of a file that is no longer what it was, or the empty text."""
        for path in self._paths:
            inode = _inode(path)
            if inode and path not in self._inodes:
                self._inodes[path] = inode
            elif self._inodes.get(path, inode) != inode:
                return path.name
        return ""


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0
