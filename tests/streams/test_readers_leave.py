"""A reader that has gone takes its memory along, whether or not the collector comes."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

import server
from gateway.config import Config
from handlers.stream import StreamHandler

READERS = 3
HEADS = {
    "/ws": b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "/events": b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n",
}


def readers() -> int:
    """Return how many readers there are in memory."""
    return sum(isinstance(one, StreamHandler) for one in gc.get_objects())


@pytest.mark.parametrize("path", HEADS)
async def test_a_reader_that_left_is_no_garbage(tmp_path: Path, path: str) -> None:
    """Nothing that it was made of refers to itself: each would wait for the collector, which
    comes seldom, with 15 kB."""
    config = Config.from_mapping(
        {
            "API_HOST": "127.0.0.1",
            "API_PORT": "0",
            "MQTT_BROKER_HOST": "127.0.0.1",
            "MQTT_BROKER_PORT": "1",
            "HISTORY_DB": str(tmp_path / "history.db"),
        }
    )
    async with server.serve(config) as service:
        gc.collect()
        gc.disable()
        try:
            for _ in range(READERS):
                reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
                writer.write(HEADS[path])
                await reader.readuntil(b'"newest_id"')
                assert readers() == 1
                writer.close()
                await writer.wait_closed()
                async with asyncio.timeout(10):
                    while readers():
                        await asyncio.sleep(0.01)
        finally:
            gc.enable()
