"""The broker is away, comes, goes, freezes: the service answers truthfully and recovers."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import publish_all
from tests.service.talking import (
    device,
    history,
    listen_bare,
    subscribe_path,
    wait_until_subscribed,
)
from tests.service_process import ServiceProcess

ORDERS = [
    ("POST", "/publish", {"topic": "a", "payload": "lost", "qos": 0}),
    ("POST", "/publish", {"topic": "a", "payload": "lost", "qos": 1}),
    ("POST", "/publish", {"topic": "a", "payload": "lost", "qos": 2}),
    ("POST", "/publish", {"topic": "a", "payload": "lost", "qos": 1, "retain": True}),
    ("POST", "/subscribe", {"topic": "new/#", "qos": 1}),
]


def refused_at_once(service: ServiceProcess, held: str = "#") -> None:
    """Check that every order to the broker is refused with a 503 and without a wait."""
    for method, path, body in [*ORDERS, ("DELETE", subscribe_path(held), None)]:
        took_s = []
        for _ in range(3):  # the machine may have other things to do once or twice
            began = time.monotonic()
            answer = service.request(method, path, body)
            took_s.append(time.monotonic() - began)
            if took_s[-1] < 1:
                break
        assert min(took_s) < 1, "a 503 must come at once"
        assert answer.status == 503, (path, answer.content)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert int(answer.headers["Retry-After"]) > 0
        assert "not connected to the broker" in answer.json()["detail"]


def test_the_service_starts_without_a_broker_and_connects_when_it_comes(
    service: ServiceProcess, broker: Mosquitto | EmbeddedStandIn
) -> None:
    """Started alone the service answers, says that it is degraded and why, and then connects."""
    broker.stop()
    service.start()
    health = service.get("/health")
    assert health.status == 200
    assert (health.json()["status"], health.json()["mqtt_connected"]) == ("degraded", False)
    (reason,) = health.json()["reasons"]
    assert reason.startswith("not connected to the MQTT broker: ")
    assert len(reason) > len("not connected to the MQTT broker: ")
    assert service.get("/health/live").status == 200
    ready = service.get("/health/ready")
    assert ready.status == 503
    assert ready.json()["reasons"][0].startswith("not connected to the MQTT broker: ")
    assert service.get("/").json()["status"] == "running"
    assert service.get("/messages").json() == []
    assert service.get("/topics").json() == []
    assert service.get("/stats").json()["mqtt_connected"] is False
    assert [one["topic"] for one in service.get("/subscriptions").json()] == ["#"]
    refused_at_once(service)
    assert [one["topic"] for one in service.get("/subscriptions").json()] == ["#"]
    broker.start()
    wait_until_subscribed(service)
    health = service.get("/health").json()
    assert (health["status"], health["mqtt_connected"], health["reasons"]) == ("healthy", True, [])
    assert service.post("/publish", {"topic": "a", "payload": "kept", "qos": 1}).status == 200
    service.wait_for(lambda: history(service))
    assert [message["payload"] for message in history(service)] == ["kept"]


def test_subscriptions_are_renewed_after_a_broker_restart(
    service: ServiceProcess, tmp_path: Path
) -> None:
    """After a broker that forgot everything is back, all subscriptions hold again."""
    forgetful = EmbeddedStandIn() if service._variables.get("MQTT_BROKER_STATS") else None
    broker = forgetful or Mosquitto(tmp_path / "forgetful", "persistence false")
    broker.start()
    try:
        service.start(MQTT_BROKER_PORT=str(broker.port), MQTT_SUBSCRIPTIONS="a/#,b/+")
        wait_until_subscribed(service)
        assert service.post("/subscribe", {"topic": "c", "qos": 1}).status == 200
        listed = service.get("/subscriptions").json()
        with listen_bare(service) as listener:
            listener.next("welcome")
            broker.stop()
            away = {"type": "status", "mqtt_connected": False, "history": "ok"}
            assert listener.next("status") == away
            service.wait_for(lambda: not service.get("/health").json()["mqtt_connected"])
            refused_at_once(service, "c")
            broker.start()
            wait_until_subscribed(service)
            assert listener.next("status") == {**away, "mqtt_connected": True}
            with device(broker) as client:
                publish_all(client, [(topic, "x") for topic in ("a/1", "b/1", "b/1/2", "c", "d")])
            assert [listener.next("message")["topic"] for _ in range(3)] == ["a/1", "b/1", "c"]
        assert service.get("/subscriptions").json() == listed
        assert [message["topic"] for message in history(service)] == ["a/1", "b/1", "c"]
    finally:
        service.kill()
        broker.stop()


@pytest.mark.needs_mosquitto
def test_a_frozen_broker_is_a_504(service: ServiceProcess, broker: Mosquitto) -> None:
    """A broker that does not confirm in PUBLISH_TIMEOUT is a 504 that calls it unknown."""
    service.start(ready=True, PUBLISH_TIMEOUT="2")
    wait_until_subscribed(service)
    broker.signal(signal.SIGSTOP)
    try:
        for qos in (1, 2):
            answer = service.post("/publish", {"topic": "a", "payload": "late", "qos": qos})
            assert answer.status == 504
            assert "unknown" in answer.json()["detail"]
        answer = service.post("/subscribe", {"topic": "b", "qos": 1})
        assert answer.status == 200, "covered by #: the broker need not be asked"
    finally:
        broker.signal(signal.SIGCONT)
    order = {"topic": "a", "payload": "awake", "qos": 1}
    service.wait_for(lambda: service.post("/publish", order).status == 200)
    for number in range(30):
        order = {"topic": "b", "payload": str(number), "qos": 1 + number % 2}
        assert service.post("/publish", order).status == 200
    service.wait_for(lambda: len(service.get("/messages?topic=b").json()) == 30)
    stored = history(service, "&topic=b")
    assert [message["payload"] for message in stored] == [str(number) for number in range(30)]


def test_a_session_that_was_taken_over_is_left_alone(service: ServiceProcess) -> None:
    """Told by the broker that another client took its session, the service waits and says why."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        service.start(MQTT_BROKER_PORT=str(listening.getsockname()[1]), MQTT_PROTOCOL="5")
        taken, _ = listening.accept()
        with taken:
            taken.recv(1_000)
            taken.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK, welcome
            service.wait_for(lambda: service.get("/health").json()["mqtt_connected"])
            taken.sendall(b"\xe0\x02\x8e\x00")  # DISCONNECT, session taken over
            service.wait_for(lambda: not service.get("/health").json()["mqtt_connected"])
        assert "another client with this client id" in service.get("/health").json()["reasons"][0]
        listening.settimeout(3)
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.needs_mosquitto
def test_a_refusal_of_the_broker_is_named(service: ServiceProcess, tmp_path: Path) -> None:
    """What the broker's access list forbids is a 502 with its reason, and is not remembered."""
    rules = tmp_path / "rules"
    rules.write_text("pattern readwrite open/#\npattern read $SYS/#\n")
    broker = Mosquitto(tmp_path / "strict", f"acl_file {rules}")
    broker.start()
    try:
        service.start(ready=True, MQTT_BROKER_PORT=str(broker.port), MQTT_SUBSCRIPTIONS="open/#")
        wait_until_subscribed(service)
        answer = service.post("/publish", {"topic": "shut/1", "payload": "x", "qos": 1})
        assert answer.status == 502
        assert "ot authorized" in answer.json()["detail"]
        assert service.post("/publish", {"topic": "open/1", "payload": "x", "qos": 1}).status == 200
        service.wait_for(lambda: history(service))
        assert [message["topic"] for message in history(service)] == ["open/1"]
    finally:
        service.kill()
        broker.stop()


@pytest.mark.needs_mosquitto
def test_a_wrong_password_is_named(service: ServiceProcess, tmp_path: Path) -> None:
    """A broker that does not let us in is named in /health, without the password."""
    (tmp_path / "nobody").touch(mode=0o600)
    broker = Mosquitto(
        tmp_path / "locked",
        "listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {tmp_path / 'nobody'}",
    )
    broker.start()
    try:
        service.start(MQTT_BROKER_PORT=str(broker.port), MQTT_PASSWORD="very-secret")
        service.wait_for(
            lambda: "ot authorized" in "".join(service.get("/health").json()["reasons"])
        )
        assert service.get("/health").json()["mqtt_connected"] is False
        refused_at_once(service)
        assert "very-secret" not in service.log()
    finally:
        service.kill()
        broker.stop()


def test_the_history_is_read_while_the_broker_is_away(service: ServiceProcess, broker: Any) -> None:
    """What is stored can be read over REST and replayed over the WebSocket without a broker."""
    service.start(ready=True)
    service.post("/publish", {"topic": "a", "payload": "1", "qos": 1})
    service.wait_for(lambda: history(service))
    broker.stop()
    service.wait_for(lambda: not service.get("/health").json()["mqtt_connected"])
    assert [message["payload"] for message in history(service)] == ["1"]
    with listen_bare(service, "?since=all") as listener:
        listener.next("welcome")
        assert listener.next("message")["payload"] == "1"
