"""`POST /publish`, `POST /publish/batch` and `POST /request`: orders given to the broker.

Does not: write history or touch the hub; the broker sends the message back like any other.
"""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.orders import Orders
from handlers.base import Handler
from handlers.parsing import parse_json
from handlers.permits import permit_order, permit_publish
from handlers.problems import Fault, Problem, to_problem, unprocessable
from handlers.prompt import PromptHandler
from store.counted import counted
from store.message import compact_json, message_json

MAX_BATCH = 1_000


class Publish(PromptHandler):
    """`POST /publish`."""

    orders: Orders

    def post(self) -> None:
        """Publish one message; at QoS 1 and 2 the answer waits for the broker."""
        self.query()
        order = self.body()
        self.audited = f"publish {order['topic']!r}"
        permit_order(self.caller, order)
        if order.get("qos", 0):
            waiting = self.orders.begin(order)
            assert waiting is not None
            self.when(waiting, lambda number: self._tell(self.orders.confirmed(order, number)))
        else:
            self._tell(self.orders.send(order))

    def _tell(self, data: dict[str, Any]) -> None:
        self.reply({"success": True, "message": "Message published successfully", "data": data})


class PublishBatch(Handler):
    """`POST /publish/batch`: in order, each with its own outcome, and one shared wait."""

    orders: Orders

    async def post(self) -> None:
        """Publish up to 1,000 messages."""
        self.query()
        items = self._items()
        self.count(len(items) - 1, self.caller, counted=1)  # a batch costs its messages
        self.audited = f"publish a batch of {len(items)}"
        away = self.orders.broker_is_away
        if away:
            raise Problem(503, away, headers={"Retry-After": "2"})
        outcomes: list[asyncio.Future[int] | Problem | None] = []
        held: list[
            asyncio.Future[int]
        ] = []  # QoS 2 is forwarded at its release: others overtake it
        for item in items:
            exact = isinstance(item, dict) and item.get("qos") == 2
            if held and not exact:
                await asyncio.wait(held)
                held.clear()
            outcome = self._begin(item)
            outcomes.append(outcome)
            if outcome is not None:
                await self.orders.all_sent()  # or one of QoS 0 would overtake it
            if exact and isinstance(outcome, asyncio.Future):
                held.append(outcome)
        results = [
            _sent(index) if outcome is None else await self._result(index, items[index], outcome)
            for index, outcome in enumerate(outcomes)
        ]
        published = sum(result["status"] == 200 for result in results)
        failed = len(results) - published
        self.reply(
            {
                "success": not failed,
                "message": f"{published:,} of {counted(len(results), 'message')} published",
                "data": {"published": published, "failed": failed, "results": results},
            },
            207 if failed else 200,
        )

    def _items(self) -> list[Any]:
        """Return the orders; one that is not JSON is a Problem in its place."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in ("application/x-ndjson", "application/ndjson", "application/jsonl"):
            lines = [line for line in self.request.body.split(b"\n") if line.strip()]
            if not lines:
                raise unprocessable([Fault("", "must have at least one line")])
            # Too many are counted and not read: reading takes longer than sending.
            items = lines if len(lines) > MAX_BATCH else [_parsed(line) for line in lines]
        else:
            body = parse_json(self.request.body)
            listed = isinstance(body, dict) and isinstance(body.get("messages"), list)
            if not listed or len(body["messages"]) <= MAX_BATCH:
                self.contract.check_body(self.path_template, "post", body)
            items = body["messages"]
        if len(items) > MAX_BATCH:
            raise Problem(
                413, f"a batch has at most {MAX_BATCH:,} messages; this has {len(items):,}"
            )
        return items

    def _begin(self, item: Any) -> asyncio.Future[int] | Problem | None:
        try:
            if isinstance(item, Problem):
                raise item
            self.contract.check_schema("Publish", item)
            permit_order(self.caller, item)
            return self.orders.begin(item)
        except Exception as error:
            return _problem(error)

    async def _result(
        self, index: int, item: Any, outcome: asyncio.Future[int] | Problem
    ) -> dict[str, Any]:
        try:
            if isinstance(outcome, Problem):
                raise outcome
            packet_id = await outcome
            self.orders.confirmed(item, packet_id)
        except Exception as error:
            problem = _problem(error)
            return {"index": index, "status": problem.status, "detail": problem.detail}
        return _sent(index, packet_id)


class Request(Handler):
    """`POST /request`: publish, and wait for the reply."""

    orders: Orders

    async def post(self) -> None:
        """Answer with the reply."""
        self.query()
        order = self.body()
        self.audited = f"request {order['topic']!r}"
        permit_publish(self.caller, order["topic"])
        if "response_topic" in order:  # whatever comes there is read
            self.gate.require(self.caller, "read")
            self.require_topic(order["response_topic"])
        reply = await self.orders.request(order)
        rtt_ms = compact_json(round(1000 * reply.rtt_s, 3))
        self.finish_with(f'{{"response":{message_json(reply.message)},"rtt_ms":{rtt_ms}}}'.encode())


def _sent(index: int, packet_id: int | None = None) -> dict[str, Any]:
    return {"index": index, "status": 200, "message_id": packet_id}


def _parsed(line: bytes) -> Any:
    try:
        return parse_json(line)
    except Problem as problem:
        return problem


def _problem(error: Exception) -> Problem:
    problem = to_problem(error)
    if problem is None:
        raise error
    return problem
