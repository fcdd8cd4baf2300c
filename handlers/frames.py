"""WebSocket frames: the form in which messages and news leave on /ws.

Answers for: the bytes. Does not: send them. A server's frames are not masked, so a frame is a
header and the text (RFC 6455, section 5.2), and equal for every reader.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from store.message import Message, compact_json, message_fields

_TEXT = 0x81  # FIN and opcode 1
_BYTE_LIMIT = 126
_SHORT_LIMIT = 1 << 16


def text_frame(content: bytes) -> bytes:
    """Return one unmasked, final text frame."""
    size = len(content)
    if size < _BYTE_LIMIT:
        return struct.pack("!BB", _TEXT, size) + content
    if size < _SHORT_LIMIT:
        return struct.pack("!BBH", _TEXT, 126, size) + content
    return struct.pack("!BBQ", _TEXT, 127, size) + content


def skipped_field(skipped: int | None) -> str:
    """Return the member that a conflated message has besides its own."""
    return "" if skipped is None else f',"skipped":{skipped}'


class SingleFrames:
    """One frame a message. One instance serves all readers of this form."""

    def encode(self, message: Message, skipped: int | None = None) -> bytes:
        """Return the frame of one message; with how many of its topic were left out before it."""
        fields = message_fields(message) + skipped_field(skipped)
        return text_frame(('{"type":"message",' + fields + "}").encode("utf-8"))

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return the frames one after the other."""
        return b"".join(pieces)

    def frame(self, fields: dict[str, object], position_id: int | None = None) -> bytes:
        """Return a frame that is not a message."""
        return text_frame(compact_json(fields).encode("utf-8"))


class BatchFrames(SingleFrames):
    """All messages of one commit in one frame: `?batch=true`."""

    def encode(self, message: Message, skipped: int | None = None) -> bytes:
        """Return one message as JSON."""
        return ("{" + message_fields(message) + skipped_field(skipped) + "}").encode("utf-8")

    def join(self, pieces: Sequence[bytes]) -> bytes:
        """Return one frame with all messages."""
        return text_frame(b'{"type":"messages","messages":[' + b",".join(pieces) + b"]}")
