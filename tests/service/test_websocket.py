"""The WebSocket: welcome, live messages, replay, commands, the cap, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from tests.mqtt_client import publish_all
from tests.service.talking import (
    CLOSE,
    PING,
    PONG,
    device,
    history,
    listen,
    listen_bare,
    send,
    wait_until_subscribed,
)
from tests.service_process import ServiceProcess


async def started(service: ServiceProcess, **variables: str) -> None:
    """Start the service and wait until it is subscribed, off the event loop."""
    await asyncio.to_thread(service.start, ready=True, **variables)
    await asyncio.to_thread(wait_until_subscribed, service)


async def publish(service: ServiceProcess, topic: str, payload: Any) -> None:
    """Publish one message, confirmed by the broker."""
    order = {"topic": topic, "payload": payload, "qos": 1}
    answer = await asyncio.to_thread(service.post, "/publish", order)
    assert answer.status == 200, answer.content


async def publish_and_store(service: ServiceProcess, topic: str, *payloads: str) -> list[Any]:
    """Publish messages, wait until they are in the history, and return the whole of it."""
    count = len(await asyncio.to_thread(history, service))
    for payload in payloads:
        await publish(service, topic, payload)
    await asyncio.to_thread(
        service.wait_for, lambda: len(history(service)) == count + len(payloads)
    )
    return await asyncio.to_thread(history, service)


async def test_the_first_frame_is_a_welcome(service: ServiceProcess) -> None:
    """A reader is welcomed with the epoch and the ends of the log."""
    await started(service, MQTT_SUBSCRIPTIONS="a/#,b/+")
    async with listen(service) as listener:
        welcome = await listener.frame()
        assert set(welcome) == {
            "type",
            "message",
            "timestamp",
            "epoch",
            "newest_id",
            "oldest_id",
            "uncovered",
        }
        assert welcome["type"] == "welcome"
        assert welcome["message"] == "Connected to GhostMesh MQTT API"
        assert (welcome["newest_id"], welcome["oldest_id"]) == (0, None)
        assert welcome["uncovered"] == ["#"]
    (stored,) = await publish_and_store(service, "a/1", "x")
    async with listen(service, "?topic=a/1&topic=b/%23&topic=c") as listener:
        welcome = await listener.frame()
        assert welcome["newest_id"] == welcome["oldest_id"] == stored["id"]
        assert welcome["uncovered"] == ["b/#", "c"]
        health = (await asyncio.to_thread(service.get, "/health")).json()
        assert health["websocket_connections"] == 1
    assert (await asyncio.to_thread(service.get, "/stats")).json()["epoch"] == welcome["epoch"]
    await asyncio.to_thread(
        service.wait_for, lambda: service.get("/stats").json()["websocket_connections"] == 0
    )


async def test_a_live_message_is_the_one_in_the_history(service: ServiceProcess) -> None:
    """What a reader sees live is the message that the history gives, with its type."""
    await started(service)
    async with listen(service) as listener:
        await listener.next("welcome")
        await publish(service, "factory/line1", "45.2")
        await publish(service, "factory/ü", {"value": 1})
        frames = await listener.messages(2)
    await asyncio.to_thread(service.wait_for, lambda: len(history(service)) == 2)
    stored = await asyncio.to_thread(history, service)
    assert frames == [{"type": "message", **message} for message in stored]
    assert [frame["payload"] for frame in frames] == ["45.2", '{"value":1}']


@pytest.mark.parametrize("command", ["ping", '{"action":"ping"}', '{ "action" : "ping" }'])
async def test_a_ping_gets_a_pong(service: ServiceProcess, command: str) -> None:
    """The text ping and the action ping are answered with a pong."""
    await started(service)
    async with listen(service) as listener:
        await listener.next("welcome")
        await listener.connection.write_message(command)
        assert await listener.frame() == {"type": "pong"}


async def test_a_malformed_command_gets_an_error_and_the_connection_lives(
    service: ServiceProcess,
) -> None:
    """Whatever nonsense is sent, the answer is an error frame with a sentence."""
    await started(service)
    nonsense: list[str | bytes] = [
        "not json",
        "",
        "[1]",
        "5",
        "{}",
        '{"action":"dance"}',
        '{"action":{"a":1}}',
        '{"action":"ping","action":"ping"}',
        "[" * 50_000,
        b"\xff\xfe",
        b"\x00",
    ]
    async with listen(service) as listener:
        await listener.next("welcome")
        for command in nonsense:
            await listener.connection.write_message(command, isinstance(command, bytes))
            frame = await listener.frame()
            assert (frame["type"], set(frame)) == ("error", {"type", "detail"}), command
            assert frame["detail"]
        await listener.connection.write_message("ping")
        await listener.next("pong")
        await publish(service, "a", "still here")
        assert (await listener.next("message"))["payload"] == "still here"


async def test_topics_in_the_query_choose_what_is_seen(service: ServiceProcess) -> None:
    """Only messages that one of the filters matches are seen, each once."""
    await started(service)
    async with listen(service, "?topic=a/+/t&topic=b/%23&topic=b/1") as listener:
        await listener.next("welcome")
        for topic in ("a/1/t", "a/1", "a/1/t/x", "b", "b/1", "c", "b/2/3"):
            await publish(service, topic, "x")
        seen = [message["topic"] for message in await listener.messages(4)]
    assert seen == ["a/1/t", "b", "b/1", "b/2/3"]


async def test_a_reader_goes_on_where_it_stopped(service: ServiceProcess) -> None:
    """`after` gives what came since that position, then what comes, with no seam."""
    await started(service)
    stored = await publish_and_store(service, "a", "0", "1", "2", "3")
    epoch = (await asyncio.to_thread(service.get, "/stats")).json()["epoch"]
    for number, after in enumerate((f"{stored[1]['id']}", f"{epoch}.{stored[1]['id']}")):
        async with listen(service, f"?after={after}") as listener:
            await listener.next("welcome")
            replayed = await listener.messages(len(stored) - 2)
            assert [frame["id"] for frame in replayed] == [one["id"] for one in stored[2:]]
            await publish(service, "a", f"live {number}")
            assert (await listener.next("message"))["payload"] == f"live {number}"
        stored = await asyncio.to_thread(history, service)
    async with listen(service, f"?after={epoch}.0&topic=a") as listener:
        await listener.next("welcome")
        payloads = [frame["payload"] for frame in await listener.messages(6)]
        assert payloads == ["0", "1", "2", "3", "live 0", "live 1"]


async def test_since_begins_at_a_time(service: ServiceProcess) -> None:
    """`since` begins at a time, a duration back, or at everything there is; absent is the head."""
    await started(service)
    stored = await publish_and_store(service, "a", "0", "1", "2")
    for since, expected in (
        ("all", ["0", "1", "2"]),
        ("1h", ["0", "1", "2"]),
        (stored[1]["timestamp"], ["1", "2"]),
        (stored[1]["timestamp"].replace("Z", "+00:00"), ["1", "2"]),
        ("2100-01-01", []),
    ):
        async with listen(service, f"?since={since}") as listener:
            await listener.next("welcome")
            frames = await listener.messages(len(expected))
            assert [frame["payload"] for frame in frames] == expected, since
            await listener.connection.write_message("ping")
            await listener.next("pong")


async def test_a_position_that_is_not_ours_is_told_as_a_gap(service: ServiceProcess) -> None:
    """A position of another log, or one ahead of this log, gets a gap frame before messages."""
    await started(service)
    (stored,) = await publish_and_store(service, "a", "0")
    async with listen(service, "?after=other.7") as listener:
        await listener.next("welcome")
        gap = await listener.next("gap")
        assert (gap["reason"], gap["after"], gap["next"]) == ("epoch", "other.7", stored["id"])
        assert (await listener.next("message"))["payload"] == "0"
    async with listen(service, f"?after={stored['id'] + 1000}") as listener:
        await listener.next("welcome")
        gap = await listener.next("gap")
        assert (gap["reason"], gap["after"]) == ("ahead", stored["id"] + 1000)
        await publish(service, "a", "1")
        message = await listener.next("message")
        assert message["payload"] == "1"
        assert message["id"] >= gap["next"]


async def test_replay_and_live_are_one(service: ServiceProcess, broker: Any) -> None:
    """A reader that begins at the start while messages pour in sees each once, in order."""
    await started(service, MAX_HISTORY_SIZE="100000")
    is_there = threading.Event()

    def pour() -> int:
        """Publish until the reader is there, and then as much again; return how much."""
        with device(broker) as client:
            count = half = 0
            while count < 2 * half or not is_there.is_set():
                publish_all(client, [("a", str(count + number)) for number in range(200)])
                count += 200
                half = half if is_there.is_set() else count
        return count

    pouring = asyncio.create_task(asyncio.to_thread(pour))
    await asyncio.to_thread(
        service.wait_for, lambda: service.get("/health").json()["message_count"] > 500
    )
    async with listen(service, "?since=all") as listener:
        welcome = await listener.next("welcome")
        is_there.set()
        frames = await listener.messages(welcome["newest_id"])
        count = await pouring
        assert 500 < welcome["newest_id"] < count
        frames += await listener.messages(count - len(frames))
    assert [frame["payload"] for frame in frames] == [str(number) for number in range(count)]
    ids = [frame["id"] for frame in frames]
    assert ids == sorted(set(ids))


async def test_a_batch_is_one_frame(service: ServiceProcess, broker: Any) -> None:
    """With batch=true messages come in lists, in order, each as in the history."""
    await started(service)

    def pour() -> None:
        with device(broker) as client:
            publish_all(client, [("a", str(number)) for number in range(500)])

    async with listen(service, "?batch=true") as listener:
        await listener.next("welcome")
        await asyncio.to_thread(pour)
        seen: list[Any] = []
        frames = 0
        while len(seen) < 500:
            seen += (await listener.next("messages"))["messages"]
            frames += 1
    assert seen == await asyncio.to_thread(history, service)
    assert frames < 500


async def test_over_the_cap_is_a_503(service: ServiceProcess) -> None:
    """WS_MAX_CONNECTIONS readers get in; the next is refused before the upgrade, till one goes."""
    await started(service, WS_MAX_CONNECTIONS="2")
    async with listen(service) as first:
        await first.next("welcome")
        async with listen(service) as second:
            await second.next("welcome")
            with pytest.raises(HTTPClientError) as refused:
                async with listen(service):
                    pass
            assert refused.value.code == 503
            assert refused.value.response is not None
            assert int(refused.value.response.headers["Retry-After"]) > 0
        await asyncio.to_thread(
            service.wait_for,
            lambda: service.get("/health").json()["websocket_connections"] == 1,
        )
        async with listen(service) as third:
            await third.next("welcome")


async def test_a_wrong_query_is_refused_before_the_upgrade(service: ServiceProcess) -> None:
    """A wrong or unknown parameter is a 422, not a silent connection."""
    await started(service)
    for query in ("?colour=red", "?topic=a/%23/b", "?after=x", "?since=x", "?batch=yes"):
        with pytest.raises(HTTPClientError) as refused:
            async with listen(service, query):
                pass
        assert refused.value.code == 422, query


async def test_pings_arrive(service: ServiceProcess) -> None:
    """A reader is pinged every WS_HEARTBEAT_INTERVAL, and one that answers is kept."""
    await started(service, WS_HEARTBEAT_INTERVAL="1")
    async with listen(service) as listener:
        await listener.next("welcome")
        pings: asyncio.Queue[bytes] = asyncio.Queue()
        listener.connection.on_ping = pings.put_nowait  # type: ignore[method-assign]
        reading = asyncio.create_task(listener.frame(30))
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            await asyncio.wait_for(pings.get(), 10)
        assert asyncio.get_running_loop().time() - began > 1.5
        await publish(service, "a", "still here")
        assert (await reading)["payload"] == "still here"


def test_a_silent_peer_is_closed(service: ServiceProcess) -> None:
    """A reader that answers no ping is closed and its place is free again."""
    service.start(ready=True, WS_HEARTBEAT_INTERVAL="0.3")
    with listen_bare(service) as silent:
        silent.next("welcome")
        opcodes = [silent.frame()[0]]
        while opcodes[-1] != CLOSE:
            opcodes.append(silent.frame()[0])
        assert set(opcodes) == {PING, CLOSE}
    service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)


def test_a_ping_of_the_protocol_gets_a_pong(service: ServiceProcess) -> None:
    """A ping frame is answered with the same content."""
    service.start()
    with listen_bare(service) as listener:
        listener.next("welcome")
        listener.send(PING, b"are you there")
        while (frame := listener.frame())[0] != PONG:
            pass
        assert frame == (PONG, b"are you there")


def test_without_an_upgrade_it_is_a_426(service: ServiceProcess) -> None:
    """A plain GET of /ws is told what to ask for."""
    service.start()
    answer = send(service, "GET", "/ws")
    assert answer.status == 426
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Upgrade"] == "websocket"
    assert answer.json()["status"] == 426


async def test_a_stop_closes_with_1001(service: ServiceProcess) -> None:
    """When the service stops, each reader is told so by close code 1001."""
    await started(service)
    async with listen(service) as first, listen(service, "?batch=true") as second:
        await first.next("welcome")
        await second.next("welcome")
        stopping = asyncio.create_task(asyncio.to_thread(service.terminate))
        assert await first.closed() == 1001
        assert await second.closed() == 1001
        assert await stopping == 0


def test_a_history_that_begins_anew_closes_with_that_reason(service: ServiceProcess) -> None:
    """When a damaged history is replaced, readers are closed with 1001 as at a stop, but told the
    true reason; and what damaged it is in the log."""
    service.start(ready=True)
    with listen_bare(service) as listener:
        listener.next("welcome")
        service.database.rename(service.database.with_name("taken away"))
        while (frame := listener.frame())[0] != CLOSE:
            pass
    code, why = frame[1][:2], frame[1][2:].decode()
    assert (int.from_bytes(code), why.partition(",")[0]) == (1001, "the history was damaged")
    assert "history.db was removed or replaced" in service.log()
    assert "the service stops" not in why
