"""Commands on a WebSocket: the same orders as over HTTP, each answered by a result frame.

Answers for: reading a command, checking it against the contract and the caller, and its result.
Does not: own the socket.
"""

from __future__ import annotations

from typing import Any

from gateway.orders import Orders
from handlers.parsing import parse_json
from handlers.permits import permit_order, permit_subscribe
from handlers.problems import Fault, Problem, to_problem, unprocessable
from handlers.stream import StreamHandler

PONG: dict[str, object] = {"type": "pong"}
# action -> (schema of its other fields, scope).
ACTIONS = {
    "auth": ("Auth", "read"),
    "ping": ("Ping", "read"),
    "filter": ("Filter", "read"),
    "publish": ("Publish", "publish"),
    "subscribe": ("Subscribe", "subscribe"),
    "unsubscribe": ("Unsubscribe", "subscribe"),
}


class Commands:
    """What one connection may ask for. Lives on the event loop."""

    def __init__(self, socket: StreamHandler, orders: Orders) -> None:
        self._socket = socket
        self._orders = orders

    async def answer(self, message: str | bytes) -> dict[str, object]:
        """Do what a message asks for; return the frame that answers it. Never raises."""
        try:
            command = read_command(message)
        except Problem as problem:
            return {"type": "error", "detail": problem.detail}
        action, request_id = command.pop("action"), command.pop("request_id", None)
        frame: dict[str, object] = {"type": "result"}
        contract, socket = self._socket.contract, self._socket
        try:
            if request_id is not None:
                contract.check_schema("RequestId", request_id)
                frame["request_id"] = request_id
            schema, scope = ACTIONS[action]
            if action != "ping":
                socket.charge(1, socket.caller)
            contract.check_schema(schema, command)
            if action == "ping":
                return PONG
            socket.gate.require(socket.caller, scope)
            frame |= {"ok": True, "status": 200, "data": await self._do(action, command)}
        except Exception as error:
            # The Problem itself is not kept here: with its traceback it would refer to this call,
            # and all that was found wrong would wait for the GC.
            status, detail = self._refusal(action, error)
            frame |= {"ok": False, "status": status, "detail": detail}
            self._audit(action, command, str(status))
        else:
            self._audit(action, command, "done")
        return frame

    def _refusal(self, action: str, error: Exception) -> tuple[int, str]:
        """Return the status and the sentence that answer a command which failed."""
        problem = to_problem(error)
        if problem is not None:
            return problem.status, problem.detail
        self._socket.metrics.failures.caught(
            "command", f"a command failed: {action} id={self._socket.request_id}"
        )
        return 500, "this is our fault; the log has the details"

    async def _do(self, action: str, command: dict[str, Any]) -> dict[str, Any]:
        caller = self._socket.caller
        if action == "publish":
            permit_order(caller, command)
            return await self._orders.publish(command)
        if action == "subscribe":
            permit_subscribe(caller, command["topic"])
            return await self._orders.subscribe(command)
        if action == "unsubscribe":
            permit_subscribe(caller, command["topic"])
            data = await self._orders.unsubscribe(command["topic"])
            if data is None:
                raise Problem(404, f"there is no subscription to {command['topic']}")
            return data
        if action == "filter":
            self._socket.change_topics(command["topics"])
            return {"topics": command["topics"]}
        return {"name": caller.name}  # auth, on a connection that has begun

    def _audit(self, action: str, command: dict[str, Any], outcome: str) -> None:
        if ACTIONS[action][1] != "read":
            self._socket.audit(f"{action} {command.get('topic')!r} over /ws", outcome)


def read_command(message: str | bytes) -> dict[str, Any]:
    """Return a command; a Problem when the message is none."""
    if message in ("ping", b"ping"):
        return {"action": "ping"}
    try:
        content = message if isinstance(message, bytes) else message.encode("utf-8")
    except UnicodeEncodeError:
        raise Problem(422, "the message is not valid UTF-8") from None
    command = parse_json(content)
    known = isinstance(command, dict) and isinstance(command.get("action"), str)
    if not known or command["action"] not in ACTIONS:
        raise unprocessable([Fault("/action", "must be one of " + ", ".join(sorted(ACTIONS)))])
    found: dict[str, Any] = command
    return found


def key_of_first_frame(message: str | bytes) -> bytes:
    """Return the key that the first frame brings; a Problem 401 when it brings none."""
    problem = Problem(401, 'the first frame must be {"action": "auth", "key": ...}')
    try:
        command = read_command(message)
    except Problem:
        raise problem from None
    key = command.get("key")
    if command["action"] != "auth" or not isinstance(key, str):
        raise problem
    return key.encode("utf-8", "replace")
