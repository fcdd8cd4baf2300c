"""Commands on a WebSocket: the same orders as over HTTP, each answered by a result frame.

Answers for: reading a command, checking it against the contract, and its result. Does not: own
the socket.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.orders import Orders
from handlers.contract import Contract
from handlers.parsing import parse_json
from handlers.problems import Fault, Problem, to_problem, unprocessable
from store.topics import TopicFilter

log = logging.getLogger(__name__)

PONG: dict[str, object] = {"type": "pong"}
# action -> schema of its other fields.
SCHEMAS = {
    "ping": "Ping",
    "filter": "Filter",
    "publish": "Publish",
    "subscribe": "Subscribe",
    "unsubscribe": "Unsubscribe",
}


class Commands:
    """What one connection may ask for. Lives on the event loop."""

    def __init__(
        self, contract: Contract, orders: Orders, change_topics: Callable[[TopicFilter], None]
    ) -> None:
        self._contract = contract
        self._orders = orders
        self._change_topics = change_topics

    async def answer(self, message: str | bytes) -> dict[str, object]:
        """Do what a message asks for; return the frame that answers it. Never raises."""
        if message in ("ping", b"ping"):
            return PONG
        try:
            content = message if isinstance(message, bytes) else message.encode("utf-8")
            command = parse_json(content)
            if not isinstance(command, dict) or command.get("action") not in SCHEMAS:
                raise unprocessable(
                    [Fault("/action", "must be one of " + ", ".join(sorted(SCHEMAS)))]
                )
        except Problem as problem:
            return {"type": "error", "detail": problem.detail}
        except UnicodeEncodeError:
            return {"type": "error", "detail": "the message is not valid UTF-8"}
        return await self._result(command)

    async def _result(self, command: dict[str, Any]) -> dict[str, object]:
        action, request_id = command.pop("action"), command.pop("request_id", None)
        frame: dict[str, object] = {"type": "result"}
        try:
            if request_id is not None:
                self._contract.check_schema("RequestId", request_id)
                frame["request_id"] = request_id
            self._contract.check_schema(SCHEMAS[action], command)
            if action == "ping":
                return PONG
            frame |= {"ok": True, "status": 200, "data": await self._do(action, command)}
        except Exception as error:
            problem = to_problem(error)
            if problem is None:
                log.exception("a command failed: %s", action)
                problem = Problem(500, "this is our fault; the log has the details")
            frame |= {"ok": False, "status": problem.status, "detail": problem.detail}
        return frame

    def _do(self, action: str, command: dict[str, Any]) -> Awaitable[dict[str, Any]]:
        if action == "publish":
            return self._orders.publish(command)
        if action == "subscribe":
            return self._orders.subscribe(command)
        if action == "unsubscribe":
            return self._unsubscribe(command["topic"])
        return self._filter(command["topics"])

    async def _filter(self, topics: list[str]) -> dict[str, Any]:
        self._change_topics(TopicFilter(topics))
        return {"topics": topics}

    async def _unsubscribe(self, topic: str) -> dict[str, Any]:
        data = await self._orders.unsubscribe(topic)
        if data is None:
            raise Problem(404, f"there is no subscription to {topic}")
        return data
