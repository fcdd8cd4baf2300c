"""What the plant of the pages says, over and over, while their examples run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.mqtt_client import mqtt_client

KEY = "the-key-of-the-documentation"
TEMPERATURE = "factory/line1/press1/temperature"
SAID = (
    (TEMPERATURE, "45.2"),
    ("factory/line1/press1/power", '{"value": 11.2, "unit": "kW"}'),
    ("alerts/press1/temperature", "fault: too hot"),
)


@contextmanager
def talking_plant(broker: Any) -> Iterator[None]:
    """Say something ten times a second, so that a stream never waits for long."""
    enough = threading.Event()

    def talk() -> None:
        with mqtt_client(broker.port, five=not broker.settings) as client:
            while not enough.wait(0.1):
                for topic, payload in SAID:
                    client.publish(topic, payload, qos=1)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
