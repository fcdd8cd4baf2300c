"""A disk and a clock that misbehave on demand, under the real process.

Answers for: compiling faults/faults.c, and setting what it does while the process runs. The same
library writes down what the process changed on the disk, for journal.py to replay.
"""

from __future__ import annotations

import errno
import mmap
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parent / "faults" / "faults.c"
# The fields of `struct control`, in their order.
FIELDS = (
    "clock_offset_s",
    "monotonic_offset_s",
    "write_at",
    "sync_at",
    "code",
    "sticky",
    "weight",
    "failed",
    "writes",
    "syncs",
)
FULL, BROKEN = errno.ENOSPC, errno.EIO


def compile_library(directory: Path) -> Path:
    """Return the compiled library."""
    library = directory / "faults.so"
    command = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library)]
    subprocess.run([*command, str(SOURCE), "-ldl", "-lpthread"], check=True, timeout=120)
    return library


class Faults:
    """What one process is to suffer. The fields of `struct control` are items of it."""

    def __init__(self, library: Path, directory: Path) -> None:
        self._library = library
        self._path = directory / "faults.control"
        self._path.write_bytes(bytes(8 * len(FIELDS)))
        with self._path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), 0)

    def environment(
        self, database: Path, *, journal: Path | None = None, port: int = 0
    ) -> dict[str, str]:
        """Return the variables that put a process under this."""
        recorded = {"FAULTS_JOURNAL": str(journal), "FAULTS_PORT": str(port)} if journal else {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAULTS_CONTROL": str(self._path),
            "FAULTS_WATCH": str(database),
            **recorded,
        }

    def __getitem__(self, field: str) -> int:
        number: int = struct.unpack_from("q", self._control, 8 * FIELDS.index(field))[0]
        return number

    def __setitem__(self, field: str, value: int) -> None:
        struct.pack_into("q", self._control, 8 * FIELDS.index(field), value)

    def fail(self, call: str, number: int, code: int, *, until_healed: bool = False) -> None:
        """Let the `number`th write or sync from now on fail, and all after it `until_healed`."""
        self["code"], self["failed"] = code, 0
        self["sticky"] = 1 if until_healed else 0
        self[f"{call}_at"] = number

    def heal(self) -> None:
        """Let everything work again."""
        self["write_at"] = self["sync_at"] = self["sticky"] = 0
