"""Subscriptions: remembered, as few as needed at the broker, and no message twice."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mosquitto import Mosquitto
from tests.mqtt_client import publish_all
from tests.service.talking import device, history, send, subscribe_path, wait_until_subscribed
from tests.service_process import ServiceProcess

needs_mosquitto = pytest.mark.needs_mosquitto


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto that logs each subscription."""
    broker = Mosquitto(tmp_path / "talkative", "log_type all")
    broker.start()
    yield broker
    broker.stop()


def held_at(broker: Mosquitto, client_id: str) -> dict[str, int]:
    """Return filter -> QoS that the broker's log says the client holds, without $SYS/#."""
    held: dict[str, int] = {}
    verb = ""
    for line in broker.log().splitlines():
        found = re.match(r"\d+: (?:Received (\w+) from (.+)|\t(.+?)(?: \(QoS (\d)\))?$)", line)
        if not found:
            continue
        if found[1]:
            verb = found[1] if found[2].split(" ")[0] == client_id else ""
        elif verb == "SUBSCRIBE" and found[4]:
            held[found[3]] = int(found[4])
        elif verb == "UNSUBSCRIBE":
            held.pop(found[3], None)
    held.pop("$SYS/#", None)
    return held


def listed(service: ServiceProcess) -> dict[str, int]:
    """Return filter -> QoS as the service lists them."""
    return {one["topic"]: one["qos"] for one in service.get("/subscriptions").json()}


def test_subscriptions_outlive_stop_and_kill(service: ServiceProcess) -> None:
    """What was subscribed and let go is so after a stop and after a kill, `since` included."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="base/#:0")
    wait_until_subscribed(service)
    for topic, qos in (("a/+/ü b", 2), ("gone", 0), ("c", 0)):
        assert service.post("/subscribe", {"topic": topic, "qos": qos}).status == 200
    assert send(service, "DELETE", "/subscribe/gone").status == 200
    before = service.get("/subscriptions").json()
    assert listed(service) == {"base/#": 0, "a/+/ü b": 1, "c": 0}
    service.kill()
    service.start()
    assert service.get("/subscriptions").json() == before
    wait_until_subscribed(service)
    assert service.terminate() == 0
    service.start()
    wait_until_subscribed(service)
    assert service.get("/subscriptions").json() == before
    for topic in ("a/1/ü b", "gone", "c", "base"):
        order = {"topic": topic, "payload": "x", "qos": 1}
        assert service.post("/publish", order).status == 200
    service.wait_for(lambda: service.get("/messages?topic=base").json())
    assert [message["topic"] for message in history(service)] == ["a/1/ü b", "c", "base"]


def test_a_changed_setting_adds_and_an_unchanged_one_does_not(service: ServiceProcess) -> None:
    """MQTT_SUBSCRIPTIONS adds when its value changed; else what users did stays as it is."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a/#,b:0")
    wait_until_subscribed(service)
    assert listed(service) == {"a/#": 1, "b": 0}
    assert send(service, "DELETE", subscribe_path("a/#")).status == 200
    assert service.post("/subscribe", {"topic": "c", "qos": 1}).status == 200
    assert service.terminate() == 0
    service.start(ready=True)
    assert listed(service) == {"b": 0, "c": 1}
    assert service.terminate() == 0
    service.start(ready=True, MQTT_SUBSCRIPTIONS="d/+,b:1")
    assert listed(service) == {"b": 1, "c": 1, "d/+": 1}


@needs_mosquitto
def test_the_broker_holds_the_smallest_cover(service: ServiceProcess, talkative: Mosquitto) -> None:
    """Only filters that no other covers are held at the broker, at the highest QoS they cover."""
    service.start(
        ready=True,
        MQTT_BROKER_PORT=str(talkative.port),
        MQTT_CLIENT_ID="gateway",
        MQTT_SUBSCRIPTIONS="a/+:0",
    )
    wait_until_subscribed(service)

    def holds(expected: dict[str, int]) -> None:
        service.wait_for(lambda: held_at(talkative, "gateway") == expected)

    holds({"a/+": 0})
    assert service.post("/subscribe", {"topic": "a/1", "qos": 1}).json()["data"]["qos"] == 1
    holds({"a/+": 1})
    assert service.post("/subscribe", {"topic": "b", "qos": 0}).status == 200
    holds({"a/+": 1, "b": 0})
    assert service.post("/subscribe", {"topic": "#", "qos": 0}).status == 200
    holds({"#": 1})
    answer = send(service, "DELETE", "/subscribe/a/1")
    assert answer.json()["data"]["still_covered_by"] == ["#", "a/+"]
    holds({"#": 0})
    answer = send(service, "DELETE", "/subscribe/%23")
    assert answer.json()["data"]["still_covered_by"] == []
    holds({"a/+": 0, "b": 0})
    assert send(service, "DELETE", "/subscribe/b").status == 200
    holds({"a/+": 0})
    assert service.post("/subscribe", {"topic": "c/#", "qos": 2}).json()["data"]["qos"] == 1
    holds({"a/+": 0, "c/#": 1})


def test_unsubscribing_stops_the_messages(service: ServiceProcess) -> None:
    """After DELETE what only that filter matched no longer comes; the rest still does."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a/#,b/#,end")
    wait_until_subscribed(service)
    assert send(service, "DELETE", subscribe_path("b/#")).status == 200
    for topic in ("a/1", "b/1", "end"):
        assert service.post("/publish", {"topic": topic, "payload": 1, "qos": 1}).status == 200
    service.wait_for(lambda: service.get("/messages?topic=end").json())
    assert [message["topic"] for message in history(service)] == ["a/1", "end"]


@needs_mosquitto  # the embedded broker sends copies, and MQTT 3.1.1 cannot tell them apart
@pytest.mark.parametrize(
    ("filters", "protocol"),
    [
        ("over/+,+/lap", "5"),
        ("over/+,+/lap", "3.1.1"),
        ("over/+:0,+/lap:0", "5"),
        ("over/+:0,+/lap:1", "5"),
        ("over/#,+/lap,+/+/lap", "5"),
        ("#,over/lap", "5"),
    ],
)
def test_overlapping_filters_give_one_copy(
    service: ServiceProcess, broker: Mosquitto, filters: str, protocol: str
) -> None:
    """A message that several filters match is stored once; equal messages are all stored."""
    settings = {"MQTT_SUBSCRIPTIONS": filters, "MQTT_PROTOCOL": protocol, "MAX_HISTORY_SIZE": "0"}
    service.start(ready=True, **settings)
    wait_until_subscribed(service)
    sent = [
        *[("over/lap", str(number)) for number in range(300)],
        *[("over/lap", "same") for _ in range(300)],
        *[(f"over/{number % 3}", "same") for number in range(100)],
        ("over/lap", "end"),
    ]
    with device(broker) as client:
        publish_all(client, sent, qos=1)
        service.wait_for(lambda: service.get("/messages?contains=end").json())
        publish_all(client, [("over/lap", "very end")], qos=1)
    service.wait_for(lambda: service.get("/messages?contains=very").json())
    stored = [(message["topic"], message["payload"]) for message in history(service)]
    assert stored == [*sent, ("over/lap", "very end")]


@needs_mosquitto
def test_retained_messages_are_stored_once_over_broker_restarts(
    service: ServiceProcess, broker: Mosquitto
) -> None:
    """Five restarts of the broker, killed or stopped, replay nothing into the history."""
    service.start(ready=True)
    wait_until_subscribed(service)
    states = [(f"state/{number}", f"on {number}") for number in range(3)]
    with device(broker) as client:
        for topic, payload in states:
            client.publish(topic, payload, qos=1, retain=True).wait_for_publish(10)
    service.wait_for(lambda: len(history(service)) == 3)
    saved = broker.directory / "mosquitto.db"
    for number in range(5):
        if number % 2:
            service.wait_for(lambda: saved.exists() and b"on 2" in saved.read_bytes())
            broker.signal(signal.SIGKILL)
        broker.stop()
        service.wait_for(lambda: not service.get("/health").json()["mqtt_connected"])
        broker.start()
        wait_until_subscribed(service)
        order = {"topic": "mark", "payload": str(number), "qos": 1}
        assert service.post("/publish", order).status == 200
        service.wait_for(lambda: service.get("/messages?topic=mark").json()[:1])
        service.wait_for(
            lambda number=number: len(service.get("/messages?topic=mark").json()) == number + 1
        )
    stored = [(message["topic"], message["payload"]) for message in history(service)]
    assert stored == [*states, *[("mark", str(number)) for number in range(5)]]
    assert not service.get("/messages?retain=true").json()


@pytest.mark.parametrize("clean", ["true", "false"])
def test_retained_messages_are_stored_once_over_service_restarts(
    service: ServiceProcess, broker: Mosquitto, clean: str
) -> None:
    """Five restarts of the service store a retained message again only when it has changed."""
    service.start(ready=True, MQTT_CLEAN_SESSION=clean)
    wait_until_subscribed(service)
    with device(broker) as client:
        client.publish("state/1", "on", qos=1, retain=True).wait_for_publish(10)
        client.publish("state/2", b"\xff\x00", qos=1, retain=True).wait_for_publish(10)
    service.wait_for(lambda: len(history(service)) == 2)
    for number in range(5):
        assert service.terminate() == 0 if number % 2 else service.kill() is None
        if number == 2:
            with device(broker) as client:
                client.publish("state/1", "off", qos=1, retain=True).wait_for_publish(10)
        service.start()
        wait_until_subscribed(service)
        order = {"topic": "mark", "payload": str(number), "qos": 1}
        assert service.post("/publish", order).status == 200
        service.wait_for(
            lambda number=number: len(service.get("/messages?topic=mark").json()) == number + 1
        )
    stored = [(message["topic"], message["payload"]) for message in history(service)]
    assert stored == [
        ("state/1", "on"),
        ("state/2", "/wA="),
        ("mark", "0"),
        ("mark", "1"),
        ("state/1", "off"),
        *[("mark", str(number)) for number in (2, 3, 4)],
    ]
    (changed,) = service.get("/messages?topic=state/1&limit=1").json()
    assert changed["retain"] is (clean == "true"), "a replay is marked, what was queued is not"
