"""The reference for HTTP and memory: FastAPI, uvicorn and paho, as one writes it in an afternoon.

`python -m bench.fastapi_service BROKER_PORT HTTP_PORT [CAP]`: subscribes to everything, keeps the
last CAP messages in a list, publishes, answers pages, and broadcasts to WebSockets. Nothing is
durable, nothing is acknowledged late, nothing is validated beyond what pydantic does. Plain
`uvicorn`, so asyncio and h11; BENCH_FASTAPI=fast takes `uvicorn[standard]`'s uvloop and httptools.
The access log is off, as it is for us. It listens once it is subscribed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException, WebSocket, WebSocketDisconnect
from paho.mqtt.client import CallbackAPIVersion, Client, topic_matches_sub
from pydantic import BaseModel

FAST = os.environ.get("BENCH_FASTAPI") == "fast"


class Order(BaseModel):
    """What a caller wants published."""

    topic: str
    payload: Any
    qos: int = 0
    retain: bool = False


def make_app(broker_port: int, cap: int) -> FastAPI:
    """Build the service."""
    messages: deque[dict[str, Any]] = deque(maxlen=cap)
    sockets: set[WebSocket] = set()
    client = Client(CallbackAPIVersion.VERSION2, "bench-fastapi")

    async def broadcast(message: dict[str, Any]) -> None:
        for socket in list(sockets):
            try:
                await socket.send_json({"type": "message", **message})
            except (RuntimeError, WebSocketDisconnect):
                sockets.discard(socket)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> Any:
        loop = asyncio.get_running_loop()

        def on_message(_client: Any, _data: Any, arrived: Any) -> None:
            message = {
                "topic": arrived.topic,
                "payload": arrived.payload.decode("utf-8", "replace"),
                "timestamp": datetime.now(UTC).isoformat(),
                "qos": arrived.qos,
                "retain": arrived.retain,
            }
            messages.append(message)
            if sockets:
                asyncio.run_coroutine_threadsafe(broadcast(message), loop)

        subscribed = asyncio.Event()
        client.on_connect = lambda *_: client.subscribe("#", 1)
        client.on_subscribe = lambda *_: loop.call_soon_threadsafe(subscribed.set)
        client.on_message = on_message
        client.connect("127.0.0.1", broker_port)
        client.loop_start()
        await subscribed.wait()
        yield
        client.loop_stop()

    app = FastAPI(lifespan=lifespan)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "healthy", "mqtt_connected": client.is_connected(), "n": len(messages)}

    @app.post("/publish")
    async def publish(order: Order) -> dict[str, Any]:
        payload = order.payload if isinstance(order.payload, str) else json.dumps(order.payload)
        info = client.publish(order.topic, payload, order.qos, order.retain)
        if info.rc:
            raise HTTPException(503, "the broker is away")
        return {
            "success": True,
            "message": "Message published successfully",
            "data": {"topic": order.topic, "message_id": info.mid},
        }

    @app.get("/messages")
    async def page(topic: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        newest = reversed(messages)
        chosen = (one for one in newest if topic is None or topic_matches_sub(topic, one["topic"]))
        return [one for one, _ in zip(chosen, range(limit), strict=False)]

    @app.websocket("/ws")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json({"type": "welcome"})
        sockets.add(socket)
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            sockets.discard(socket)

    return app


if __name__ == "__main__":
    ports = [int(text) for text in sys.argv[1:]]
    uvicorn.run(
        make_app(ports[0], ports[2] if len(ports) > 2 else 1_000),
        host="127.0.0.1",
        port=ports[1],
        loop="uvloop" if FAST else "asyncio",
        http="httptools" if FAST else "h11",
        log_level="warning",
        access_log=False,
    )
