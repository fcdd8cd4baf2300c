"""Brokers that know only MQTT 3.1.1 do as well, and a network that breaks does no harm."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.mqtt_client import mqtt_client, publish_all
from tests.relay import relay_to
from tests.service.old_broker import old_broker
from tests.service.talking import device, history, wait_until_subscribed
from tests.service_process import ServiceProcess


def works(service: ServiceProcess, port: int) -> None:
    """Check the whole path: subscribe, publish, history, and what needs MQTT 5."""
    wait_until_subscribed(service)
    assert "with MQTT 3.1.1" in service.log()
    answer = service.post("/subscribe", {"topic": "#", "qos": 2})
    assert answer.json()["data"] == {"topic": "#", "qos": 1}
    for qos in (0, 1, 2):
        order = {"topic": f"rest/{qos}", "payload": "x", "qos": qos}
        answer = service.post("/publish", order)
        assert answer.status == 200, answer.content
        assert answer.json()["data"]["confirmed"] is (qos > 0)
    with mqtt_client(port, five=False) as client:
        publish_all(client, [("device", str(number)) for number in range(100)])
    service.wait_for(lambda: len(history(service)) == 103)
    assert [message["payload"] for message in history(service, "&topic=device")] == [
        str(number) for number in range(100)
    ]
    answer = service.post(
        "/publish", {"topic": "a", "payload": "x", "properties": {"content_type": "text/plain"}}
    )
    assert answer.status == 422
    assert [fault["path"] for fault in answer.json()["errors"]] == ["/properties"]


@pytest.mark.parametrize("clean", ["true", "false"])
def test_mqtt_3_1_1_when_it_is_asked_for(service: ServiceProcess, broker: Any, clean: str) -> None:
    """With MQTT_PROTOCOL=3.1.1 everything works but properties."""
    service.start(ready=True, MQTT_PROTOCOL="3.1.1", MQTT_CLEAN_SESSION=clean)
    works(service, broker.port)
    assert service.terminate() == 0


@pytest.mark.parametrize("answers", [True, False], ids=["refuses", "closes"])
def test_an_old_broker_is_spoken_to_in_its_language(
    service: ServiceProcess, broker: Any, answers: bool
) -> None:
    """Refused with MQTT 5, by an answer or a mere close, the service goes on with 3.1.1."""
    with old_broker(broker.port, answers=answers) as old:
        service.start(ready=True, MQTT_BROKER_PORT=str(old.port))
        works(service, broker.port)
        assert old.turned_away == 1
        assert service.log().count("does not speak MQTT 5 with us; trying 3.1.1") == 1
        assert "not connected to the broker" not in service.log(), "nothing was wrong"
        old.cut()
        service.wait_for(lambda: service.log().count("with MQTT 3.1.1") == 2)
        wait_until_subscribed(service)
        assert service.post("/publish", {"topic": "b", "payload": "x", "qos": 1}).status == 200
        service.wait_for(lambda: service.get("/messages?topic=b").json())
        assert old.turned_away == 1, "once known, the version is not tried anew"
        service.kill()


def test_mqtt_5_alone_stays_away_from_an_old_broker(service: ServiceProcess, broker: Any) -> None:
    """With MQTT_PROTOCOL=5 there is no fall-back, and /health says what is wrong."""
    with old_broker(broker.port, answers=True) as old:
        service.start(MQTT_BROKER_PORT=str(old.port), MQTT_PROTOCOL="5")
        service.wait_for(lambda: old.turned_away >= 2)
        assert old.let_in == 0
        health = service.get("/health").json()
        assert (health["status"], health["mqtt_connected"]) == ("degraded", False)
        assert "rotocol version" in health["reasons"][0]
        service.kill()


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
@pytest.mark.parametrize("clean", ["true", "false"])
def test_a_cut_in_the_network_loses_nothing(
    service: ServiceProcess, broker: Any, protocol: str, clean: str
) -> None:
    """QoS 1 messages during cuts are stored once, in order, in whatever session and version."""
    with relay_to(broker.port) as relay:
        service.start(
            ready=True,
            MQTT_BROKER_PORT=str(relay.port),
            MQTT_PROTOCOL=protocol,
            MQTT_CLEAN_SESSION=clean,
            MAX_HISTORY_SIZE="0",
        )
        wait_until_subscribed(service)

        def pour() -> None:
            with device(broker) as client:
                for first in range(0, 2_000, 100):
                    numbers = range(first, first + 100)
                    publish_all(client, [("a", str(number)) for number in numbers])

        pouring = threading.Thread(target=pour)
        pouring.start()
        for goal in (100, 400, 900, 1_500):
            service.wait_for(
                lambda goal=goal: service.get("/health").json()["message_count"] > goal
            )
            relay.cut()
        pouring.join()
        service.wait_for(lambda: service.get("/health").json()["message_count"] >= 2_000)
        wait_until_subscribed(service)
        assert service.post("/publish", {"topic": "end", "payload": "", "qos": 1}).status == 200
        service.wait_for(lambda: service.get("/messages?topic=end").json())
        stored = history(service, "&topic=a")
        assert [int(message["payload"]) for message in stored] == list(range(2_000))
        service.kill()
