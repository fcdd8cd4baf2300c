"""Publishes while the broker is away are refused at once, and never delivered later; one that the
broker will never take does not cost the connection for ever."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.reliability.scale import Scale
from tests.service.talking import device, history, wait_until_subscribed
from tests.service_process import ServiceProcess

PUBLISHES = 100
AT_ONCE_S = 0.05
POISON = b"poison"


def refused_s(service: ServiceProcess) -> list[float]:
    """Publish 100 times on one connection; check each 503, and return how long each took."""
    found = []
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    for number in range(PUBLISHES):
        order: dict[str, Any] = {"topic": "a", "payload": "lost", "qos": number % 3}
        order["retain"] = number % 2 == 0
        began = time.monotonic()
        connection.request("POST", "/publish", json.dumps(order))
        answer = connection.getresponse()
        content = answer.read()
        found.append(time.monotonic() - began)
        assert answer.status == 503, content
    connection.close()
    return found


def test_publishes_while_the_broker_is_away(
    service: ServiceProcess, broker: Mosquitto | EmbeddedStandIn, scale: Scale
) -> None:
    """100 publishes are 100 times a 503 at once, and none is delivered when it is back."""
    service.start(ready=True)
    wait_until_subscribed(service)
    broker.stop()
    service.wait_for(lambda: not service.get("/health").json()["mqtt_connected"])
    took_s = refused_s(service)
    broker.start()
    with device(broker) as witness:
        seen: list[bytes] = []
        witness.on_message = lambda _client, _data, message: seen.append(message.payload)
        witness.subscribe("#", 1)
        wait_until_subscribed(service)
        assert service.post("/publish", {"topic": "a", "payload": "after", "qos": 2}).status == 200
        service.wait_for(lambda: b"after" in seen)
    assert seen == [b"after"]
    service.wait_for(lambda: history(service))
    assert [message["payload"] for message in history(service)] == ["after"]
    print(f"{PUBLISHES} refusals, the slowest within {1000 * max(took_s):.1f} ms")
    if scale.is_full:
        assert max(took_s) <= AT_ONCE_S


class PickyBroker(threading.Thread):
    """Takes every publish but what has POISON in it, for which it closes the connection, in order,
    and not before what came ahead of it is answered."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0

    def run(self) -> None:
        """Serve one connection after the other, until closed."""
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                self._serve(connection, connection.makefile("rb"))

    def close(self) -> None:
        """Accept no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    @staticmethod
    def _serve(connection: socket.socket, reading: BinaryIO) -> None:
        while first := reading.read(1):
            kind, length, shift = first[0] >> 4, 0, 0
            while True:
                part = reading.read(1)[0]
                length |= (part & 127) << shift
                shift += 7
                if part < 128:
                    break
            content = reading.read(length)
            if kind == 1:  # CONNECT
                connection.sendall(b"\x20\x03\x00\x00\x00")
            elif kind == 3:  # PUBLISH
                if POISON in content:
                    return
                place = 2 + int.from_bytes(content[:2], "big")
                if first[0] & 0x06:
                    connection.sendall(b"\x40\x02" + content[place : place + 2])
            elif kind == 8:  # SUBSCRIBE
                connection.sendall(b"\x90\x04" + content[:2] + b"\x00\x01")
            elif kind == 12:  # PINGREQ
                connection.sendall(b"\xd0\x00")


@pytest.mark.parametrize("timeout_s", ["20", "1"], ids=["waited for", "given up"])
@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_that_costs_the_connection(tmp_path: Path, qos: int, timeout_s: str) -> None:
    """After three connections that were lost over it, it is sent no more, though the broker
    confirms others on each of them, such as our status; and though its caller waits no longer."""
    broker = PickyBroker()
    broker.start()
    service = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(broker.port), MQTT_BROKER_STATS="off")
    try:
        service.start(ready=True, MQTT_STATUS_TOPIC="x/status", PUBLISH_TIMEOUT=timeout_s)
        order = {"topic": "p", "payload": POISON.decode(), "qos": qos}
        answer = service.post("/publish", order)
        assert answer.status in ((502,) if timeout_s == "20" else (502, 504)), answer.content
        harmless = {"topic": "p", "payload": "x", "qos": 1}
        service.wait_for(lambda: service.post("/publish", harmless).status == 200)
        made = broker.connections
        assert made >= 4
        assert service.post("/publish", harmless).status == 200
        assert broker.connections == made
    finally:
        service.kill()
        broker.close()
