"""An export on its way into a file: complete rows only, and where to go on after a break.

Answers for: the file while it grows (`<name>.<epoch>.part`), finding the last complete row of an
earlier attempt, and progress. Does not: talk to the service. The epoch of the log stands in the
name of the part, since an id means nothing in another log.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from client.call import Call
from client.errors import LogGap, MQTTAPIError
from client.history_calls import pairs
from client.values import Gap

Form = Literal["ndjson", "csv"]
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export is. `fraction` (0 to 1) is of the ids, so it is exact only at its end."""

    messages: int
    bytes: int
    fraction: float


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export brought; `gaps` is what retention took while it ran."""

    path: Path
    messages: int
    bytes: int
    gaps: tuple[Gap, ...]


class Rows:
    """Cuts bytes into rows: lines, or CSV records, whose cells may hold line feeds."""

    def __init__(self, form: Form) -> None:
        self._is_csv = form == "csv"
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the rows that are complete now, each with its line feed."""
        if self._is_csv:
            return self._records(data)
        pieces = (self._rest + data).split(b"\n")
        self._rest = pieces.pop()
        return [piece + b"\n" for piece in pieces]

    def _records(self, data: bytes) -> list[bytes]:
        pieces = data.split(b"\n")
        pieces[0] = self._rest + pieces[0]
        records: list[bytes] = []
        open_record: list[bytes] = []
        quotes = 0
        for piece in pieces[:-1]:
            open_record.append(piece + b"\n")
            quotes += piece.count(b'"')
            if quotes % 2 == 0:  # a line feed outside of quotes
                records.append(b"".join(open_record))
                open_record, quotes = [], 0
        self._rest = b"".join(open_record) + pieces[-1]
        return records


class ExportFile:
    """One export into one file. Use it from one thread or task."""

    def __init__(
        self, path: Path, query: Sequence[tuple[str, str]], form: Form, raw: bool, resume: bool
    ) -> None:
        self._path = path
        self._form = form
        self._query = [*query, *pairs(format=form, raw=raw or None)]
        self._file: BinaryIO | None = None
        self._part: Path | None = None
        self._rows = Rows(form)
        self._messages = self._bytes = 0
        self._first_id: int | None = None
        self._last_id = self._newest_id = 0
        self._epoch = ""
        self._has_header = self._drops_header = False
        self._gaps: list[Gap] = []
        parts = sorted(path.parent.glob(f"{_escaped(path.name)}.*.part"), key=os.path.getmtime)
        if parts and resume:
            self._take_up(parts[-1])
        for part in parts[: -1 if resume else None]:
            part.unlink()

    def _take_up(self, part: Path) -> None:
        """Count what an earlier attempt has, and cut off a row that is not whole."""
        self._part, self._epoch = part, part.name.split(".")[-2]
        rows = Rows(self._form)
        with part.open("r+b") as file:
            while data := file.read(CHUNK_BYTES):
                self._count(rows.feed(data))
            file.truncate(self._bytes)

    @property
    def messages(self) -> int:
        """Messages in the file so far."""
        return self._messages

    @property
    def progress(self) -> ExportProgress:
        """How far it is."""
        span = self._newest_id - (self._first_id or 0)
        done = self._last_id - (self._first_id or 0)
        fraction = min(1.0, done / span) if span > 0 and self._first_id is not None else 0.0
        return ExportProgress(self._messages, self._bytes, fraction)

    def call(self) -> Call[None]:
        """Return the request for what is still missing."""
        query = self._query
        if self._last_id:  # where it stopped is past `since`, which may be a time back from now
            query = [pair for pair in query if pair[0] not in ("after", "since")]
            query.append(("after", f"{self._epoch}.{self._last_id}"))
        return Call("GET", "/export", lambda answer: None, query)

    def begin(self, headers: Mapping[str, str]) -> None:
        """Take the head of an answer; LogGap when the log is another one than that of the part."""
        epoch, _, newest = headers.get("x-log-position", "").rpartition(".")
        if not epoch:
            raise MQTTAPIError("this is no answer to an export; is this the URL of the service?")
        gap_text = headers.get("x-log-gap")
        if gap_text:
            gap = Gap.from_header(gap_text, epoch)
            if gap.reason != "pruned" and self._part is not None:
                raise LogGap(gap)
            self._gaps.append(gap)
        self._epoch, self._newest_id = epoch, int(newest)
        if self._part is None:
            self._part = self._path.with_name(f"{self._path.name}.{epoch}.part")
        self._rows = Rows(self._form)
        self._drops_header = self._has_header
        self._file = self._part.open("ab")
        if gap_text and self._form == "ndjson":
            self._file.write(json.dumps(self._gaps[-1].as_dict()).encode() + b"\n")
            self._bytes = self._file.tell()

    def write(self, data: bytes) -> ExportProgress:
        """Take some bytes of the answer; return how far it is."""
        assert self._file is not None
        rows = self._rows.feed(data)
        if rows and self._drops_header:
            rows, self._drops_header = rows[1:], False
        self._file.write(b"".join(rows))
        self._count(rows)
        return self.progress

    def _count(self, rows: list[bytes]) -> None:
        for row in rows:
            self._bytes += len(row)
            if self._form == "csv" and not self._has_header:
                self._has_header = True
            elif row.startswith(b'{"type":"gap"') or row.startswith(b'{"type": "gap"'):
                self._gaps.append(Gap.from_dict(json.loads(row), self._epoch))
            else:
                self._messages += 1
                if self._first_id is None:
                    self._first_id = self._id_of(row)
        if rows and self._messages and not rows[-1].startswith(b'{"type'):
            self._last_id = self._id_of(rows[-1]) or self._last_id

    def _id_of(self, row: bytes) -> int | None:
        try:
            if self._form == "csv":
                return int(row.split(b",", 1)[0])
            return int(json.loads(row)["id"])
        except (ValueError, KeyError, TypeError):
            if self._form == "csv" and self._messages == 0:
                return None
            raise MQTTAPIError(f"{self._part or self._path} is no export of this form") from None

    def pause(self) -> None:
        """Close the part after a break; `begin` opens it again. Safe to repeat."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def finish(self) -> Exported:
        """Give the whole file its name."""
        assert self._part is not None
        self.pause()
        self._part.replace(self._path)
        return Exported(self._path, self._messages, self._bytes, tuple(self._gaps))


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
