"""An exception in every callback and every handler, in turn: the process and its threads live."""

from __future__ import annotations

import inspect
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from gateway.config import Config
from handlers.base import Handler
from handlers.routes import make_application
from tests.mqtt_client import mqtt_client
from tests.relay import Relay, relay_to
from tests.reliability.launcher import BEGINNING, CALLBACKS, handler_places
from tests.reliability.sabotage import SabotagedProcess
from tests.reliability.scale import Scale
from tests.service.talking import (
    CLOSE,
    TEXT,
    BareListener,
    listen_bare,
    send,
    wait_until_subscribed,
)

SETTINGS = {
    "MQTT_CLEAN_SESSION": "false",
    "MAX_HISTORY_SIZE": "0",
    "RATE_LIMIT_ENABLED": "false",
    "PUBLISH_TIMEOUT": "1",
}
# Where nothing but a new connection to the broker comes by.
AT_CONNECTIONS = (
    "Session._prepare",
    "Session._on_connect",
    "Session._on_disconnect",
    "Session._ended",
    "Broker.on_connected",
    "Broker.on_disconnected",
    "Arrivals.begin",
    "Holdings.connection_changed",
    "Holdings._renew_all",
    "RedeliveryWindow.connected",
    "Hub.tell",
)


def paths() -> dict[str, str]:
    """Return a path of each handler, by module and class, from the route table."""
    parts = {
        name: Config.from_mapping({}) if name == "config" else MagicMock(version="1.0.0")
        for name in inspect.signature(make_application).parameters
    }
    found = {}
    for rule in make_application(**parts).wildcard_router.rules:
        if isinstance(rule.target, type) and issubclass(rule.target, Handler):
            template = rule.target_kwargs.get("path_template", "")
            path = re.sub(r"\{\w+\}", "1", template)
            found.setdefault(f"{rule.target.__module__}:{rule.target.__qualname__}", path)
    return found


def caught(service: SabotagedProcess) -> int:
    """Return how many exceptions were counted."""
    counts = service.get("/stats").json()["failures_total"]
    return sum(counts.values())


class Plant:
    """A device that numbers what it publishes, and the service that is to have all of it."""

    def __init__(self, service: SabotagedProcess, client: Any, relay: Relay) -> None:
        self.service, self.client, self.relay = service, client, relay
        self.published = 0

    def publish(self, count: int = 3) -> None:
        """Have the device publish some more."""
        for _ in range(count):
            info = self.client.publish("numbers", str(self.published), qos=1)
            info.wait_for_publish(10)
            self.published += 1

    def numbers(self) -> list[int]:
        """Return what is stored."""
        answer = self.service.get("/messages?topic=numbers&order=asc&after=0&limit=10000")
        return [int(one["payload"]) for one in answer.json()] if answer.status == 200 else []

    def provoke(self, place: str) -> None:
        """Do all that leads past the place."""
        if place.endswith(AT_CONNECTIONS):
            self.relay.cut()
            return
        self.publish()
        for qos in (1, 2):  # confirmed past paho, and by it; the answer may be a 5xx now
            self.service.post("/publish", {"topic": "else", "payload": "x", "qos": qos})
        self.service.post("/subscribe", {"topic": "$SYS/x", "qos": 1})
        self.service.request("DELETE", "/subscribe/$SYS/x")
        try:
            with listen_bare(self.service, "?since=all") as reader:
                reader.send(TEXT, b'{"action": "publish", "topic": "else", "payload": "y"}')
                self.read_up_to(reader, self.published - 1)  # then it is live
                self.publish()
                self.read_up_to(reader, self.published - 1)
        except (OSError, EOFError, AssertionError):
            pass  # the reader was closed: that is how it learns of the fault

    @staticmethod
    def read_up_to(reader: BareListener, number: int) -> None:
        """Read until this message was seen; an error when the connection is closed."""
        reader.socket.settimeout(5)
        while True:
            opcode, content = reader.frame()
            assert opcode != CLOSE
            if opcode == TEXT and json.loads(content).get("payload") == str(number):
                return

    def works(self) -> bool:
        """Whether a message goes all the way, and a reader sees it."""
        if self.service.get("/health/ready").status != 200:
            return False
        with listen_bare(self.service) as reader:
            reader.next("welcome")
            self.publish(1)
            self.read_up_to(reader, self.published - 1)  # what came before may be on its way still
            return True


@contextmanager
def plant(tmp_path: Path, broker: Any) -> Iterator[Plant]:
    """Run the sabotaged service on a connection to the broker that can be cut."""
    with relay_to(broker.port) as relay, mqtt_client(broker.port) as client:
        service = SabotagedProcess(tmp_path, MQTT_BROKER_PORT=str(relay.port))
        try:
            service.start(ready=True, **SETTINGS)
            wait_until_subscribed(service)
            yield Plant(service, client, relay)
        finally:
            service.kill()


@pytest.mark.needs_mosquitto
def test_an_exception_in_every_callback(
    tmp_path: Path, broker: Any, scale: Scale, chance: random.Random
) -> None:
    """After each the process and its threads live, the counter has counted, and nothing is lost."""
    with plant(tmp_path, broker) as one:
        service = one.service
        assert service.process is not None
        for place in chance.sample(CALLBACKS, min(len(CALLBACKS), scale.callbacks)):
            before, began = caught(service), time.monotonic()
            service.throw_at(place)
            one.provoke(place)
            service.wait_for(lambda place=place: place in service.fired())
            service.wait_for(lambda before=before: caught(service) > before)
            service.wait_for(lambda: service.get("/health/ready").status == 200)
            wait_until_subscribed(service)
            assert one.works(), place
            assert service.process.poll() is None
            service.wait_for(lambda: len(set(one.numbers())) == one.published)
            doubled = len(one.numbers()) - one.published
            print(f"{place}: {time.monotonic() - began:.1f} s, {doubled} twice so far")
        assert service.get("/health/live").status == 200
        assert sorted(set(one.numbers())) == list(range(one.published))
        assert service.terminate() == 0


@pytest.mark.needs_mosquitto
def test_an_exception_in_every_handler(tmp_path: Path, broker: Any) -> None:
    """Each is a 500 that shows nothing internal, and counted; the next request is answered."""
    service = SabotagedProcess(tmp_path, MQTT_BROKER_PORT=str(broker.port))
    try:
        service.start(ready=True, **SETTINGS)
        path_of, tried = paths(), set()
        for place in handler_places():
            name, _, method = place.rpartition(".")
            if name not in path_of:
                continue  # a base of others, and each of them has its own place
            tried.add(name)
            before = caught(service)
            service.throw_at(place)
            answer = send(service, method.upper(), path_of[name])
            assert answer.status == 500, (place, answer.content)
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert b"abotage" not in answer.content and b"experiment" not in answer.content
            assert service.fired() == [place]
            assert caught(service) > before, place
            if name != "handlers.events:Events":  # which would not end
                assert send(service, method.upper(), path_of[name]).status != 500
        assert set(path_of) - tried == {"handlers.websocket:LiveSocket"}, "tried as callbacks"
        assert service.terminate() == 0
    finally:
        service.kill()


@pytest.mark.needs_mosquitto
def test_a_stream_that_cannot_begin_ends(tmp_path: Path, broker: Any) -> None:
    """It gives its place back, and does not stay open like a stream in which nothing happens."""
    service = SabotagedProcess(tmp_path, MQTT_BROKER_PORT=str(broker.port))
    try:
        service.start(ready=True, **SETTINGS)
        service.throw_at(BEGINNING)
        answer = send(service, "GET", "/events")
        assert b"event: welcome" in answer.content
        service.throw_at(BEGINNING)
        with listen_bare(service) as listener:
            listener.next("welcome")
            with pytest.raises(EOFError):
                listener.frame()
        assert service.fired() == [BEGINNING, BEGINNING]
        service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)
        assert service.terminate() == 0
    finally:
        service.kill()
