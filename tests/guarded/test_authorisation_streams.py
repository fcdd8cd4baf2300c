"""No stream and no order of a narrowed key reaches what it may not see."""

from __future__ import annotations

import time

import pytest

from tests.guarded.asking import ask, bearer, events, key_of, websocket
from tests.guarded.authorised import SECRET_PAYLOAD, SECRET_TOPIC, leaks, publish_both
from tests.service_process import ServiceProcess


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?topic=%23",
        "?topic=+/%23&topic=hidden/%23",
        "?since=all",
        "?since=1h&topic=%23",
        "?after=0",
        "?conflate=50",
        "?since=all&conflate=50",
    ],
)
def test_no_stream_shows_a_forbidden_topic(secretive: ServiceProcess, query: str) -> None:
    """Live or replayed, over SSE and WebSocket, only open topics come."""
    headers, mark = bearer(key_of("reader")), f"end-{time.monotonic_ns()}"
    if query.startswith("?topic=+/%23&topic="):
        query += "&topic=open/%23"
    with (
        events(secretive, query, headers) as stream,
        websocket(secretive, query, headers) as socket,
    ):
        stream.until(type="welcome")
        socket.until(lambda frame: frame["type"] == "welcome")
        publish_both(secretive, mark)
        stream.until(type="message", payload=mark)
        socket.until(lambda frame: frame.get("payload") == mark)
        assert not leaks(stream.text.encode())
        assert not leaks(socket.seen)
        if "since" in query and "conflate" not in query:
            assert '"payload":"3"' in stream.text, "the replay showed nothing"


def test_a_resumed_or_batched_stream_shows_no_forbidden_topic(secretive: ServiceProcess) -> None:
    """`Last-Event-ID` and `batch=true` are narrowed like everything."""
    headers, mark = bearer(key_of("reader")), "end-of-resume"
    with (
        events(secretive, "", {**headers, "Last-Event-ID": "0"}) as stream,
        websocket(secretive, "?batch=true&since=all", headers) as socket,
    ):
        publish_both(secretive, mark)
        stream.until(type="message", payload=mark)
        socket.until(lambda frame: any(one["payload"] == mark for one in frame.get("messages", ())))
        assert not leaks(stream.text.encode())
        assert not leaks(socket.seen)


def test_commands_stay_within_the_key(secretive: ServiceProcess) -> None:
    """`filter` cannot widen what is seen; orders are refused as over HTTP."""
    with websocket(secretive, "", bearer(key_of("reader"))) as socket:
        for number, topics in enumerate((["#"], ["hidden/#"], ["+/+/+", "open/#"])):
            socket.command(action="filter", topics=topics)
            assert socket.answer()["ok"]
            publish_both(secretive, f"mark-{number}")
            if topics != ["hidden/#"]:
                socket.until(lambda frame, number=number: frame.get("payload") == f"mark-{number}")
        statuses = []
        for command in (
            {"action": "publish", "topic": "open/a", "payload": 1},
            {"action": "subscribe", "topic": "open/held/+"},
            {"action": "subscribe", "topic": "hidden/#"},
            {"action": "subscribe", "topic": "#"},
            {"action": "subscribe", "topic": "$SYS/#"},
            {"action": "unsubscribe", "topic": "hidden/#"},
            {"action": "unsubscribe", "topic": "open/held/+"},
        ):
            socket.command(**command)
            statuses.append(socket.answer()["status"])
        assert statuses == [403, 200, 403, 403, 403, 403, 200]
        assert not leaks(socket.seen)
    with websocket(secretive, "", bearer(key_of("narrow"))) as socket:
        socket.command(action="publish", topic="hidden/a", payload=1)
        assert socket.answer()["status"] == 403
        socket.command(action="publish", topic="open/a", payload=1)
        assert socket.answer()["status"] == 200


def test_a_request_cannot_fetch_what_the_key_may_not_read(secretive: ServiceProcess) -> None:
    """A response topic is a topic that is read: it needs the scope and lies within the filter."""
    body = {"topic": "open/nobody", "payload": 1, "timeout": 0.5}
    for caller, where, status in (
        ("publish", SECRET_TOPIC, 403),
        ("narrow", SECRET_TOPIC, 403),
        ("narrow", "open/replies", 504),
        ("publish", None, 504),
    ):
        more = {"response_topic": where} if where else {}
        answer = ask(secretive, "POST", "/request", {**body, **more}, bearer(key_of(caller)))
        assert (caller, where, answer.status) == (caller, where, status)
        assert SECRET_PAYLOAD.encode() not in answer.content
