"""The service stops in order: soon, with status 0, and with nothing lost."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from typing import Any

import pytest

from tests.mqtt_client import mqtt_client
from tests.service.talking import (
    CLOSE,
    TEXT,
    BareListener,
    device,
    history,
    listen_bare,
    wait_until_subscribed,
)
from tests.service_process import ServiceProcess

WITHIN_S = 10


class Load:
    """Publishes over MQTT and over REST until told to stop; remembers what was confirmed."""

    def __init__(self, service: ServiceProcess, port: int) -> None:
        self._service = service
        self._port = port
        self._ended = threading.Event()
        self.over_mqtt: list[int] = []
        self.over_rest: list[str] = []
        self._threads = [threading.Thread(target=self._mqtt)]
        self._threads += [
            threading.Thread(target=self._rest, args=(f"r{number}",)) for number in range(2)
        ]
        for thread in self._threads:
            thread.start()

    def _mqtt(self) -> None:
        with mqtt_client(self._port) as client:
            number = 0
            while not self._ended.is_set():
                sent = [
                    client.publish("mqtt", str(one), qos=1) for one in range(number, number + 50)
                ]
                for info in sent:
                    info.wait_for_publish(30)
                self.over_mqtt += range(number, number + 50)
                number += 50

    def _rest(self, name: str) -> None:
        number = 0
        while not self._ended.is_set():
            payload = f"{name} {number}"
            try:
                answer = self._service.post(
                    "/publish", {"topic": f"rest/{name}", "payload": payload, "qos": 1}
                )
            except OSError:
                return  # the service is gone: this one was not confirmed
            if answer.status != 200:
                assert answer.status in (502, 503, 504), answer.content
                return
            self.over_rest.append(payload)
            number += 1

    def end(self) -> None:
        """End it and wait."""
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


def read_to_the_end(listener: BareListener) -> list[tuple[int, bytes]]:
    """Return all frames until the connection is closed."""
    found = []
    try:
        while True:
            found.append(listener.frame())
    except (EOFError, ConnectionError):
        return found


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_nothing(
    service: ServiceProcess, broker: Any, number: signal.Signals
) -> None:
    """Stopped under load the service ends with 0 within 10 s, and all that was confirmed is there.

    What a reader was shown is in the database when the process has ended; what the broker
    confirmed is in the history after the next start, once and in order.
    """
    settings = {"MQTT_CLEAN_SESSION": "false", "MAX_HISTORY_SIZE": "0"}
    service.start(ready=True, **settings)
    wait_until_subscribed(service)
    assert service.process is not None
    with listen_bare(service) as reader, listen_bare(service, receive_buffer=4_096) as stalled:
        stalled.next("welcome")  # and never reads again
        frames: list[tuple[int, bytes]] = []
        reading = threading.Thread(target=lambda: frames.extend(read_to_the_end(reader)))
        reading.start()
        load = Load(service, broker.port)
        try:
            service.wait_for(lambda: service.get("/health").json()["message_count"] > 1_500)
            service.wait_for(lambda: len(load.over_rest) > 20)
            began = time.monotonic()
            service.process.send_signal(number)
            assert service.process.wait(WITHIN_S) == 0
            assert time.monotonic() - began < WITHIN_S
        finally:
            load.end()
            reading.join(10)
    shown = [content for opcode, content in frames if opcode == TEXT and b'"message"' in content]
    assert [content[:2] for opcode, content in frames if opcode == CLOSE] == [b"\x03\xe9"]  # 1001
    connection = sqlite3.connect(f"file:{service.database}?mode=ro", uri=True)
    (stored,) = connection.execute("select count(*) from history").fetchone()
    connection.close()
    assert stored >= len([content for content in shown if b'"type":"message"' in content]) > 0
    service.start(**settings)
    wait_until_subscribed(service)
    expected = len(load.over_mqtt)
    service.wait_for(lambda: len(history(service, "&topic=mqtt")) >= expected)
    service.wait_for(lambda: service.get("/stats").json()["queue_depth"] == 0)
    messages = history(service)
    assert [int(one["payload"]) for one in messages if one["topic"] == "mqtt"] == load.over_mqtt
    over_rest = [one["payload"] for one in messages if one["topic"] != "mqtt"]
    assert len(over_rest) == len(set(over_rest))
    missing = set(load.over_rest) - set(over_rest)
    assert not missing
    assert service.terminate() == 0


def test_a_stop_is_quick_when_idle(service: ServiceProcess) -> None:
    """An idle service with an open reader stops within a second or two."""
    service.start(ready=True)
    with listen_bare(service) as reader:
        reader.next("welcome")
        began = time.monotonic()
        assert service.terminate() == 0
        assert time.monotonic() - began < 3


def test_a_stop_without_a_broker(service: ServiceProcess, broker: Any) -> None:
    """A service that never found its broker stops in order."""
    broker.stop()
    service.start()
    assert service.terminate() == 0


@pytest.mark.needs_mosquitto
def test_a_stop_with_a_frozen_broker(service: ServiceProcess, broker: Any) -> None:
    """A broker that answers nothing does not keep the service from stopping."""
    service.start(ready=True, MQTT_STATUS_TOPIC="status")
    wait_until_subscribed(service)
    broker.signal(signal.SIGSTOP)
    try:
        assert service.terminate(WITHIN_S) == 0
    finally:
        broker.signal(signal.SIGCONT)


def test_a_stop_while_the_history_cannot_be_written(service: ServiceProcess) -> None:
    """With the write lock held by a stranger the service still ends with 0 within 10 s."""
    service.start(ready=True)
    wait_until_subscribed(service)
    stranger = sqlite3.connect(service.database, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    try:
        assert service.post("/publish", {"topic": "a", "payload": "x", "qos": 1}).status == 200
        service.wait_for(lambda: service.get("/health").json()["status"] == "degraded")
        assert service.terminate(WITHIN_S) == 0
    finally:
        stranger.close()
    service.start(ready=True)
    assert service.post("/publish", {"topic": "a", "payload": "y", "qos": 1}).status == 200
    service.wait_for(lambda: service.get("/messages?contains=y").json())


@pytest.mark.needs_mosquitto
def test_the_status_topic_tells_online_and_offline(service: ServiceProcess, broker: Any) -> None:
    """The retained status is online while the service runs, offline after a stop and a kill."""
    seen: list[str] = []
    with device(broker) as witness:
        witness.on_message = lambda _client, _data, message: seen.append(message.payload.decode())
        witness.subscribe("the/status", 1)
        for end in (service.terminate, service.kill):
            seen.clear()
            service.start(MQTT_STATUS_TOPIC="the/status")
            service.wait_for(lambda: seen == ["online"])
            end()
            service.wait_for(lambda: seen == ["online", "offline"])
