"""What one orders over HTTP: publish, subscribe, unsubscribe, each when all is well."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service.talking import published, send, subscribe_path
from tests.service_process import ServiceProcess

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# The embedded broker delivers at the QoS of the subscription, whatever was published.
delivers_qos_0 = pytest.mark.needs_mosquitto


@pytest.mark.parametrize("qos", [pytest.param(0, marks=delivers_qos_0), 1, 2])
def test_publish_at_every_qos(shared: ServiceProcess, branch: str, qos: int) -> None:
    """POST /publish reaches the broker; QoS 1 and 2 are confirmed, QoS 0 has no packet number."""
    topic = f"{branch}/t"
    answer = shared.post("/publish", {"topic": topic, "payload": "45.2", "qos": qos})
    assert answer.status == 200
    body = answer.json()
    assert set(body) == {"success", "message", "data"}
    assert body["success"] is True
    assert body["message"] == "Message published successfully"
    assert set(body["data"]) == {"topic", "message_id", "confirmed"}
    assert body["data"]["topic"] == topic
    assert body["data"]["confirmed"] is (qos > 0)
    packet_id = body["data"]["message_id"]
    assert packet_id is None if qos == 0 else packet_id > 0
    shared.wait_for(lambda: shared.get(f"/messages?topic={topic}").json())
    (message,) = shared.get(f"/messages?topic={topic}").json()
    assert (message["payload"], message["qos"], message["retain"]) == ("45.2", min(qos, 1), False)


@pytest.mark.parametrize(
    ("payload", "arrives"),
    [
        ("text", "text"),
        ("", ""),
        (45.2, "45.2"),
        (True, "true"),
        ([1, "a"], '[1,"a"]'),
        ({"value": 1, "unit": "°C"}, '{"value":1,"unit":"°C"}'),
        (None, ""),
    ],
)
def test_any_json_value_is_a_payload(
    shared: ServiceProcess, branch: str, payload: Any, arrives: str
) -> None:
    """A text goes as it is, any other value as compact JSON, and null as the empty payload."""
    message = published(shared, branch, payload)
    assert message["payload"] == arrives
    assert "encoding" not in message


def test_publish_with_base64_and_properties(shared: ServiceProcess, branch: str) -> None:
    """A base64 payload goes as its bytes."""
    message = published(shared, branch, base64.b64encode(b"\x00\xff").decode(), encoding="base64")
    assert (message["payload"], message["encoding"]) == ("AP8=", "base64")


@pytest.mark.needs_mosquitto
def test_properties_come_back(shared: ServiceProcess, branch: str) -> None:
    """MQTT 5 properties travel with the message, by the contract's names."""
    properties = {
        "content_type": "application/json",
        "response_topic": "answers/1",
        "correlation_data": "AAE=",
        "payload_format_indicator": 1,
        "user_properties": [["a", "1"], ["a", "2"]],
    }
    message = published(shared, branch, "{}", properties=properties)
    assert message["properties"] == properties


def test_a_message_has_exactly_its_fields(shared: ServiceProcess, branch: str) -> None:
    """A message is id, topic, payload, timestamp, qos and retain, and nothing more."""
    before = datetime.now(UTC)
    message = published(shared, f"{branch}/ü/日本", "45.2")
    assert list(message) == ["id", "topic", "payload", "timestamp", "qos", "retain"]
    assert message["topic"] == f"{branch}/ü/日本"
    assert isinstance(message["id"], int)
    assert TIMESTAMP.fullmatch(message["timestamp"])
    arrived = datetime.fromisoformat(message["timestamp"])
    assert before <= arrived <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text",
    [
        "a/b/c",
        "plant/+/+/temperature",
        "+",
        "tail/#",
        pytest.param("$SYS/broker/uptime", marks=pytest.mark.needs_mosquitto),
        "two words/and more",
        "ofen/größe/日本",
        "100%/?x=1&y",
        "/leading//empty/",
        "a;b,c:1",
    ],
)
def test_subscribe_list_and_unsubscribe(shared: ServiceProcess, text: str) -> None:
    """Any filter can be held, is listed, and is let go by its own name in the path."""
    answer = shared.post("/subscribe", {"topic": text, "qos": 1})
    assert answer.status == 200, answer.content
    body = answer.json()
    assert set(body) == {"success", "message", "data"}
    assert body["success"] is True
    assert body["data"] == {"topic": text, "qos": 1}
    (entry,) = [one for one in shared.get("/subscriptions").json() if one["topic"] == text]
    assert set(entry) == {"topic", "qos", "since"}
    assert entry["qos"] == 1
    assert TIMESTAMP.fullmatch(entry["since"])
    answer = send(shared, "DELETE", subscribe_path(text))
    assert answer.status == 200, answer.content
    assert answer.json()["success"] is True
    covered_by = [] if text.startswith("$") else ["#"]
    assert answer.json()["data"] == {"topic": text, "still_covered_by": covered_by}
    assert text not in [one["topic"] for one in shared.get("/subscriptions").json()]
    assert send(shared, "DELETE", subscribe_path(text)).status == 404


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("q/+/t", "/subscribe/q/+/t"),
        ("q/+/t", "/subscribe/q/%2B/t"),
        ("q/+/t", "/subscribe/q%2F%2B%2Ft"),
        ("q/#", "/subscribe/q/%23"),
        ("q r/ü", "/subscribe/q%20r/%C3%BC"),
    ],
)
def test_every_spelling_of_a_topic_in_the_path(
    shared: ServiceProcess, text: str, target: str
) -> None:
    """A slash may be plain or %2F and a plus plain or %2B; # is %23 and a space %20."""
    assert shared.post("/subscribe", {"topic": text}).status == 200
    answer = send(shared, "DELETE", target)
    assert answer.status == 200
    assert answer.json()["data"]["topic"] == text


def test_subscribe_grants_at_most_qos_1_and_twice_is_no_error(shared: ServiceProcess) -> None:
    """QoS 2 is granted as 1, QoS 0 is the default, and a second time changes the QoS only."""
    assert shared.post("/subscribe", {"topic": "twice"}).json()["data"]["qos"] == 0
    (first,) = [one for one in shared.get("/subscriptions").json() if one["topic"] == "twice"]
    answer = shared.post("/subscribe", {"topic": "twice", "qos": 2})
    assert answer.status == 200
    assert answer.json()["data"] == {"topic": "twice", "qos": 1}
    (second,) = [one for one in shared.get("/subscriptions").json() if one["topic"] == "twice"]
    assert second == {**first, "qos": 1}
