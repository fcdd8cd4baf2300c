"""`GET /export` and `GET /backup`: the history in bulk, in bounded memory."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import tornado.iostream

from gateway.hub import Hub
from handlers.base import Handler
from handlers.messages import ReadOrder
from handlers.problems import Problem
from handlers.tables import CONTENT_TYPES, csv_header, csv_lines, ndjson_lines
from store.copies import passing_copy_prefix
from store.errors import QueryTimeout
from store.history import History
from store.message import compact_json
from store.selection import Page, Selection

PAGE_MESSAGES = 1_000
CHUNK_BYTES = 256 * 1024
BUSY_S = 0.2


class Export(Handler):
    """`GET /export`: everything selected, oldest first, page by page."""

    history: History
    hub: Hub
    now_us: Callable[[], int]

    async def get(self) -> None:
        """Stream the selection; each page is a short read transaction of its own."""
        query = self.query()
        topics = self.visible(query.get("topic"))
        reading = ReadOrder(query, self.now_us(), self.history, self.hub.newest_id, topics)
        page = await self.history.forward(reading.selection, limit=PAGE_MESSAGES)
        gap = reading.gap(page)
        if gap:
            self.set_header("X-Log-Gap", gap)
        form = query["format"]
        self.set_header("X-Log-Position", reading.position)
        self.set_header("Content-Type", CONTENT_TYPES[form])
        self.set_header("Content-Disposition", f'attachment; filename="messages.{form}"')
        self.add_cors_headers()
        try:
            await self._stream(reading.selection, page, form, query["raw"])
        except tornado.iostream.StreamClosedError:
            pass  # the reader left; it knows where it stopped

    async def _stream(self, selection: Selection, page: Page, form: str, raw: bool) -> None:
        if self.request.method == "HEAD":
            await self.flush()  # headers without a length, as those of a stream are
            await self.finish()
            return
        if form == "csv":
            self.write(csv_header())
        while True:
            if form == "csv":
                self.write(csv_lines(page.messages, raw=raw))
            else:
                self.write(ndjson_lines(page.messages))
            await self.flush()
            if page.complete:
                break
            after_id = page.scanned_id
            page = await self._read(replace(selection, after_id=after_id))
            if form == "csv" and (page.pruned_id > after_id or page.unstored is not None):
                self.break_off()  # a table has no line that could say so: it must not look whole
                return
            if page.pruned_id > after_id:
                self.write(_gap_line("pruned", after_id, page.oldest_id or page.pruned_id + 1))
            if page.unstored is not None:
                self.write(_gap_line("unstored", *page.unstored))
        await self.finish()

    async def _read(self, selection: Selection) -> Page:
        """Read on; the answer has begun, so a busy moment is waited for and not an error."""
        while True:
            try:
                return await self.history.forward(selection, limit=PAGE_MESSAGES)
            except QueryTimeout:
                await asyncio.sleep(BUSY_S)


def _gap_line(reason: str, after_id: int, next_id: int) -> bytes:
    """Return the line that says what is gone."""
    gap = {"type": "gap", "reason": reason, "after": after_id, "next": next_id}
    return compact_json(gap).encode() + b"\n"


class Backup(Handler):
    """`GET /backup`: a consistent copy of the database, made while the service runs."""

    history: History
    database: Path
    """The copy is made beside it, since /tmp may be small memory; what a killed process left of
    one is removed at the next start."""

    async def get(self) -> None:
        """Make the copy, stream it, and remove it."""
        self.query()
        if self.caller.read is not None:
            raise Problem(
                403, f"a copy holds every topic, and the key {self.caller.name} is narrowed"
            )
        handle, name = tempfile.mkstemp(
            ".db", passing_copy_prefix(self.database), self.database.parent
        )
        os.close(handle)
        path = Path(name)
        try:
            await self.history.backup(path)
            self.set_header("Content-Type", "application/vnd.sqlite3")
            self.set_header("Content-Length", str(path.stat().st_size))
            self.set_header("Content-Disposition", 'attachment; filename="history.db"')
            self.add_cors_headers()
            with path.open("rb") as copy:
                while chunk := await asyncio.to_thread(copy.read, CHUNK_BYTES):
                    self.write(chunk)
                    await self.flush()
            await self.finish()
        except tornado.iostream.StreamClosedError:
            pass  # the caller left
        finally:
            path.unlink()
