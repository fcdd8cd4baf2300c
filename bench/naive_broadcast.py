"""The reference for fan-out: encode and `write_message` for each client.

`python -m bench.naive_broadcast HTTP_PORT BROKER_PORT`: Tornado and stock paho; each message goes
to the loop with a callback of its own, as most examples have it. Listens once it is subscribed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

import tornado.web
import tornado.websocket
from paho.mqtt.client import CallbackAPIVersion, Client


class Live(tornado.websocket.WebSocketHandler):
    """One WebSocket reader."""

    def initialize(self, sockets: set[Live]) -> None:
        """Take the set of everybody who listens."""
        self.sockets = sockets

    async def open(self, *_parts: str) -> None:
        """Greet, and listen."""
        self.sockets.add(self)
        await self.write_message(json.dumps({"type": "welcome"}))

    def on_close(self) -> None:
        """Listen no more."""
        self.sockets.discard(self)


def broadcast(sockets: set[Live], message: dict[str, Any]) -> None:
    """Give one message to everybody."""
    for socket in list(sockets):
        socket.write_message(json.dumps({"type": "message", **message}))


async def main(http_port: int, broker_port: int) -> None:
    """Serve until killed."""
    sockets: set[Live] = set()
    app = tornado.web.Application([("/ws", Live, {"sockets": sockets})])
    loop = asyncio.get_running_loop()
    subscribed = asyncio.Event()

    def on_message(_client: Any, _data: Any, arrived: Any) -> None:
        message = {
            "topic": arrived.topic,
            "payload": arrived.payload.decode(),
            "timestamp": datetime.now(UTC).isoformat(),
            "qos": arrived.qos,
            "retain": arrived.retain,
        }
        loop.call_soon_threadsafe(broadcast, sockets, message)

    client = Client(CallbackAPIVersion.VERSION2, "bench-naive")
    client.on_connect = lambda *_: client.subscribe("bench/#", 1)
    client.on_message = on_message
    client.connect("127.0.0.1", broker_port)
    client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
    client.loop_start()
    await subscribed.wait()
    app.listen(http_port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
