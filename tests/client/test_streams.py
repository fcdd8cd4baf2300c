"""A stream yields each message once and in order, whatever the network and the service do."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from websockets.sync.server import ServerConnection, serve

from client import (
    AsyncMQTTAPIClient,
    AuthenticationFailed,
    ConnectionFailed,
    Gap,
    LogGap,
    Message,
    MQTTAPIClient,
    MQTTWebSocketClient,
    Outgoing,
    RetryPolicy,
)
from tests.relay import Relay, relay_to
from tests.service_process import ROOT, ServiceProcess

QUICK = RetryPolicy(attempts=3, first_wait=0.02, longest_wait=0.2)
HEARTBEAT_S = 0.5
PIECE_BYTES = 1_000  # so that a cut comes in the middle of frames
Transport = Literal["websocket", "sse"]
TRANSPORTS: tuple[Transport, ...] = ("websocket", "sse")
ROUNDS, MESSAGES_A_ROUND = 30, 40


def publish_all(service: ServiceProcess, topic: str, numbers: range) -> None:
    """Publish numbers at QoS 1, in order, past the bad network."""
    with MQTTAPIClient(service.url) as client:
        outcomes = client.publish_many(Outgoing(topic, number, qos=1) for number in numbers)
    assert all(outcome["status"] == 200 for outcome in outcomes)


@contextmanager
def trouble(service: ServiceProcess, network: Relay, topic: str) -> Iterator[range]:
    """Publish while the network is cut, half closed, delayed and stalled; yields what comes."""
    chance = random.Random(7)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            for round_ in range(ROUNDS):
                first = round_ * MESSAGES_A_ROUND
                kind = chance.choice([network.cut, network.reset, network.half_close, delay, stall])
                timer = threading.Timer(chance.uniform(0, 0.02), kind)
                timer.start()
                publish_all(service, topic, range(first, first + MESSAGES_A_ROUND))
                timer.join()
        except BaseException as error:
            failures.append(error)
        finally:
            network.delay_s = 0.0

    def delay() -> None:
        network.delay_s = chance.choice([0.0, 0.003])

    def stall() -> None:
        network.stall()
        threading.Timer(0.05, network.flow).start()

    thread = threading.Thread(target=run)
    thread.start()
    yield range(ROUNDS * MESSAGES_A_ROUND)
    thread.join()
    assert not failures, failures


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_sync_stream_over_a_bad_network_yields_each_once_in_order(
    shared: ServiceProcess, transport: Transport
) -> None:
    """Cut, half closed, delayed and stalled, the network costs no message and repeats none."""
    topic = f"bad/sync/{transport}"
    with (
        relay_to(shared.port, piece_bytes=PIECE_BYTES) as network,
        MQTTAPIClient(network.url, retry=QUICK) as client,
        client.stream(topic, since="all", heartbeat=HEARTBEAT_S, transport=transport) as stream,
        trouble(shared, network, topic) as expected,
    ):
        seen = [int(next(stream).payload) for _ in expected]
        assert seen == list(expected)
        assert network.let_in > 3


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_async_stream_over_a_bad_network_yields_each_once_in_order(
    shared: ServiceProcess, transport: Transport
) -> None:
    """The same for `async for`."""
    topic = f"bad/async/{transport}"
    with relay_to(shared.port, piece_bytes=PIECE_BYTES) as network:
        async with (
            AsyncMQTTAPIClient(network.url, retry=QUICK) as client,
            client.stream(topic, since="all", heartbeat=HEARTBEAT_S, transport=transport) as stream,
        ):
            with trouble(shared, network, topic) as expected:
                seen = []
                async for message in stream:
                    seen.append(int(message.payload))
                    if len(seen) == len(expected):
                        break
            assert seen == list(expected)
            assert network.let_in > 3


async def test_the_websocket_client_over_a_bad_network_handles_each_once_in_order(
    shared: ServiceProcess,
) -> None:
    """`listen` connects again and goes on behind the last message that was handled."""
    seen: list[int] = []

    async def note(frame: dict[str, object]) -> None:
        if frame["type"] == "message":
            seen.append(int(str(frame["payload"])))
            if len(seen) == ROUNDS * MESSAGES_A_ROUND:
                await client.disconnect()

    with relay_to(shared.port, piece_bytes=PIECE_BYTES) as network:
        client = MQTTWebSocketClient(
            f"ws://127.0.0.1:{network.port}/ws",
            note,
            topic="bad/socket",
            since="all",
            heartbeat=HEARTBEAT_S,
            retry=QUICK,
        )
        with trouble(shared, network, "bad/socket") as expected:
            await client.listen()
        assert seen == list(expected)
        assert network.let_in > 3


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_network_that_just_falls_silent_is_noticed(
    shared: ServiceProcess, transport: Transport
) -> None:
    """Two heartbeats of silence are a broken connection; nothing that came meanwhile is lost."""
    topic = f"silent/{transport}"
    with (
        relay_to(shared.port, piece_bytes=PIECE_BYTES) as network,
        MQTTAPIClient(network.url, retry=QUICK) as client,
        client.stream(topic, since="all", heartbeat=0.1, transport=transport) as stream,
    ):
        publish_all(shared, topic, range(1))
        assert next(stream).payload == "0"
        network.stall()
        publish_all(shared, topic, range(1, 3))

        def flow_again() -> None:
            try:
                shared.wait_for(lambda: network.let_in > 1)  # the client has noticed
            finally:
                network.flow()

        healing = threading.Thread(target=flow_again)
        healing.start()
        assert [next(stream).payload, next(stream).payload] == ["1", "2"]
        healing.join()


def test_a_stream_outlives_the_service(
    service: ServiceProcess, shared_settings: dict[str, str]
) -> None:
    """Killed and started again, the service finds its readers where they were."""
    service.start(ready=True, **shared_settings)
    with (
        MQTTAPIClient(service.url, retry=QUICK) as client,
        client.stream("a", since="all") as stream,
    ):
        publish_all(service, "a", range(5))
        assert [next(stream).payload for _ in range(5)] == list("01234")
        service.kill()
        starting = threading.Timer(0.3, service.start, kwargs={"ready": True})
        starting.start()
        publishing = threading.Timer(
            0, lambda: (starting.join(), publish_all(service, "a", range(5, 8)))
        )
        publishing.start()
        assert [next(stream).payload for _ in range(3)] == list("567")
        publishing.join()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_from_now_loses_nothing_to_a_break_before_the_first_message(
    shared: ServiceProcess, transport: Transport
) -> None:
    """ "From now" is the moment of the first connection, not of the last one."""
    with (
        relay_to(shared.port, piece_bytes=PIECE_BYTES) as network,
        MQTTAPIClient(network.url, retry=QUICK) as client,
        client.stream("now", transport=transport) as stream,
    ):
        received: list[Message] = []
        reading = threading.Thread(target=lambda: received.append(next(stream)))
        reading.start()
        shared.wait_for(lambda: stream.position is not None)
        network.stall()
        publish_all(shared, "now", range(1))
        network.cut()
        network.flow()
        reading.join(10)
        assert [message.payload for message in received] == ["0"]


def pruned(service: ServiceProcess) -> None:
    """Fill a history of ten."""
    service.start(ready=True, MAX_HISTORY_SIZE="10")
    publish_all(service, "p", range(200))
    service.wait_for(lambda: service.get("/stats").json()["newest_id"] >= 200)
    service.wait_for(lambda: service.get("/stats").json()["oldest_id"] > 100)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_gap_is_raised_or_yielded_as_the_caller_chooses(
    service: ServiceProcess, transport: Transport
) -> None:
    """What retention took is never silently left out, and tells where to go on."""
    pruned(service)
    with MQTTAPIClient(service.url) as client:
        oldest_id = client.get_statistics()["oldest_id"]
        with (
            pytest.raises(LogGap) as raised,
            client.stream("p", after=5, transport=transport) as stream,
        ):
            next(stream)
        assert raised.value.gap.reason == "pruned"
        assert (raised.value.gap.after, raised.value.gap.next) == (5, oldest_id)
        with client.stream("p", after=raised.value.gap.position, transport=transport) as stream:
            assert next(stream).id == oldest_id
        with client.stream("p", after=5, gaps="yield", transport=transport) as either:
            first, second = next(either), next(either)
        assert isinstance(first, Gap) and isinstance(second, Message)
        assert second.id == first.next == oldest_id


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_another_log_is_a_gap_for_the_async_stream_too(
    service: ServiceProcess, transport: Transport
) -> None:
    """A position of another log is never taken for one of this log."""
    pruned(service)
    async with AsyncMQTTAPIClient(service.url) as client:
        with pytest.raises(LogGap) as raised:
            async with client.stream("p", after="zother.7", transport=transport) as stream:
                await anext(stream)
        assert raised.value.gap.reason == "epoch"
        either = client.stream("p", after="zother.7", gaps="yield", transport=transport)
        async with either as stream:
            kinds = [type(await anext(stream)) for _ in range(3)]
        assert kinds == [Gap, Message, Message]


PROGRAM = """
import sys
from client import MQTTAPIClient

with MQTTAPIClient(sys.argv[1]) as client:
    for message in client.stream("c", since="all", cursor=sys.argv[2]):
        print(message.payload, flush=True)
        sys.stdin.readline()
"""


def test_a_cursor_file_survives_the_death_of_the_program(
    shared: ServiceProcess, tmp_path: Path
) -> None:
    """Killed in the middle, a program goes on with the message that it had in hand."""
    cursor = tmp_path / "cursor"
    publish_all(shared, "c", range(100))
    command = [sys.executable, "-W", "error", "-c", PROGRAM, shared.url, str(cursor)]
    first = 0
    for last in (29, 59, 99):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as running:
            assert running.stdin is not None and running.stdout is not None
            for number in range(first, last + 1):
                assert running.stdout.readline() == f"{number}\n"
                if number < last:
                    running.stdin.write("\n")
                    running.stdin.flush()
            running.kill()
        first = last  # the one in hand comes again, and none is left out


def test_a_cursor_is_what_was_finished(shared: ServiceProcess, tmp_path: Path) -> None:
    """The message in hand comes again, unless the program said that it was finished."""
    cursor = tmp_path / "cursor"
    publish_all(shared, "finish", range(4))
    with MQTTAPIClient(shared.url) as client:
        with client.stream("finish", since="all", cursor=cursor) as stream:
            assert [next(stream).payload, next(stream).payload] == ["0", "1"]
        with client.stream("finish", since="all", cursor=cursor) as stream:
            assert next(stream).payload == "1"
            stream.finish()
            assert stream.position == cursor.read_text().strip()
        with client.stream("finish", since="all", cursor=cursor) as stream:
            assert next(stream).payload == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["cursor"]


async def test_a_handler_that_fails_gets_the_message_again(shared: ServiceProcess) -> None:
    """An exception of the handler ends `listen`; the next one begins with that message."""
    publish_all(shared, "again", range(3))
    seen: list[str] = []

    def note(frame: dict[str, str]) -> None:
        if frame["type"] == "message":
            seen.append(frame["payload"])
            if seen == ["0", "1"]:
                raise ValueError("not now")
            if frame["payload"] == "2":
                ending.append(asyncio.ensure_future(client.disconnect()))

    ending: list[asyncio.Future[None]] = []
    client = MQTTWebSocketClient(
        f"ws://127.0.0.1:{shared.port}/ws", note, topic="again", since="all"
    )
    with pytest.raises(ValueError, match="not now"):
        await client.listen()
    await client.listen()
    await ending[0]
    assert seen == ["0", "1", "1", "2"]


async def test_commands_and_heartbeats_of_the_websocket_client(shared: ServiceProcess) -> None:
    """Commands return their result while `listen` runs; pings are answered."""
    pongs = asyncio.Event()
    kinds: list[str] = []
    seen = asyncio.Queue[str]()

    def note(frame: dict[str, str]) -> None:
        kinds.append(frame["type"])
        if frame["type"] == "pong":
            pongs.set()
        elif frame["type"] == "message":
            seen.put_nowait(frame["payload"])

    url = f"ws://127.0.0.1:{shared.port}/ws"
    async with MQTTWebSocketClient(url, note, topic="nothing") as client:
        listening = asyncio.create_task(client.listen())
        result = await client.command("publish", topic="unseen", payload="x", qos=1)
        assert result["data"]["confirmed"] is True
        with pytest.raises(Exception, match="wildcards") as refused:
            await client.command("publish", topic="cmd/#", payload="x")
        assert refused.value.status == 422
        await client.filter("cmd/#")
        await client.command("publish", topic="cmd/2", payload="seen", qos=1)
        assert await seen.get() == "seen"
        assert kinds[0] == "welcome" and "pong" not in kinds  # nobody has asked for one yet
        await client.start_heartbeat(0.05)
        await pongs.wait()
    await listening
    with pytest.raises(ConnectionFailed):
        await client.command("ping")


def first_of(url: str, transport: Transport) -> Message:
    with MQTTAPIClient(url, retry=QUICK) as client:
        return next(client.stream(transport=transport))


ATTEMPTS: dict[str, Callable[[str], object]] = {
    "stream": lambda url: first_of(url, "websocket"),
    "events": lambda url: first_of(url, "sse"),
    "websocket": lambda url: asyncio.run(
        MQTTWebSocketClient(url.replace("http", "ws") + "/ws", retry=QUICK).listen()
    ),
}


@pytest.mark.parametrize("attempt", ATTEMPTS.values(), ids=ATTEMPTS)
def test_what_cannot_be_reached_or_let_in_is_said_and_not_tried_for_ever(
    service: ServiceProcess, attempt: Callable[[str], object]
) -> None:
    """The first connection is given up after a few attempts; a missing key at once."""
    with pytest.raises(ConnectionFailed, match="Connection refused"):
        attempt("http://127.0.0.1:9")
    service.start(ready=False, API_KEY_REQUIRED="true", API_KEY="right")
    with pytest.raises(AuthenticationFailed) as raised:
        attempt(service.url)
    assert raised.value.status == 401 and raised.value.detail.startswith("this needs a key")


@pytest.mark.parametrize("name", ["stream", "websocket"])
def test_a_missing_key_is_not_waited_for(name: str) -> None:
    """A service that needs one waits for a first frame, here for ever: the client sends one."""

    def wait_for_a_key(connection: ServerConnection) -> None:
        connection.recv()
        connection.close(1008, "the first frame must be a key")

    with serve(wait_for_a_key, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        with pytest.raises(AuthenticationFailed, match="this needs a key"):
            ATTEMPTS[name](f"http://127.0.0.1:{server.socket.getsockname()[1]}")
        server.shutdown()
        serving.join(10)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_stream_is_closed_from_another_thread(
    shared: ServiceProcess, transport: Transport
) -> None:
    """The loop that waits for a message ends, without an error."""

    def readers() -> int:
        found: int = shared.get("/health").json()["websocket_connections"]
        return found

    shared.wait_for(lambda: readers() == 0)  # those of other tests have left
    with (
        MQTTAPIClient(shared.url) as client,
        client.stream("closed", transport=transport) as stream,
    ):
        ended: list[list[Message]] = []
        reading = threading.Thread(target=lambda: ended.append(list(stream)))
        reading.start()
        shared.wait_for(lambda: readers() == 1)
        stream.close()
        reading.join(10)
        assert ended == [[]]


async def test_a_wait_for_a_message_can_be_given_up_and_taken_up(shared: ServiceProcess) -> None:
    """A time-out around the next message costs none, over either transport."""
    async with AsyncMQTTAPIClient(shared.url, retry=QUICK) as client:
        for transport in TRANSPORTS:
            topic = f"given-up/{transport}"
            async with client.stream(topic, since="all", transport=transport) as stream:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.2)
                await client.publish_many(Outgoing(topic, n, qos=1) for n in range(3))
                assert [(await anext(stream)).payload for _ in range(3)] == ["0", "1", "2"]


async def test_connect_says_who_is_not_let_in(service: ServiceProcess) -> None:
    """Already `connect` raises, without a key and with a wrong one."""
    service.start(ready=False, API_KEY_REQUIRED="true", API_KEY="right")
    url = f"ws://127.0.0.1:{service.port}/ws"
    for key in (None, "wrong"):
        with pytest.raises(AuthenticationFailed):
            await MQTTWebSocketClient(url, api_key=key, retry=QUICK).connect()
    async with MQTTWebSocketClient(url, api_key="right") as client:
        assert client.websocket is not None
