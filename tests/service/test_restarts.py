"""What was published survives the service: killed, restarted, killed again."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from tests.mqtt_client import mqtt_client
from tests.service.talking import device, history, wait_until_subscribed
from tests.service_process import ServiceProcess

MESSAGES = 5_000
KILLS = 10
EACH_LIFE = MESSAGES // KILLS
WINDOW = 50


class Publisher(threading.Thread):
    """Publishes the numbers from 0 on at QoS 1, never beyond `allowed`, in a thread of its own."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._allowed = threading.Semaphore(0)
        self.confirmed = 0

    def allow(self, more: int) -> None:
        """Let it publish so many more."""
        self._allowed.release(more)

    def run(self) -> None:
        """Publish all, some at a time, each confirmed by the broker."""
        with mqtt_client(self._port) as client:
            for first in range(0, MESSAGES, WINDOW):
                for _ in range(WINDOW):
                    self._allowed.acquire()
                sent = [
                    client.publish(f"line{number % 5}", str(number), qos=1)
                    for number in range(first, first + WINDOW)
                ]
                for info in sent:
                    info.wait_for_publish(30)
                self.confirmed += len(sent)


@pytest.mark.needs_mosquitto
def test_ten_kills_lose_nothing_and_double_nothing(service: ServiceProcess, broker: Any) -> None:
    """5,000 QoS 1 messages during ten SIGKILLs are in the history exactly once, in order."""
    moments = random.Random(2)
    settings = {"MQTT_CLEAN_SESSION": "false", "MAX_HISTORY_SIZE": "100000"}
    service.start(ready=True, **settings)
    wait_until_subscribed(service)
    publisher = Publisher(broker.port)
    publisher.start()
    killed_at = []
    for life in range(KILLS):
        if life:
            service.start(**settings)
        publisher.allow(EACH_LIFE)
        goal = life * EACH_LIFE + moments.randrange(EACH_LIFE)
        service.wait_for(lambda goal=goal: service.get("/health").json()["message_count"] > goal)
        killed_at.append(publisher.confirmed)
        service.kill()
    assert any(at % EACH_LIFE for at in killed_at), "every kill came when all was quiet"
    service.start(**settings)
    publisher.join(30)
    assert publisher.confirmed == MESSAGES
    service.wait_for(lambda: service.get("/health").json()["message_count"] >= MESSAGES)
    service.wait_for(lambda: service.get("/stats").json()["queue_depth"] == 0)
    stored = history(service)
    assert [int(message["payload"]) for message in stored] == list(range(MESSAGES))
    ids = [message["id"] for message in stored]
    assert ids == sorted(set(ids))
    assert service.get("/stats").json()["total_messages"] == MESSAGES


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
