"""Frames to a function of yours: the seed's WebSocket client, which now never loses the thread.

Answers for: connecting, listening, commands and heartbeats. Does not: decide where to go on;
StreamState does.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect

from client.call import base_headers, check_key, check_url
from client.errors import BY_STATUS, ConnectionFailed, MQTTAPIError, Refused
from client.history_calls import Moment, Topics
from client.retry import RetryPolicy
from client.sockets import FIRST_FRAME, OPEN_S, SOCKET_ERRORS, socket_failure, socket_way
from client.stream_state import StreamState
from client.version import VERSION
from client.wire import Verify, trust_of

Frame = dict[str, Any]
Handler = Callable[[Frame], Any]
"""A function or a coroutine function."""


class MQTTWebSocketClient:
    """Calls `message_handler` with each frame of the stream, as a dictionary.

    `listen` connects again by itself and goes on behind the last message whose handling has
    ended, so that each message is handled once and in order. An exception of the handler ends
    `listen`; that message is not finished, and the next `listen` begins with it. See
    `AsyncMQTTAPIClient.stream` for `topic`, `since`, `after` and `cursor`. Use it on one loop.
    """

    def __init__(
        self,
        ws_url: str = "ws://localhost:8000/ws",
        message_handler: Handler | None = None,
        *,
        api_key: str | None = None,
        topic: Topics = None,
        since: Moment = None,
        after: str | int | None = None,
        cursor: str | os.PathLike[str] | None = None,
        heartbeat: float = 20.0,
        retry: RetryPolicy | None = None,
        verify: Verify = None,
    ) -> None:
        self.ws_url = check_url(ws_url, "ws", "wss")
        self.message_handler = message_handler
        headers = base_headers(check_key(api_key), VERSION)
        self._way = socket_way(self.ws_url, headers, heartbeat, trust_of(verify))
        self._state = StreamState(
            topic,
            after=after,
            since=since,
            gaps="yield",
            cursor=cursor,
            retry=retry,
            batch=False,
        )
        self.websocket: ClientConnection | None = None
        self._welcome: str | bytes | None = None
        self._hides_pong = False
        self._running = False
        self._heartbeat: asyncio.Task[None] | None = None
        self._answers: dict[str, asyncio.Future[Frame]] = {}
        self._asked = 0

    @property
    def position(self) -> str | None:
        """Where to go on: all up to here was handled."""
        return self._state.position

    async def connect(self) -> None:
        """Connect, and be let in; ConnectionFailed, or what the service says, where that fails."""
        self._running = True
        while self.websocket is None and self._running:
            try:
                await self._open()
            except SOCKET_ERRORS as error:
                await self._drop()
                await self._pause(error)

    async def _open(self) -> None:
        """Open a connection, and keep its first frame for the handler: with it we are let in."""
        self.websocket = await connect(self.ws_url + self._state.target(), **self._way.options)
        self._hides_pong = not self._way.has_key
        if self._hides_pong:
            await self.websocket.send(FIRST_FRAME)
        try:
            self._welcome = await asyncio.wait_for(self.websocket.recv(), OPEN_S)
        except BaseException:
            await self._drop()
            raise

    async def listen(self) -> None:
        """Hand every frame to the handler until `disconnect`; connects first where needed."""
        self._running = True
        while self._running:
            try:
                await self.connect()
                if self.websocket is not None:
                    await self._take(await self._next())
            except SOCKET_ERRORS as error:
                await self._drop()
                if self._running:
                    await self._pause(error)

    async def _next(self) -> str | bytes:
        """Return the welcome that `connect` has seen already, then what comes."""
        text, self._welcome = self._welcome, None
        assert self.websocket is not None
        return await self.websocket.recv() if text is None else text

    async def _take(self, text: str | bytes) -> None:
        frame = self._state.read(text)
        if self._hides_pong and frame["type"] == "pong":
            self._hides_pong = False  # of our first frame; the handler did not ask for it
            return
        items = self._state.admit(frame)
        if frame["type"] == "message" and not items:
            return  # seen before the connection broke
        waiting = self._answers.pop(str(frame.get("request_id")), None)
        if waiting is not None and frame["type"] == "result" and not waiting.done():
            waiting.set_result(frame)
        if self.message_handler is not None:
            try:
                outcome = self.message_handler(frame)
                if inspect.isawaitable(outcome):
                    await outcome
            except BaseException:
                await self._drop()  # what follows was received, and must come again
                raise
        for item in items:
            self._state.finish(item)

    async def _pause(self, error: BaseException) -> None:
        await asyncio.sleep(self._state.pause_after(socket_failure(error, self._way)))

    async def _drop(self) -> None:
        connection, self.websocket, self._welcome = self.websocket, None, None
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(
                    ConnectionFailed("the connection broke before the answer", never_made=False)
                )
        self._answers.clear()
        if connection is not None:
            with contextlib.suppress(*SOCKET_ERRORS):
                await connection.close()

    async def send_ping(self) -> None:
        """Ask for a `pong` frame, which the handler sees; nothing happens while not connected."""
        await self._send("ping")

    async def start_heartbeat(self, interval: float = 30.0) -> None:
        """Send a ping every `interval` seconds from now on, until `disconnect`."""
        if self._heartbeat is None:
            self._heartbeat = asyncio.create_task(self._beat(interval))

    async def _beat(self, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            await self.send_ping()

    async def filter(self, *topics: str) -> None:
        """See other topics from now on, on later connections too. `listen` must be running."""
        await self.command("filter", topics=list(topics))
        self._state.use_topics(topics)

    async def command(self, action: str, **fields: Any) -> Frame:
        """Send a command (`publish`, `subscribe`, `unsubscribe`, `filter`); return its result.

        `listen` must be running, since it receives the answer. A result that is no success
        raises the MQTTAPIError of its status.
        """
        self._asked += 1
        request_id = f"c{self._asked}"
        answer = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        text = json.dumps({"action": action, **fields, "request_id": request_id})
        if not await self._send(text):
            del self._answers[request_id]
            raise ConnectionFailed("the WebSocket is not connected", never_made=True)
        result: Frame = await answer
        if not result["ok"]:
            kind: type[MQTTAPIError] = BY_STATUS.get(result["status"], Refused)
            raise kind(result.get("detail", "refused"), status=result["status"])
        return result

    async def _send(self, text: str) -> bool:
        if self.websocket is None:
            return False
        try:
            await self.websocket.send(text)
        except SOCKET_ERRORS:
            return False  # `listen` sees the break, and connects again
        return True

    async def disconnect(self) -> None:
        """End `listen`, the heartbeat and the connection. Safe to repeat."""
        self._running = False
        beat, self._heartbeat = self._heartbeat, None
        if beat is not None:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        await self._drop()
        self._state.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
