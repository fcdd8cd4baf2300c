"""MQTT 5 properties in and out, and what the broker's reason codes become."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import Mosquitto
from tests.mqtt_client import mqtt_client, publish_properties
from tests.service.talking import listen_bare, wait_until_subscribed
from tests.service_log.asking import events, faults, own_topic, store
from tests.service_log.test_batch_request import subscribed
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.needs_mosquitto

EVERY_PROPERTY: dict[str, Any] = {
    "content_type": "application/json; charset=utf-8",
    "response_topic": "answers/日本",
    "correlation_data": base64.b64encode(bytes(range(256))).decode(),
    "message_expiry_interval": 3_600,
    "payload_format_indicator": 1,
    "user_properties": [["name", "value"], ["name", "again"], ["", ""], ["ü", '"\\']],
}
PAHO_NAMES = {
    "content_type": "ContentType",
    "response_topic": "ResponseTopic",
    "correlation_data": "CorrelationData",
    "message_expiry_interval": "MessageExpiryInterval",
    "payload_format_indicator": "PayloadFormatIndicator",
    "user_properties": "UserProperty",
}


def to_paho(name: str, value: Any) -> Any:
    """Return a value of ours as paho has it."""
    if name == "correlation_data":
        return base64.b64decode(value)
    return [tuple(pair) for pair in value] if name == "user_properties" else value


SETS = [EVERY_PROPERTY, *({name: value} for name, value in EVERY_PROPERTY.items())]
SETS += [{"payload_format_indicator": 0}, {"content_type": ""}, {"correlation_data": ""}]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_given_over_rest_reach_mqtt(
    shared: ServiceProcess, shared_broker: Mosquitto, qos: int
) -> None:
    """What POST /publish gives as properties is what an MQTT 5 client receives."""
    topic = own_topic()
    with subscribed(shared_broker.port, topic) as received:
        for properties in SETS:
            order = {"topic": topic, "payload": "x", "qos": qos, "properties": properties}
            assert shared.post("/publish", order).status == 200
        shared.wait_for(lambda: len(received) == len(SETS))
    for message, properties in zip(received, SETS, strict=True):
        for name, attribute in PAHO_NAMES.items():
            found = getattr(message.properties, attribute, None)
            wanted = to_paho(name, properties[name]) if name in properties else None
            if name == "message_expiry_interval" and wanted is not None:
                assert wanted - 60 <= found <= wanted
            else:
                assert found == wanted, name
    with subscribed(shared_broker.port, topic, five=False) as received:
        order = {"topic": topic, "payload": "x", "properties": EVERY_PROPERTY}
        assert shared.post("/publish", order).status == 200
        shared.wait_for(lambda: received)
    assert received[0].payload == b"x", "an old client gets the message without them"


def test_properties_from_mqtt_are_in_every_form(
    shared: ServiceProcess, shared_broker: Mosquitto
) -> None:
    """What an MQTT 5 client sends is in the history, the streams, the export and the details."""
    topic = own_topic()
    with (
        listen_bare(shared, f"?topic={topic}") as listener,
        listen_bare(shared, f"?topic={topic}&batch=true") as batches,
        events(shared, f"?topic={topic}") as reader,
        mqtt_client(shared_broker.port) as client,
    ):
        listener.next("welcome")
        batches.next("welcome")
        for properties in SETS:
            values = {PAHO_NAMES[name]: to_paho(name, properties[name]) for name in properties}
            info = client.publish(topic, "x", 1, properties=publish_properties(**values))
            info.wait_for_publish(10)
        client.publish(topic, "plain", 1).wait_for_publish(10)
        live = [listener.next("message") for _ in range(len(SETS) + 1)]
        heard = [reader.next("message") for _ in range(len(SETS) + 1)]
        together: list[Any] = []
        while len(together) < len(SETS) + 1:
            together += batches.next("messages")["messages"]
    stored = shared.get(f"/messages?topic={topic}&order=asc").json()
    assert live == heard == [{"type": "message", **message} for message in stored]
    assert together == stored
    assert "properties" not in stored[-1]
    for message, properties in zip(stored, SETS, strict=False):
        found = dict(message["properties"])
        if "message_expiry_interval" in found:
            assert 3_540 <= found["message_expiry_interval"] <= 3_600
            found["message_expiry_interval"] = 3_600
        assert found == properties
    exported = shared.get(f"/export?topic={topic}").content.splitlines()
    assert [json.loads(line) for line in exported] == stored
    assert shared.get(f"/topics/{topic}").json()["last_message"] == stored[-1]
    with listen_bare(shared, f"?topic={topic}&after={stored[0]['id'] - 1}") as listener:
        listener.next("welcome")
        assert [listener.next("message") for _ in stored] == live, "replayed as they were live"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"colour": "red"}, {"/properties/colour"}),
        ({"content_type": 5}, {"/properties/content_type"}),
        ({"content_type": "a\x00b"}, {"/properties/content_type"}),
        ({"response_topic": "a/#"}, {"/properties/response_topic"}),
        ({"response_topic": ""}, {"/properties/response_topic"}),
        ({"correlation_data": "?"}, {"/properties/correlation_data"}),
        ({"message_expiry_interval": 2**32}, {"/properties/message_expiry_interval"}),
        ({"message_expiry_interval": -1}, {"/properties/message_expiry_interval"}),
        ({"payload_format_indicator": 2}, {"/properties/payload_format_indicator"}),
        ({"user_properties": {"a": "b"}}, {"/properties/user_properties"}),
        ({"user_properties": [["a"]]}, {"/properties/user_properties/0"}),
        ({"user_properties": [["a", "b"], ["a", "\x00"]]}, {"/properties/user_properties/1/1"}),
        ({"user_properties": [["a", 1]]}, {"/properties/user_properties/0/1"}),
        ("text", {"/properties"}),
    ],
)
def test_a_wrong_property_is_a_422(
    shared: ServiceProcess, properties: Any, expected: set[str]
) -> None:
    """A property that MQTT does not know or allow is named, and nothing is published."""
    order = {"topic": own_topic(), "payload": "x", "properties": properties}
    assert faults(shared.post("/publish", order)) == expected


def test_properties_need_mqtt_5(service: ServiceProcess) -> None:
    """On a 3.1.1 connection properties are a 422, alone and in a batch, and nothing goes out."""
    service.start(ready=True, MQTT_PROTOCOL="3.1.1")
    wait_until_subscribed(service)
    for qos in (0, 1):
        order = {"topic": "a", "payload": "x", "qos": qos, "properties": {"content_type": "a/b"}}
        assert faults(service.post("/publish", order)) == {"/properties"}
        plain = {"topic": "b", "payload": "x", "qos": 1}
        answer = service.post("/publish/batch", {"messages": [order, plain]})
        results = answer.json()["data"]["results"]
        assert [result["status"] for result in results] == [422, 200]
        assert "3.1.1" in results[0]["detail"]
    order = {"topic": "c", "payload": "x", "qos": 1, "properties": {}}
    assert service.post("/publish", order).status == 200, "none at all need nothing"
    service.wait_for(lambda: "c" in service.get("/topics").json())
    (stored,) = store(service, {"topic": "d", "payload": "last"})
    assert "properties" not in stored
    assert "a" not in service.get("/topics").json()


# -- reason codes -------------------------------------------------------------------------------


@pytest.fixture
def strict_broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto that lets nobody write to or hear anything but open/# and mqtt-api/#."""
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite open/#\ntopic readwrite mqtt-api/#\ntopic read $SYS/#\n")
    started = Mosquitto(tmp_path / "strict", f"acl_file {acl}")
    started.start()
    yield started
    started.stop()


@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_that_is_denied_is_a_502(
    strict_broker: Mosquitto, tmp_path: Path, qos: int
) -> None:
    """When the broker's ACL says no, the 502 names the reason, and nothing is persisted."""
    service = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(strict_broker.port), MQTT_USERNAME="")
    try:
        service.start(ready=True)
        wait_until_subscribed(service)
        answer = service.post("/publish", {"topic": "secret/a", "payload": "x", "qos": qos})
        assert answer.status == 502, answer.content
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "not authorized" in answer.json()["detail"].lower()
        orders = [
            {"topic": topic, "payload": "x", "qos": qos}
            for topic in ("open/1", "secret/b", "open/2")
        ]
        answer = service.post("/publish/batch", {"messages": orders})
        assert answer.status == 207
        results = answer.json()["data"]["results"]
        assert [result["status"] for result in results] == [200, 502, 200]
        assert "not authorized" in results[1]["detail"].lower()
        service.wait_for(lambda: len(service.get("/messages").json()) == 2)
        assert service.get("/topics").json() == ["open/1", "open/2"]
        assert service.get("/stats").json()["published_total"] == 2
        answer = service.post("/request", {"topic": "secret/c", "payload": "x", "timeout": 5})
        assert answer.status == 502
        assert service.get("/health").json()["status"] == "healthy"
    finally:
        service.kill()
    assert "Traceback" not in service.log(), service.log()


def dynamic_security(tmp_path: Path) -> str:
    """Return the configuration lines for a mosquitto that refuses subscriptions to secret/#."""
    name = "mosquitto_dynamic_security.so"
    plugins = [*Path("/usr/lib").glob(f"*/{name}"), *Path("/usr/local/lib").glob(name)]
    assert plugins, "mosquitto without its dynamic security plugin: use Debian's"
    rules = [
        {"acltype": "subscribePattern", "topic": "secret/#", "allow": False, "priority": 5},
        {"acltype": "subscribePattern", "topic": "#", "allow": True, "priority": 1},
    ]
    file = tmp_path / "security.json"
    file.write_text(
        json.dumps(
            {
                "defaultACLAccess": {
                    "publishClientSend": True,
                    "publishClientReceive": True,
                    "subscribe": False,
                    "unsubscribe": True,
                },
                "clients": [],
                "groups": [{"groupname": "anyone", "roles": [{"rolename": "some"}]}],
                "roles": [{"rolename": "some", "acls": rules}],
                "anonymousGroup": "anyone",
            }
        )
    )
    return f"plugin {plugins[0]}\nplugin_opt_config_file {file}"


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_subscription_that_is_denied_is_a_502(tmp_path: Path, protocol: str) -> None:
    """A refused filter is a 502 with the reason, is not held, and not tried at the next start."""
    broker = Mosquitto(tmp_path / "strict", dynamic_security(tmp_path))
    broker.start()
    service = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(broker.port),
        MQTT_SUBSCRIPTIONS="open/#",
        MQTT_PROTOCOL=protocol,
        MQTT_USERNAME="",
    )
    try:
        service.start(ready=True)
        wait_until_subscribed(service)
        for topic in ("secret/#", "secret/a"):
            answer = service.post("/subscribe", {"topic": topic, "qos": 1})
            assert answer.status == 502, answer.content
            detail = answer.json()["detail"].lower()
            assert ("not authorized" if protocol == "5" else "refused") in detail
            assert "secret" not in json.dumps(service.get("/subscriptions").json())
        assert service.post("/subscribe", {"topic": "more/#", "qos": 1}).status == 200
        with mqtt_client(broker.port) as client:
            client.publish("secret/a", "x", 1).wait_for_publish(10)
            client.publish("more/a", "x", 1).wait_for_publish(10)
        service.wait_for(lambda: service.get("/topics").json() == ["more/a"])
        assert service.terminate() == 0
        service.start(ready=True)
        wait_until_subscribed(service)
        held = [entry["topic"] for entry in service.get("/subscriptions").json()]
        assert held == ["more/#", "open/#"]
        health = service.get("/health").json()
        assert (health["status"], health["reasons"]) == ("healthy", [])
    finally:
        service.kill()
        broker.stop()
    assert "Traceback" not in service.log(), service.log()
