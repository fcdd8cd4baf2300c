"""A plain MQTT client for tests: paho with a thread, nothing of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessageInfo, MQTTv5, MQTTv311
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@contextmanager
def mqtt_client(port: int, *, client_id: str = "", five: bool = True) -> Iterator[Client]:
    """Yield a client that is connected to 127.0.0.1:`port`."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5 if five else MQTTv311)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.max_inflight_messages = 1000
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert connected.wait(10)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish_all(client: Client, topics_and_payloads: Any, *, qos: int = 1) -> None:
    """Publish and wait until the broker has confirmed every one."""
    sent: list[MQTTMessageInfo] = [
        client.publish(topic, payload, qos=qos) for topic, payload in topics_and_payloads
    ]
    for info in sent:
        info.wait_for_publish(30)
        assert info.is_published()


def publish_properties(**values: Any) -> Properties:
    """Return MQTT 5 properties for a PUBLISH, by paho's attribute names."""
    properties = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
