"""What was published survives the service: stopped, killed, restarted.

How often it may be killed under load is shown in tests/reliability/test_process_kills.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.talking import device, history, wait_until_subscribed
from tests.service_process import ServiceProcess


@pytest.mark.needs_mosquitto
def test_messages_that_look_the_same_are_all_kept(service: ServiceProcess, broker: Any) -> None:
    """Equal payloads on one topic are all stored, however often the service is killed."""
    settings = {"MQTT_CLEAN_SESSION": "false", "MAX_HISTORY_SIZE": "100000"}
    service.start(ready=True, **settings)
    wait_until_subscribed(service)
    with device(broker) as client:
        for life in range(1, 4):
            sent = [client.publish("same", "same", qos=1) for _ in range(300)]
            service.wait_for(
                lambda life=life: service.get("/health").json()["message_count"] > 300 * life - 250
            )
            service.kill()
            for info in sent:
                info.wait_for_publish(30)
            service.start(**settings)
    service.wait_for(lambda: service.get("/health").json()["message_count"] >= 900)
    service.wait_for(lambda: service.get("/stats").json()["queue_depth"] == 0)
    assert len(history(service)) == 900


def test_the_history_outlives_a_kill(service: ServiceProcess) -> None:
    """What was there before a SIGKILL is there after it, and no id is given twice."""
    service.start(ready=True)
    for number in range(5):
        order = {"topic": f"t{number % 2}", "payload": number, "qos": 1}
        assert service.post("/publish", order).status == 200
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 5)
    before, epoch = history(service), service.get("/stats").json()["epoch"]
    service.kill()
    service.start(ready=True)
    assert history(service) == before
    assert service.get("/topics").json() == ["t0", "t1"]
    stats = service.get("/stats").json()
    assert (stats["total_messages"], stats["topic_counts"]) == (5, {"t0": 3, "t1": 2})
    assert (stats["recent_messages"], stats["epoch"]) == (5, epoch)
    assert service.post("/publish", {"topic": "t", "payload": 6, "qos": 1}).status == 200
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 6)
    assert history(service)[-1]["id"] > before[-1]["id"]


def test_ids_go_on_after_an_orderly_stop(service: ServiceProcess) -> None:
    """After an orderly stop the next message has the very next id."""
    service.start(ready=True)
    service.post("/publish", {"topic": "t", "payload": 1, "qos": 1})
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 1)
    assert service.terminate() == 0
    service.start(ready=True)
    service.post("/publish", {"topic": "t", "payload": 2, "qos": 1})
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 2)
    first, second = history(service)
    assert second["id"] == first["id"] + 1
