"""The event loop, the writer or the broker's thread hangs: the liveness check sees it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt_client import mqtt_client
from tests.reliability.findings import wait_until_stored
from tests.reliability.sabotage import SabotagedProcess
from tests.reliability.scale import Scale
from tests.service.talking import wait_until_subscribed

PLACES = {
    "the event loop": "gateway.hub:Hub.publish",
    "the writer of the history": "store.log_writer:LogWriter.append",
    "the broker's thread": "gateway.arrivals:Arrivals.put",
}


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("name", PLACES)
def test_a_hang_is_seen(tmp_path: Path, broker: Any, scale: Scale, name: str) -> None:
    """It is in the log within 45 s, once, and /health/live is a 503, where it can answer.

    When it is over, that is in the log, /health/live is a 200, and nothing was lost.
    """
    service = SabotagedProcess(
        tmp_path,
        *([] if scale.is_full else [str(scale.stalled_after_s)]),
        MQTT_BROKER_PORT=str(broker.port),
        MQTT_CLEAN_SESSION="false",
    )
    try:
        service.start(ready=True)
        wait_until_subscribed(service)
        with mqtt_client(broker.port) as device:
            service.hang_at(PLACES[name], scale.hang_s)
            began = time.monotonic()
            for number in range(10):
                device.publish("a", str(number), qos=1).wait_for_publish(10)
            service.wait_for(lambda: f"{name} hangs" in service.log(), scale.seen_within_s)
            seen_s = time.monotonic() - began
            if name != "the event loop":
                alive = service.get("/health/live")
                assert alive.status == 503
                reasons = alive.json()["reasons"]
                assert any(one.startswith(f"{name} has made no progress for ") for one in reasons)
            if not scale.is_full:
                service.release()
            service.wait_for(lambda: f"{name} goes on" in service.log(), scale.hang_s + 20)
            service.wait_for(lambda: service.get("/health/live").status == 200, 45)
        wait_until_stored(service, 10)
        assert service.log().count(f"{name} hangs") == 1
        assert service.get("/health").json()["message_count"] == 10
        assert service.terminate() == 0
    finally:
        service.kill()
    print(f"{name}, {scale.hang_s:g} s: seen after {seen_s:.1f} s")
