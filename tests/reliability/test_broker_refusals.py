"""Publishes while the broker is away are refused at once, and never delivered later."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.reliability.scale import Scale
from tests.service.talking import device, history, wait_until_subscribed
from tests.service_process import ServiceProcess

PUBLISHES = 100
AT_ONCE_S = 0.05


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
