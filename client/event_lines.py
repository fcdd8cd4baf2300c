"""Server-Sent Events as they come in, cut into the frames that they carry.

Answers for: the data of each event, however the network cuts the bytes. Does not: read ids or
names, since every frame says itself what and where it is; nor do I/O.
"""

from __future__ import annotations


class EventLines:
    """Cuts one connection's bytes into frames. Begin a new one with each connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> list[bytes]:
        """Return the frames that are complete now; comments and other fields are passed over."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        frames: list[bytes] = []
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name == b"data":
                self._data.append(value.removeprefix(b" "))
            elif not name and not value and self._data:  # an empty line ends an event
                frames.append(b"\n".join(self._data))
                self._data = []
        return frames
