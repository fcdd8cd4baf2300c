"""Reading forward through the log, however little matches and however slow the disk is.

Answers for: how much is looked at in one question, so that it keeps its time. Does not: know what a
selection means.
"""

from __future__ import annotations

import asyncio

from store import reading
from store.database import Database
from store.errors import QueryTimeout
from store.selection import Page, Selection

# Ids looked at in one query forward, so that a filter that matches little keeps its time budget.
SCAN_IDS = 50_000
# Where even fewer run out of time, the history is overloaded.
MIN_SCAN_IDS = 100
# Payload bytes after which a page forward ends: what each slow reader costs in memory.
FORWARD_BYTES = 256 * 1024


class Scan:
    """Remembers how many ids a question could bear lately. Lives on the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._scan_ids = SCAN_IDS
        # Each row is handed over under Python's lock, and threads that fetch rows side by side
        # spend most of their time passing it on: ten readers behind cost six times as much CPU.
        self._turn = asyncio.Lock()

    async def forward(self, selection: Selection, limit: int) -> Page:
        """Return the next page in order of arrival; one is read at a time. Raises QueryTimeout."""
        while True:
            scan_ids = min(SCAN_IDS, self._scan_ids)
            try:
                async with self._turn:
                    page = await self._database.read(
                        reading.forward,
                        selection,
                        limit=limit,
                        scan_ids=scan_ids,
                        max_bytes=FORWARD_BYTES,
                    )
            except QueryTimeout:  # a slow disk, or large payloads: fewer ids at once
                if scan_ids <= MIN_SCAN_IDS:
                    raise
                self._scan_ids = max(MIN_SCAN_IDS, scan_ids // 8)
            else:
                self._scan_ids = 2 * scan_ids
                return page
