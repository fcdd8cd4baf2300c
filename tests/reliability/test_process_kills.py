"""SIGKILL again and again, under load: nothing missing, nothing twice, nothing out of order."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.findings import (
    assert_once_in_order,
    assert_sound,
    stored_numbers,
    wait_until_stored,
)
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.service_process import ServiceProcess

SETTINGS = {"MQTT_CLEAN_SESSION": "false", "MAX_HISTORY_SIZE": "0"}


@pytest.mark.needs_mosquitto
def test_killed_under_load(
    service: ServiceProcess, broker: Any, scale: Scale, chance: random.Random, tmp_path: Path
) -> None:
    """1,000 messages a second and SIGKILL at any moment: each is in the history once, in order.

    The database is sound after each kill, and no id names two messages.
    """
    service.start(ready=True, **SETTINGS)
    with Publisher(broker.port, scale.kill_messages_per_s) as publisher:
        for life in range(scale.kills):
            if life:
                service.start()
            before = service.get("/health").json()["message_count"]
            goal = before + chance.randrange(scale.kill_messages_per_s)
            service.wait_for(
                lambda goal=goal: service.get("/health").json()["message_count"] > goal,
                within_s=60,
            )
            service.kill()
            assert_sound(service.database, tmp_path / "scratch")
        service.start()
        sent = publisher.finish()
    wait_until_stored(service, sent)
    assert not publisher.again, "the publisher lost its own connection: the test proves nothing"
    assert_once_in_order(stored_numbers(service.database), sent)
    stats = service.get("/stats").json()
    assert stats["total_messages"] == sent
    print(f"{scale.kills} kills, {sent} messages, all once and in order")


@pytest.mark.needs_mosquitto
def test_killed_while_devices_publish_at_qos_2(
    service: ServiceProcess, broker: Any, scale: Scale, chance: random.Random
) -> None:
    """A QoS 2 publisher and SIGKILL: nothing missing, and the session is never stuck."""
    service.start(ready=True, **SETTINGS)
    with Publisher(broker.port, 200, qos=2) as publisher:
        for life in range(scale.qos2_kills):
            if life:
                service.start(ready=True)
            goal = service.get("/health").json()["message_count"] + chance.randrange(100)
            service.wait_for(
                lambda goal=goal: service.get("/health").json()["message_count"] > goal
            )
            order = {"topic": "line0", "payload": "-1", "qos": 2}
            assert service.post("/publish", order).status == 200
            service.kill()
        service.start(ready=True)
        sent = publisher.finish()
    wait_until_stored(service, sent + scale.qos2_kills)
    numbers = stored_numbers(service.database)
    assert numbers.count(-1) == scale.qos2_kills
    assert_once_in_order([number for number in numbers if number >= 0], sent)
    print(f"{scale.qos2_kills} kills, {sent} messages at QoS 2, all once and in order")
