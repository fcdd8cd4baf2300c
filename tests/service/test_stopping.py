"""The service stops in order: soon, with status 0, and with nothing lost."""

from __future__ import annotations

import http.client
import json
import signal
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.service.talking import device, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess

WITHIN_S = 10
CLOSE = 8  # RFC 6455, 5.5.1


def test_a_stop_when_idle(service: ServiceProcess) -> None:
    """An idle service with an open reader stops in order."""
    service.start(ready=True)
    with listen_bare(service) as reader:
        reader.next("welcome")
        assert service.terminate(WITHIN_S) == 0


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


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize(("thaws", "status"), [(True, 200), (False, 504)])
def test_a_stop_answers_what_is_on_its_way(
    service: ServiceProcess, broker: Any, thaws: bool, status: int
) -> None:
    """A publish that the broker confirms while the service stops is a 200; one that it does not is
    told so: 504, since the outcome is unknown."""
    service.start(ready=True)
    wait_until_subscribed(service)
    assert service.process is not None
    broker.signal(signal.SIGSTOP)
    try:
        with (
            listen_bare(service) as reader,
            closing(http.client.HTTPConnection("127.0.0.1", service.port)) as caller,
        ):
            body = json.dumps({"topic": "a", "payload": "x", "qos": 1})
            caller.request("POST", "/publish", body)
            for _ in range(2):  # what was answered behind it was read behind it
                assert service.get("/health").status == 200
            service.process.terminate()
            while reader.frame()[0] != CLOSE:  # the stop has come to the connections
                pass
            if thaws:
                broker.signal(signal.SIGCONT)
            answer = caller.getresponse()
            assert answer.status == status, answer.read()
            assert thaws or "the service stops" in json.load(answer)["detail"]
        assert service.process.wait(WITHIN_S) == 0
    finally:
        broker.signal(signal.SIGCONT)
