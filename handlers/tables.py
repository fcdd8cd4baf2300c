"""Messages as lines: NDJSON, which loses nothing, and CSV, which spreadsheets open.

Answers for: the form of a line. Does not: select or send messages.
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable

from store.message import Message, iso_time, message_json

CONTENT_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}
CSV_COLUMNS = ("id", "time", "topic", "payload", "encoding", "qos", "retain", "properties")
# A spreadsheet runs a cell that begins so as a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def ndjson_lines(messages: Iterable[Message]) -> bytes:
    """Return one JSON object a line."""
    return "".join(message_json(message) + "\n" for message in messages).encode("utf-8")


def csv_header() -> bytes:
    """Return the line with the names of the columns."""
    return (",".join(CSV_COLUMNS) + "\r\n").encode("ascii")


def csv_lines(messages: Iterable[Message], *, raw: bool) -> bytes:
    """Return one CSV line a message (RFC 4180); cells that look like formulas are guarded by an
    apostrophe unless `raw`."""
    table = io.StringIO()
    writer = csv.writer(table)
    guard = (lambda cell: cell) if raw else _guarded
    for message in messages:
        text, encoding = message.payload, ""
        if isinstance(text, bytes):
            text, encoding = _base64(text), "base64"
        writer.writerow(
            [
                message.id,
                iso_time(message.timestamp_us),
                guard(message.topic),
                guard(text),
                encoding,
                message.qos,
                "true" if message.retain else "false",
                guard(message.properties or ""),
            ]
        )
    return table.getvalue().encode("utf-8")


def _guarded(cell: str) -> str:
    if not cell.startswith(_FORMULA):
        return cell
    try:
        float(cell)  # -4.2 is a number, not a formula
    except ValueError:
        return "'" + cell
    return cell


def _base64(payload: bytes) -> str:
    return base64.b64encode(payload).decode("ascii")
