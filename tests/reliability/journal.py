"""What a process did to its files, in order, and what of it a power cut would have left.

Answers for: reading the journal of faults/faults.c, the state of the disk after any of its entries,
and what had been acknowledged to the broker by then. The model is stricter than any file system: a
write lasts from the sync of its file on, a name from the sync of its directory on.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HEAD = struct.Struct("IIqq")
WRITE, TRUNCATE, SYNC, CREATE, UNLINK, RENAME, SYNC_DIRECTORY, RECEIVED, SENT = range(1, 10)
# A disk writes whole sectors: within a write, each may have arrived or not.
SECTOR_BYTES = 512
# Packet types of MQTT.
PUBLISH, PUBACK = 3, 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened: `name` is the file, `where` the offset, size or socket."""

    kind: int
    name: str
    where: int
    content: bytes


def read_journal(path: Path) -> list[Entry]:
    """Return all entries; one cut off by a kill is left out."""
    content, at, entries = path.read_bytes(), 0, []
    while at + HEAD.size <= len(content):
        kind, name_size, where, size = HEAD.unpack_from(content, at)
        begin = at + HEAD.size + name_size
        if begin + size > len(content):
            break
        name = content[at + HEAD.size : begin].decode()
        entries.append(Entry(kind, name, where, content[begin : begin + size]))
        at = begin + size
    return entries


@dataclass(eq=False)
class _File:
    lasting: bytearray = field(default_factory=bytearray)
    unsynced: list[Entry] = field(default_factory=list)


class Disk:
    """The files as of some entry: what lasts, and what a power cut may take."""

    def __init__(self) -> None:
        self._seen: dict[str, _File] = {}  # as the process sees the directory
        self._lasting: dict[str, _File] = {}  # as it is on the disk
        self._unsynced_names: list[tuple[str, _File | None]] = []

    def apply(self, entry: Entry) -> None:
        """Let the next thing happen."""
        match entry.kind:
            case 1 | 2:  # WRITE, TRUNCATE
                self._seen[entry.name].unsynced.append(entry)
            case 3:  # SYNC
                file = self._seen[entry.name]
                for change in file.unsynced:
                    _change(file.lasting, change)
                file.unsynced.clear()
            case 4:  # CREATE
                self._rename(entry.name, _File())
            case 5:  # UNLINK
                self._rename(entry.name, None)
            case 6:  # RENAME
                self._rename(entry.content.decode(), self._seen[entry.name])
                self._rename(entry.name, None)
            case 7:  # SYNC_DIRECTORY
                for name, named in self._unsynced_names:
                    _name(self._lasting, name, named)
                self._unsynced_names.clear()

    def as_the_process_sees_it(self) -> dict[str, bytes]:
        """Return the files as they are while the power is on."""
        return {name: _content(file, file.unsynced) for name, file in self._seen.items()}

    def after_a_power_cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files with none, some or all of what was not synced, in any combination."""
        names = dict(self._lasting)
        kept_names = chance.randint(0, len(self._unsynced_names))
        for name, named in self._unsynced_names[:kept_names]:  # a directory keeps its order
            _name(names, name, named)
        luck = chance.choice((0.0, 0.0, 0.5, 0.9))
        return {
            name: _content(
                file, [part for one in file.unsynced for part in _torn(one, luck, chance)]
            )
            for name, file in names.items()
        }

    def _rename(self, name: str, file: _File | None) -> None:
        _name(self._seen, name, file)
        self._unsynced_names.append((name, file))


def _name(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _content(file: _File, changes: list[Entry]) -> bytes:
    content = bytearray(file.lasting)
    for change in changes:
        _change(content, change)
    return bytes(content)


def _change(content: bytearray, change: Entry) -> None:
    if change.kind == TRUNCATE:
        del content[change.where :]
        content.extend(bytes(change.where - len(content)))
        return
    end = change.where + len(change.content)
    content.extend(bytes(max(0, end - len(content))))
    content[change.where : end] = change.content


def _torn(change: Entry, luck: float, chance: random.Random) -> Iterator[Entry]:
    """Yield what arrived of a change: all, nothing, or some of its sectors."""
    if change.kind == TRUNCATE or chance.random() < 0.9:
        if chance.random() < luck:
            yield change
        return
    for at in range(0, len(change.content), SECTOR_BYTES):
        if chance.random() < luck:
            sector = change.content[at : at + SECTOR_BYTES]
            yield Entry(WRITE, change.name, change.where + at, sector)


class Acknowledgements:
    """The payloads of QoS 1 messages whose acknowledgement had left for the broker (MQTT 5)."""

    def __init__(self) -> None:
        self.payloads: set[str] = set()
        self._streams: dict[tuple[int, int], bytearray] = {}
        self._delivered: dict[tuple[int, int], str] = {}

    def apply(self, entry: Entry) -> None:
        """Let the next thing happen; what is no traffic with the broker is passed over."""
        if entry.kind not in (RECEIVED, SENT):
            return
        stream = self._streams.setdefault((entry.kind, entry.where), bytearray())
        if entry.kind == SENT and entry.content[0] >> 4 == 1:  # CONNECT: the socket is a new one
            stream.clear()
            self._streams[RECEIVED, entry.where] = bytearray()
        stream += entry.content
        for first, body in _packets(stream):
            if entry.kind == RECEIVED and first >> 4 == PUBLISH and first & 0b110:
                number, payload = _publish(body)
                self._delivered[entry.where, number] = payload
            elif entry.kind == SENT and first >> 4 == PUBACK:
                number = int.from_bytes(body[:2], "big")
                self.payloads.add(self._delivered[entry.where, number])


def _packets(stream: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take whole packets off the stream: (first byte, what follows the length)."""
    while len(stream) > 1:
        size, at = _number(stream, 1)
        if size is None or at + size > len(stream):
            return
        yield stream[0], bytes(stream[at : at + size])
        del stream[: at + size]


def _number(content: bytes | bytearray, at: int) -> tuple[int | None, int]:
    """Read a variable byte integer; return it, or None when it is cut off, and what follows."""
    value = shift = 0
    while at < len(content):
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not content[at - 1] & 0x80:
            return value, at
    return None, at


def _publish(body: bytes) -> tuple[int, str]:
    at = 2 + int.from_bytes(body[:2], "big")
    number = int.from_bytes(body[at : at + 2], "big")
    properties, begin = _number(body, at + 2)
    assert properties is not None
    return number, body[begin + properties :].decode()
