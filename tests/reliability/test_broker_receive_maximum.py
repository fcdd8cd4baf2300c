"""A broker that takes few unanswered publishes at once and says so (CONNACK, Receive Maximum)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto
from tests.service_process import ServiceProcess

CALLERS = 16


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("qos", [1, 2])
def test_no_more_is_in_flight_than_the_broker_takes(tmp_path: Path, qos: int) -> None:
    """The others wait for their turn; the broker has no reason to throw the service out."""
    broker = Mosquitto(tmp_path / "broker", "max_inflight_messages 2")
    broker.start()
    service = ServiceProcess(
        tmp_path, MQTT_BROKER_PORT=str(broker.port), RATE_LIMIT_ENABLED="false"
    )
    try:
        service.start(ready=True)
        with ThreadPoolExecutor(CALLERS) as callers:
            orders = [{"topic": "a", "payload": n, "qos": qos} for n in range(10 * CALLERS)]
            answers = list(callers.map(lambda order: service.post("/publish", order), orders))
        assert {answer.status for answer in answers} == {200}
        assert service.log().count("connected to the broker at") == 1
    finally:
        service.kill()
        broker.stop()
