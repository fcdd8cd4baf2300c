"""A program that uses everything of the library, for the type checker; it is never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

from client import (
    AsyncMessageStream,
    AsyncMQTTAPIClient,
    Exported,
    ExportProgress,
    Gap,
    Invalid,
    LogGap,
    Message,
    MessageStream,
    MQTTAPIClient,
    MQTTAPIError,
    MQTTWebSocketClient,
    OutcomeUnknown,
    Outgoing,
    Point,
    RateLimited,
    Reply,
    RetryPolicy,
    Series,
    Topic,
)


def show(progress: ExportProgress) -> None:
    """Take what an export tells."""
    assert_type(progress.fraction, float)


def use_sync(client: MQTTAPIClient) -> None:
    """Call everything that waits."""
    assert_type(client.info()["version"], str)
    assert_type(client.health_check()["reasons"], list[str])
    assert_type(client.ready()["status"] + client.live()["status"], str)
    assert_type(client.publish("a", {"b": 1}, 1, retain=True)["data"]["message_id"], int | None)
    assert_type(client.publish_many([Outgoing("a", 1), ("b", b"c")])[0]["status"], int)
    assert_type(client.request("a", "b", timeout=1), Reply)
    assert_type(client.subscribe("a/#", qos=1)["data"]["qos"], int)
    assert_type(client.unsubscribe("a/#")["data"]["still_covered_by"], list[str])
    assert_type(client.subscriptions()[0]["since"], str)
    assert_type(client.get_messages("a", limit=1), list[dict[str, Any]])
    assert_type(client.messages(["a", "b"], since=timedelta(days=1)), Iterator[Message])
    assert_type(client.message(1).bytes, bytes)
    assert_type(client.payload("e.1"), bytes)
    assert_type(client.purge(until=datetime.now(UTC)), int)
    assert_type(client.get_topics(prefix="a"), list[str])
    assert_type(client.topics("a/#"), Iterator[Topic])
    assert_type(client.topic("a", wait=1), Topic | None)
    series = client.series("a", field="$.b", bucket="5m")
    assert_type(series, Series)
    assert_type(series.points[0], Point)
    assert_type(client.get_statistics()["topic_counts"], dict[str, int])
    assert_type(client.whoami()["scopes"], list[str])
    assert_type(client.metrics(), str)
    assert_type(client.ticket()["expires_in"], int)
    assert_type(client.openapi(), dict[str, Any])
    assert_type(client.asyncapi(), dict[str, Any])
    assert_type(client.export("a.csv", format="csv", progress=show), Exported)
    assert_type(client.backup(Path("b")), Path)
    for message in client.stream("a/#", since="all", cursor="c"):
        assert_type(message, Message)
    for item in client.stream(after="e.1", gaps="yield", transport="sse", heartbeat=30):
        assert_type(item, Message | Gap)


async def use_async(client: AsyncMQTTAPIClient) -> None:
    """Await everything."""
    assert_type((await client.health_check())["status"], str)
    assert_type((await client.publish("a", None))["success"], bool)
    assert_type((await client.publish_many([{"topic": "a", "payload": 1}]))[0]["index"], int)
    assert_type(await client.topic("a"), Topic | None)
    assert_type(client.messages(order="asc"), AsyncIterator[Message])
    assert_type(await client.export("a", progress=show), Exported)
    async for message in client.stream(["a", "b"]):
        assert_type(message.id, int | None)
    async with client.stream(gaps="yield") as stream:
        assert_type(await anext(stream), Message | Gap)
        assert_type(stream.position, str | None)


def read(stream: MessageStream[Message]) -> list[int | None]:
    """Name the kind of a stream."""
    return [message.id for message in stream]


async def read_on(stream: AsyncMessageStream[Message | Gap]) -> str | None:
    """Name the kind of an asynchronous stream."""
    await anext(stream)
    return stream.position


def plain(frame: dict[str, Any]) -> None:
    """Take a frame."""


async def awaited(frame: dict[str, Any]) -> None:
    """Take a frame on asyncio."""


async def use_socket() -> None:
    """Both kinds of handler."""
    async with MQTTWebSocketClient("ws://a/ws", plain, api_key="k", cursor="c") as client:
        await client.start_heartbeat(30)
        await client.send_ping()
        await client.filter("a", "b")
        assert_type(await client.command("publish", topic="a", payload=1), dict[str, Any])
        await client.listen()
    await MQTTWebSocketClient(message_handler=awaited, verify="ca.pem").connect()


def use_errors() -> None:
    """Everything that can go wrong."""
    try:
        once = RetryPolicy(attempts=1)
        with MQTTAPIClient("http://a", 5, api_key="k", retry=once, verify=Path("ca")) as client:
            use_sync(client)
    except Invalid as error:
        assert_type(error.errors, list[dict[str, str]])
    except RateLimited as error:
        assert_type(error.retry_after, float | None)
    except OutcomeUnknown as error:
        assert_type(error.request_confirmed, bool | None)
    except LogGap as error:
        assert_type(error.gap.position, str)
    except MQTTAPIError as error:
        assert_type((error.status, error.request_id), tuple[int | None, str | None])
