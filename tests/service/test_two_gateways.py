"""Two gateways with one client id: they notice, say so, and stop throwing each other out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto
from tests.service_process import ServiceProcess


@pytest.mark.needs_mosquitto
def test_a_second_client_with_our_id_is_named_and_waited_for(
    service: ServiceProcess, broker: Mosquitto, tmp_path: Path
) -> None:
    """Instead of a fight without end, /health asks for the other client, and one of them rests."""
    other = ServiceProcess(
        tmp_path / "other", MQTT_BROKER_PORT=str(broker.port), MQTT_CLIENT_ID="same"
    )
    other.directory.mkdir()
    try:
        service.start(ready=True, MQTT_CLIENT_ID="same")
        other.start()
        service.wait_for(
            lambda: any(
                "another client" in reason
                for one in (service, other)
                for reason in one.get("/health").json()["reasons"]
            ),
            within_s=30,
        )
        # One waits a minute, so the other one has the broker for itself.
        service.wait_for(
            lambda: (
                [one.get("/health").json()["mqtt_connected"] for one in (service, other)].count(
                    True
                )
                == 1
            ),
            within_s=30,
        )
        assert service.get("/health/live").status == 200
    finally:
        other.kill()
