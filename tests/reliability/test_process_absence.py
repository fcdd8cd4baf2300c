"""The service is down for a minute; the broker, configured as we ship it, keeps everything."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto
from tests.reliability.findings import assert_once_in_order, stored_numbers, wait_until_stored
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.service.talking import wait_until_subscribed
from tests.service_process import ROOT, ServiceProcess


def shipped_lines(directory: Path) -> list[str]:
    """Return the settings of mosquitto.conf, with a port and a directory of the test's."""
    text = (ROOT / "mosquitto.conf").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    changed = {"listener": "listener {port} 127.0.0.1"}
    own = {"persistence", "persistence_location", "max_queued_messages", "sys_interval"}
    assert "max_queued_messages 100000" in lines, "what the fixture sets is what we ship"
    return [
        changed.get(line.split()[0], line)
        for line in lines
        if line.split()[0] not in own and re.match(r"\w", line)
    ]


@pytest.mark.needs_mosquitto
def test_the_service_is_down_for_a_minute(
    service: ServiceProcess, tmp_path: Path, scale: Scale
) -> None:
    """50 messages a second meanwhile: all of them are there afterwards, once and in order."""
    broker = Mosquitto(tmp_path / "shipped", *shipped_lines(tmp_path))
    broker.start()
    try:
        service.start(
            ready=True,
            MQTT_BROKER_PORT=str(broker.port),
            MQTT_CLEAN_SESSION="false",
            MAX_HISTORY_SIZE="0",
        )
        wait_until_subscribed(service)
        assert service.terminate() == 0
        with Publisher(broker.port, scale.absence_messages_per_s) as publisher:
            time.sleep(scale.absence_s)  # the length of the absence: it is the experiment
            sent = publisher.finish()
        service.start(ready=True)
        wait_until_stored(service, sent)
        assert sent >= 0.9 * scale.absence_s * scale.absence_messages_per_s
        assert_once_in_order(stored_numbers(service.database), sent)
        print(f"{scale.absence_s:g} s away: {sent} of {sent}")
    finally:
        service.kill()
        broker.stop()
