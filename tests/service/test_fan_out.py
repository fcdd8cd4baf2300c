"""Many readers at once, and slow ones: nobody misses a message."""

from __future__ import annotations

import json
import selectors
import threading
import time
from contextlib import ExitStack
from typing import Any

from tests.mqtt_client import publish_all
from tests.service.talking import (
    TEXT,
    BareListener,
    device,
    history,
    listen_bare,
    wait_until_subscribed,
)
from tests.service_process import ServiceProcess

CLIENTS = 100
MESSAGES = 2_000
MESSAGE_START = b'{"type":"message"'


def collect(listeners: list[BareListener], count: int, within_s: float) -> list[list[bytes]]:
    """Read all sockets until each has had `count` message frames; return them as they came."""
    found: list[list[bytes]] = [[] for _ in listeners]
    deadline = time.monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        for number, listener in enumerate(listeners):
            selector.register(listener.socket, selectors.EVENT_READ, number)
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                listener, frames = listeners[key.data], found[key.data]
                listener.receive()
                frames += [
                    content
                    for opcode, content in listener.take_frames()
                    if opcode == TEXT and content.startswith(MESSAGE_START)
                ]
                if len(frames) >= count:
                    selector.unregister(key.fileobj)
    return found


def test_a_hundred_readers_all_receive_every_message(service: ServiceProcess, broker: Any) -> None:
    """One hundred WebSocket clients receive each of 2,000 messages, in the order of their ids."""
    service.start(ready=True, MAX_HISTORY_SIZE="10000", WS_MAX_CONNECTIONS=str(CLIENTS))
    wait_until_subscribed(service)

    def pour() -> None:
        with device(broker) as client:
            topics = [f"factory/line{number % 7}" for number in range(MESSAGES)]
            publish_all(client, [(topic, str(number)) for number, topic in enumerate(topics)])

    with ExitStack() as stack:
        listeners = [stack.enter_context(listen_bare(service)) for _ in range(CLIENTS)]
        for listener in listeners:
            listener.next("welcome")
        assert service.get("/health").json()["websocket_connections"] == CLIENTS
        pouring = threading.Thread(target=pour)
        pouring.start()
        received = collect(listeners, MESSAGES, 120)
        pouring.join()
    expected = [{"type": "message", **message} for message in history(service)]
    assert [message["payload"] for message in expected] == [str(n) for n in range(MESSAGES)]
    assert [json.loads(content) for content in received[0]] == expected
    short = [number for number, frames in enumerate(received) if frames != received[0]]
    assert not short, f"these readers did not see the same as the first: {short}"


def test_a_slow_reader_loses_nothing(service: ServiceProcess, broker: Any) -> None:
    """A reader that stops reading falls behind, is fed from the history, and gets everything."""
    service.start(ready=True, MAX_HISTORY_SIZE="10000", WS_MAX_BUFFER_BYTES="65536")
    wait_until_subscribed(service)
    padding = "x" * 4_000
    with listen_bare(service, receive_buffer=4_096) as slow, device(broker) as client:
        slow.next("welcome")
        publish_all(client, [("a", f"{number} {padding}") for number in range(MESSAGES)])
        service.wait_for(lambda: service.get("/health").json()["message_count"] == MESSAGES)
        service.wait_for(lambda: service.get("/stats").json()["readers_behind"] == 1)
        seen = [slow.next("message") for _ in range(MESSAGES)]
        assert [int(frame["payload"].split()[0]) for frame in seen] == list(range(MESSAGES))
        service.wait_for(lambda: service.get("/stats").json()["readers_behind"] == 0)
        publish_all(client, [("a", "live again")])
        assert slow.next("message")["payload"] == "live again"
