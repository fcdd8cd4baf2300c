"""Commands on a WebSocket, each with its result, and the forms messages may be asked for in."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.mqtt_client import mqtt_client
from tests.service.talking import TEXT, Listener, history, listen, listen_bare
from tests.service_log.asking import payloads, store
from tests.service_process import ServiceProcess
from tests.streams.reading import Tap, number_of, own_topic


@asynccontextmanager
async def welcomed(service: ServiceProcess, query: str = "") -> AsyncIterator[Listener]:
    """Connect, and read the welcome."""
    async with listen(service, query) as listener:
        await listener.next("welcome")
        yield listener


async def ask(listener: Listener, command: dict[str, Any]) -> dict[str, Any]:
    """Send a command; return its result, passing over messages."""
    await listener.connection.write_message(json.dumps(command))
    while (frame := await listener.frame())["type"] in ("message", "status"):
        pass
    return frame


async def test_filter_replaces_what_is_seen(shared: ServiceProcess) -> None:
    """After `filter` a reader sees the new topics and only them, and the result repeats them."""
    one, other = own_topic(), own_topic()
    async with welcomed(shared, f"?topic={one}") as listener:
        result = await ask(
            listener, {"action": "filter", "topics": [other, "x/+"], "request_id": "f1"}
        )
        assert result == {
            "type": "result",
            "request_id": "f1",
            "ok": True,
            "status": 200,
            "data": {"topics": [other, "x/+"]},
        }
        await asyncio.to_thread(payloads, shared, one, "not seen")
        await asyncio.to_thread(payloads, shared, other, "seen")
        message = await listener.next("message")
        assert (message["topic"], message["payload"]) == (other, "seen")


async def test_filter_holds_for_a_reader_in_replay(shared: ServiceProcess) -> None:
    """A filter that changes during a replay loses and repeats nothing of what both want."""
    topic = own_topic()
    stored = await asyncio.to_thread(payloads, shared, topic, *map(str, range(900)))
    async with welcomed(shared, f"?topic={topic}&since=all") as listener:
        command = {"action": "filter", "topics": [topic, own_topic()]}
        await listener.connection.write_message(json.dumps(command))
        seen = []
        while len(seen) < len(stored):
            frame = await listener.frame()
            seen += [frame["id"]] if frame["type"] == "message" else []
        assert seen == [message["id"] for message in stored]


async def test_publish_is_confirmed_and_seen(shared: ServiceProcess) -> None:
    """`publish` does what the endpoint does, and the message comes back over the log."""
    topic = own_topic()
    async with welcomed(shared, f"?topic={topic}/%23") as listener:
        seen: list[dict[str, Any]] = []
        for number, order in enumerate(
            (
                {"topic": f"{topic}/0", "payload": "text", "qos": 1},
                {"topic": f"{topic}/1", "payload": {"value": 1}, "qos": 2},
                {"topic": f"{topic}/2", "payload": "AP8=", "encoding": "base64", "qos": 1},
                {"topic": f"{topic}/3", "payload": "at most once"},
            )
        ):
            command = {"action": "publish", "request_id": f"p{number}", **order}
            await listener.connection.write_message(json.dumps(command))
            # The result and the message may come in either order.
            frames = sorted(
                [await listener.frame(), await listener.frame()], key=lambda f: f["type"]
            )
            seen.append(frames[0])
            result = frames[1]
            assert (result["type"], result["request_id"]) == ("result", f"p{number}")
            assert (result["ok"], result["status"]) == (True, 200)
            confirmed = order.get("qos", 0) != 0
            assert result["data"]["topic"] == order["topic"]
            assert result["data"]["confirmed"] is confirmed
            assert (result["data"]["message_id"] is not None) is confirmed
        assert [frame["payload"] for frame in seen] == [
            "text",
            '{"value":1}',
            base64.b64encode(b"\x00\xff").decode(),
            "at most once",
        ]


async def test_subscribe_and_unsubscribe(service: ServiceProcess) -> None:
    """They change what the gateway holds, as the endpoints do; what is not held is a 404."""
    await asyncio.to_thread(service.start, ready=True, MQTT_SUBSCRIPTIONS="held/#")
    async with welcomed(service) as listener:
        result = await ask(
            listener, {"action": "subscribe", "topic": "new/+", "qos": 2, "request_id": "s"}
        )
        assert result["ok"] and result["request_id"] == "s"
        assert result["data"] == {"topic": "new/+", "qos": 1}, "at most QoS 1 is granted"
        held = (await asyncio.to_thread(service.get, "/subscriptions")).json()
        assert [one["topic"] for one in held] == ["held/#", "new/+"]
        await asyncio.to_thread(payloads, service, "new/1", "seen")
        assert (await listener.next("message"))["payload"] == "seen"
        result = await ask(listener, {"action": "subscribe", "topic": "held/x"})
        assert result["ok"] and "request_id" not in result
        result = await ask(listener, {"action": "unsubscribe", "topic": "held/x"})
        assert result["data"] == {"topic": "held/x", "still_covered_by": ["held/#"]}
        result = await ask(listener, {"action": "unsubscribe", "topic": "new/+"})
        assert result["data"] == {"topic": "new/+", "still_covered_by": []}
        result = await ask(
            listener, {"action": "unsubscribe", "topic": "new/+", "request_id": "again"}
        )
        assert (result["ok"], result["status"], result["request_id"]) == (False, 404, "again")
        assert "new/+" in result["detail"]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ({"action": "publish"}, ["payload", "1 more"]),
        ({"action": "publish", "topic": "a/#", "payload": ""}, ["topic"]),
        ({"action": "publish", "topic": "$SYS/x", "payload": ""}, ["topic"]),
        ({"action": "publish", "topic": "a", "payload": "", "qos": 3}, ["qos"]),
        ({"action": "publish", "topic": "a", "payload": "", "colour": 1}, ["colour"]),
        ({"action": "publish", "topic": "a", "payload": "?", "encoding": "base64"}, ["base64"]),
        ({"action": "subscribe", "topic": "a/#/b"}, ["topic"]),
        ({"action": "subscribe", "topic": "$share/g/a"}, ["topic"]),
        ({"action": "unsubscribe"}, ["topic"]),
        ({"action": "filter"}, ["topics"]),
        ({"action": "filter", "topics": []}, ["topics"]),
        ({"action": "filter", "topics": "a"}, ["topics"]),
        ({"action": "filter", "topics": ["a", "+a"]}, ["topics"]),
        ({"action": "ping", "loud": True}, ["loud"]),
    ],
)
async def test_a_wrong_command_is_a_422(
    shared: ServiceProcess, command: dict[str, Any], named: list[str]
) -> None:
    """A command whose fields are wrong gets a result that says which, and changes nothing."""
    topic = own_topic()
    async with welcomed(shared, f"?topic={topic}") as listener:
        result = await ask(listener, {**command, "request_id": "x"})
        assert result["type"] == "result", result
        assert (result["ok"], result["status"], result["request_id"]) == (False, 422, "x")
        for name in named:
            assert name in result["detail"], result
        await asyncio.to_thread(payloads, shared, topic, "still here")
        assert (await listener.next("message"))["payload"] == "still here"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        "[]",
        '"ping"',
        '{"action":null}',
        '{"action":"PING"}',
        '{"action":["ping"]}',
        '{"action":{"ping":1}}',
        '{"action":"ping","x":NaN}',
        '{"action":"ping","x":1e999}',
        '{"action":"ping","x":"\\ud800"}',
    ],
)
async def test_what_is_no_command_is_an_error(shared: ServiceProcess, text: str) -> None:
    """What is not a command gets an error frame with one sentence; the connection lives."""
    async with welcomed(shared, f"?topic={own_topic()}") as listener:
        await listener.connection.write_message(text)
        frame = await listener.frame()
        assert (frame["type"], set(frame)) == ("error", {"type", "detail"})
        assert await ask(listener, {"action": "ping"}) == {"type": "pong"}


@pytest.mark.parametrize("request_id", [0, 7, -1, "", "a b", "ü" * 200])
async def test_a_request_id_comes_back_as_it_was(shared: ServiceProcess, request_id: Any) -> None:
    """A text or a whole number is repeated in the result, of the same type."""
    async with welcomed(shared, f"?topic={own_topic()}") as listener:
        command = {"action": "filter", "topics": [own_topic()], "request_id": request_id}
        result = await ask(listener, command)
        assert result["ok"]
        assert result["request_id"] == request_id
        assert type(result["request_id"]) is type(request_id)


@pytest.mark.parametrize("request_id", [1.5, True, "x" * 201, None, ["a"], {}])
async def test_a_wrong_request_id_is_not_repeated(shared: ServiceProcess, request_id: Any) -> None:
    """A request_id is given back only when it is one; otherwise nothing is done."""
    topic = own_topic()
    async with welcomed(shared, f"?topic={topic}") as listener:
        command = {"action": "publish", "topic": topic, "payload": "x", "request_id": request_id}
        result = await ask(listener, command)
        assert "request_id" not in result
        if request_id is not None:  # null stands for none
            assert (result["ok"], result["status"]) == (False, 422)
            await asyncio.to_thread(payloads, shared, topic, "only this")
            assert (await listener.next("message"))["payload"] == "only this"


async def test_while_the_broker_is_away_commands_are_a_503(
    service: ServiceProcess, broker: Any
) -> None:
    """What needs the broker fails at once, and what does not goes on."""
    await asyncio.to_thread(service.start, ready=True)
    async with welcomed(service) as listener:
        await asyncio.to_thread(broker.stop)
        while (await listener.frame()).get("mqtt_connected") is not False:
            pass
        for command in (
            {"action": "publish", "topic": "a", "payload": "", "qos": 1},
            {"action": "publish", "topic": "a", "payload": "", "qos": 0},
            {"action": "subscribe", "topic": "b"},
        ):
            began = time.monotonic()
            result = await ask(listener, {**command, "request_id": "away"})
            assert (result["ok"], result["status"]) == (False, 503), result
            assert "not connected" in result["detail"]
            assert time.monotonic() - began < 5, "nothing waited for PUBLISH_TIMEOUT"
        assert (await ask(listener, {"action": "filter", "topics": ["a"]}))["ok"]
        assert await ask(listener, {"action": "ping"}) == {"type": "pong"}


async def test_many_commands_at_once_each_get_their_result(shared: ServiceProcess) -> None:
    """Three hundred publishes in one go are all answered, each under its own request_id."""
    topic = own_topic()
    async with welcomed(shared, f"?topic={topic}") as listener:
        for number in range(300):
            command = {"action": "publish", "topic": topic, "payload": str(number), "qos": 1}
            await listener.connection.write_message(
                json.dumps({**command, "request_id": str(number)})
            )
        results, seen = [], []
        while len(results) < 300 or len(seen) < 300:
            frame = await listener.frame()
            if frame["type"] == "message":
                seen.append(frame["payload"])
            else:
                assert frame["ok"], frame
                results.append(frame["request_id"])
    assert sorted(results, key=int) == [str(number) for number in range(300)]
    assert sorted(seen, key=int) == [str(number) for number in range(300)]


async def test_a_batch_holds_what_the_history_holds(
    shared: ServiceProcess, shared_broker: Any
) -> None:
    """With batch=true messages come in lists of the same form, from the history and live; other
    frames stay as they are."""
    topic = own_topic()
    await asyncio.to_thread(payloads, shared, topic, *map(str, range(700)))
    async with welcomed(shared, f"?topic={topic}&since=all&batch=true") as listener:
        seen: list[Any] = []
        frames = 0
        while len(seen) < 700:
            seen += (await listener.next("messages"))["messages"]
            frames += 1
        assert frames < 20
        await asyncio.to_thread(payloads, shared, topic, "live", "too")
        while len(seen) < 702:
            frame = await listener.frame()
            assert set(frame) == {"type", "messages"}
            seen += frame["messages"]
        assert await ask(listener, {"action": "ping"}) == {"type": "pong"}
    assert seen == await asyncio.to_thread(history, shared, f"&topic={topic}")


def test_conflation_shows_each_topic_once_per_interval(
    shared: ServiceProcess, shared_broker: Any
) -> None:
    """With conflate=200 a topic comes at most once per interval, newest first served; what was
    skipped is counted, and the last value always arrives."""
    topic, interval = own_topic(), timedelta(milliseconds=200)
    taps = [Tap(shared_broker.port, f"{topic}/{number}", 150) for number in range(3)]
    with listen_bare(shared, f"?topic={topic}/%23&conflate=200") as listener:
        listener.next("welcome")
        shown: dict[str, list[dict[str, Any]]] = {f"{topic}/{n}": [] for n in range(3)}
        for tap in taps:
            tap.open()
        while min(map(len, shown.values())) < 10:
            frame = listener.next("message")
            shown[frame["topic"]].append(frame)
        counts = [tap.close() for tap in taps]
        for tap_number, count in enumerate(counts):
            frames = shown[f"{topic}/{tap_number}"]
            while number_of(frames[-1]["payload"]) < count - 1:
                frame = listener.next("message")
                shown[frame["topic"]].append(frame)
    for frames, count in zip(shown.values(), counts, strict=True):
        assert len(frames) + sum(frame["skipped"] for frame in frames) == count
        numbers = [number_of(frame["payload"]) for frame in frames]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == count - 1
        # Between the arrivals of one and of the one after the next lies a whole interval, however
        # late they are read: what is shown arrived after the one before it was written.
        arrived = [datetime.fromisoformat(frame["timestamp"]) for frame in frames]
        for one, after_next in zip(arrived, arrived[2:], strict=False):
            assert after_next - one > interval - timedelta(milliseconds=2)


def test_conflated_batches_are_one_frame_an_interval(shared: ServiceProcess) -> None:
    """With batch=true the newest of all topics come in one frame, each with its `skipped`."""
    topic = own_topic()
    store(
        shared,
        *({"topic": f"{topic}/{name}", "payload": payload} for payload in "12" for name in "ab"),
    )
    with listen_bare(shared, f"?topic={topic}/%23&since=all&batch=true&conflate=50") as listener:
        listener.next("welcome")
        found = listener.next("messages")["messages"]
    assert [(one["topic"], one["payload"], one["skipped"]) for one in found] == [
        (f"{topic}/a", "2", 1),
        (f"{topic}/b", "2", 1),
    ]


def test_conflation_of_a_replay_is_the_newest_of_each_topic(shared: ServiceProcess) -> None:
    """A screen that asks for everything gets each topic's newest value, and how many it skipped."""
    topic = own_topic()
    payloads(shared, f"{topic}/a", *map(str, range(700)))
    payloads(shared, f"{topic}/b", *map(str, range(5)))
    with listen_bare(shared, f"?topic={topic}/%23&since=all&conflate=1000") as listener:
        listener.next("welcome")
        one, other = listener.next("message"), listener.next("message")
    assert (one["topic"], one["payload"], one["skipped"]) == (f"{topic}/a", "699", 699)
    assert (other["topic"], other["payload"], other["skipped"]) == (f"{topic}/b", "4", 4)


def test_a_peer_that_asks_and_does_not_read_is_not_kept_answers_for(
    service: ServiceProcess,
) -> None:
    """Of a flood of questions whose answers nobody reads the service stops taking more, and its
    memory stays where it was."""
    service.start(ready=True, WS_MAX_BUFFER_BYTES="65536")
    with listen_bare(service, receive_buffer=4_096) as rude:
        rude.next("welcome")
        before = resident_kib(service)
        topics = [f"{number}/".ljust(2_000, "x") for number in range(10)]
        # The answer repeats the topics: 20 KB each. The mask is of zeros.
        question = json.dumps({"action": "filter", "topics": topics}).encode()
        flood = bytes((0x81, 0xFE)) + struct.pack("!H", len(question)) + bytes(4) + question
        rude.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        rude.socket.settimeout(2)
        ending = time.monotonic() + 20
        with pytest.raises(TimeoutError):  # it takes no more questions
            while time.monotonic() < ending:
                rude.socket.sendall(flood)
        assert resident_kib(service) - before < 15_000
        assert service.get("/health").status == 200
        rude.socket.settimeout(10)
        for _ in range(100):
            opcode, content = rude.frame()
            assert (opcode, json.loads(content)["data"]) == (TEXT, {"topics": topics})


def resident_kib(service: ServiceProcess) -> int:
    """Return the memory of the service."""
    assert service.process is not None
    with open(f"/proc/{service.process.pid}/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def test_a_publisher_sees_its_own_message_once(shared: ServiceProcess, shared_broker: Any) -> None:
    """Overlapping filters of one reader give a message once."""
    topic = own_topic()
    with listen_bare(shared, f"?topic={topic}&topic={topic}/%23&topic=%23") as listener:
        listener.next("welcome")
        with mqtt_client(shared_broker.port) as client:
            for number in range(20):
                client.publish(topic, str(number), qos=1).wait_for_publish(10)
        seen = [listener.next("message")["payload"] for _ in range(20)]
    assert seen == [str(number) for number in range(20)]
