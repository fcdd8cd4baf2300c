"""POST /publish/batch and POST /request: many orders at once, and a question with its answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client, publish_properties
from tests.service.talking import wait_until_subscribed
from tests.service_log.asking import faults, head, own_topic, store
from tests.service_process import Answer, ServiceProcess

NDJSON = {"Content-Type": "application/x-ndjson"}


def batch(service: ServiceProcess, orders: list[Any], *, as_lines: bool = False) -> Answer:
    """Send a batch in either form."""
    if as_lines:
        body = b"".join(json.dumps(order).encode() + b"\n" for order in orders)
        return service.post("/publish/batch", body, NDJSON)
    return service.post("/publish/batch", {"messages": orders})


@contextmanager
def subscribed(port: int, topic: str, *, five: bool = True) -> Iterator[list[MQTTMessage]]:
    """Listen as another MQTT client at QoS 0: in the order in which the broker has messages."""
    received: list[MQTTMessage] = []
    ready = threading.Event()
    with mqtt_client(port, five=five) as client:
        client.on_message = lambda _client, _data, message: received.append(message)
        client.on_subscribe = lambda *_: ready.set()
        client.subscribe(topic, 0)
        assert ready.wait(10)
        yield received


@pytest.mark.parametrize("as_lines", [False, True], ids=["json", "ndjson"])
def test_a_batch_goes_in_order(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn, as_lines: bool
) -> None:
    """All messages of a batch are published in their order, whatever the QoS of each."""
    topic = own_topic()
    qualities = [2, 0, 1, 0, 2, 1, 1, 2, 2, 0] * 20
    orders = [
        {"topic": topic, "payload": number, "qos": qos} for number, qos in enumerate(qualities)
    ]
    with subscribed(shared_broker.port, topic) as received:
        answer = batch(shared, orders, as_lines=as_lines)
        shared.wait_for(lambda: len(received) == len(orders))
    assert answer.status == 200, answer.content
    assert [int(message.payload) for message in received] == list(range(len(orders)))
    body = answer.json()
    assert body["success"] is True
    data = body["data"]
    assert (data["published"], data["failed"]) == (len(orders), 0)
    assert [result["index"] for result in data["results"]] == list(range(len(orders)))
    for result, qos in zip(data["results"], qualities, strict=True):
        assert result["status"] == 200
        assert (result["message_id"] or 0) > 0 if qos else result["message_id"] is None


@pytest.mark.parametrize("as_lines", [False, True], ids=["json", "ndjson"])
def test_a_bad_item_stops_no_other(shared: ServiceProcess, as_lines: bool) -> None:
    """With some bad items the answer is a 207 that says of each what it alone would get."""
    topic = own_topic()
    before = head(shared)
    cases: list[tuple[Any, int, str]] = [
        ({"topic": topic, "payload": "first"}, 200, ""),
        ({"topic": f"{topic}/#", "payload": "x"}, 422, "/topic"),
        ({"topic": topic, "payload": "second", "qos": 1}, 200, ""),
        ({"topic": topic}, 422, "/payload"),
        ({"topic": topic, "payload": "x", "qos": 3}, 422, "/qos"),
        ({"topic": topic, "payload": "not base64", "encoding": "base64"}, 422, "/payload"),
        ("text", 422, ""),
        ({"topic": topic, "payload": "x" * 1_048_577}, 413, "1048577"),
        ({"topic": "$SYS/x", "payload": "x", "colour": 1}, 422, "colour"),
        ({"topic": topic, "payload": "third", "qos": 2}, 200, ""),
    ]
    answer = batch(shared, [case[0] for case in cases], as_lines=as_lines)
    assert answer.status == 207, answer.content
    assert answer.json()["success"] is False
    data = answer.json()["data"]
    assert (data["published"], data["failed"]) == (3, 7)
    assert [result["index"] for result in data["results"]] == list(range(len(cases)))
    assert [result["status"] for result in data["results"]] == [case[1] for case in cases]
    for result, (order, status, word) in zip(data["results"], cases, strict=True):
        alone = shared.post("/publish", order) if status != 200 else None
        assert ("detail" in result) is (status != 200)
        if alone is not None:
            assert alone.status == status
            assert word in result["detail"]
    shared.wait_for(lambda: head(shared) >= before + 3)
    found = shared.get(f"/messages?topic={topic}/%23&order=asc").json()
    assert [message["payload"] for message in found] == ["first", "second", "third"]


def test_a_line_that_is_no_json_is_a_bad_item(shared: ServiceProcess) -> None:
    """In NDJSON a broken line fails alone; empty lines are passed over, CR LF ends one, too."""
    topic = own_topic()
    good = json.dumps({"topic": topic, "payload": "x", "qos": 1}).encode()
    body = good + b"\r\n\n{broken\n\xff\n" + good + b"\n[]\n" + good
    answer = shared.post("/publish/batch", body, {"Content-Type": "application/ndjson"})
    assert answer.status == 207
    results = answer.json()["data"]["results"]
    assert [result["status"] for result in results] == [200, 422, 422, 200, 422, 200]
    assert "JSON" in results[1]["detail"]
    assert "UTF-8" in results[2]["detail"]


def test_a_batch_has_its_bounds(shared: ServiceProcess) -> None:
    """1,000 messages are possible, 1,001 a 413 that publishes nothing, none at all a 422."""
    topic = own_topic()
    orders = [{"topic": topic, "payload": number, "qos": 1} for number in range(1_001)]
    before = shared.get("/stats").json()["published_total"]
    for as_lines in (False, True):
        answer = batch(shared, orders, as_lines=as_lines)
        assert answer.status == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
    assert shared.get("/stats").json()["published_total"] == before
    answer = batch(shared, orders[:1_000])
    assert (answer.status, answer.json()["data"]["published"]) == (200, 1_000)
    assert shared.get("/stats").json()["published_total"] == before + 1_000
    assert faults(batch(shared, [])) == {"/messages"}
    assert faults(batch(shared, [], as_lines=True)) == {""}
    assert faults(shared.post("/publish/batch", {})) == {"/messages"}
    assert faults(shared.post("/publish/batch", [])) == {""}
    assert faults(shared.post("/publish/batch", {"messages": 5, "more": 1})) == {
        "/messages",
        "/more",
    }
    assert faults(shared.post("/publish/batch", b"{")) == {""}


def test_many_batches_at_once_lose_no_confirmation(shared: ServiceProcess) -> None:
    """Confirmations that come quickly, out of several callers' batches, are all given back."""
    topic = own_topic()
    orders = [{"topic": topic, "payload": number, "qos": 1} for number in range(500)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: batch(shared, orders), range(8)))
        singles = list(pool.map(lambda _: shared.post("/publish", orders[0]), range(200)))
    assert {answer.status for answer in answers + singles} == {200}
    numbers = [
        result["message_id"] for answer in answers for result in answer.json()["data"]["results"]
    ]
    assert len(numbers) == 4_000
    assert all(numbers)


# -- request and reply --------------------------------------------------------------------------


@contextmanager
def responder(
    port: int, topic: str, answer: Callable[[Client, MQTTMessage], None], *, five: bool = True
) -> Iterator[list[MQTTMessage]]:
    """Run a device that does something with each request; the list has the requests."""
    requests: list[MQTTMessage] = []
    ready = threading.Event()

    def on_message(client: Client, _data: Any, message: MQTTMessage) -> None:
        requests.append(message)
        answer(client, message)

    with mqtt_client(port, five=five) as client:
        client.on_message = on_message
        client.on_subscribe = lambda *_: ready.set()
        client.subscribe(topic, 1)
        assert ready.wait(10)
        yield requests


def echo(client: Client, message: MQTTMessage) -> None:
    """Answer as MQTT 5 wants it: on the response topic, with the same correlation data."""
    client.publish(
        message.properties.ResponseTopic,
        b"re: " + message.payload,
        qos=1,
        properties=publish_properties(
            CorrelationData=message.properties.CorrelationData, ContentType="text/plain"
        ),
    )


@pytest.mark.needs_mosquitto
def test_a_request_gets_its_reply(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """An MQTT 5 responder's reply is the answer, with the time that it took."""
    topic = own_topic()
    with responder(shared_broker.port, topic, echo) as requests:
        answer = shared.post("/request", {"topic": topic, "payload": {"do": "identify"}})
        assert answer.status == 200, answer.content
        body = answer.json()
        assert set(body) == {"response", "rtt_ms"}
        assert body["response"]["payload"] == 're: {"do":"identify"}'
        assert body["response"]["topic"] == requests[0].properties.ResponseTopic
        assert body["response"]["properties"]["content_type"] == "text/plain"
        assert 0 < body["rtt_ms"] < 5_000
        assert requests[0].qos == 1
        order = {"topic": topic, "payload": "/wA=", "encoding": "base64", "qos": 0, "timeout": 9.5}
        answer = shared.post("/request", order)
        assert answer.status == 200, answer.content
        assert (answer.json()["response"]["encoding"], requests[1].payload) == ("base64", b"\xff\0")
        assert requests[1].qos == 0
        own = {"topic": topic, "payload": "x", "response_topic": f"{topic}/answers"}
        answer = shared.post("/request", own)
        assert answer.json()["response"]["topic"] == f"{topic}/answers"
        topics = {request.properties.ResponseTopic for request in requests}
        tokens = {request.properties.CorrelationData for request in requests}
        assert len(topics) == len(tokens) == 3, "each request has its own"
    stored = shared.get(f"/messages/{answer.json()['response']['id']}").json()
    assert stored == answer.json()["response"]


@pytest.mark.needs_mosquitto
def test_many_requests_at_once_do_not_mix(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """Requests under way together, on one response topic, too, each get their own reply."""
    topic = own_topic()

    def ask(number: int) -> Any:
        order: dict[str, Any] = {"topic": topic, "payload": number, "timeout": 20}
        if number % 2:
            order["response_topic"] = f"{topic}/answers"
        answer = shared.post("/request", order)
        assert answer.status == 200, answer.content
        return answer.json()["response"]["payload"]

    with responder(shared_broker.port, topic, echo), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(60))) == [f"re: {number}" for number in range(60)]


@pytest.mark.needs_mosquitto
def test_a_reply_to_somebody_else_is_none(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """A message with other correlation data is passed over, and the right one is taken."""
    topic = own_topic()

    def confuse(client: Client, message: MQTTMessage) -> None:
        for data in (b"somebody else", b"", message.properties.CorrelationData + b"x"):
            properties = publish_properties(CorrelationData=data)
            client.publish(message.properties.ResponseTopic, "wrong", 1, properties=properties)
        if message.payload == b"answer":
            echo(client, message)

    with responder(shared_broker.port, topic, confuse):
        answer = shared.post("/request", {"topic": topic, "payload": "answer"})
        assert (answer.status, answer.json()["response"]["payload"]) == (200, "re: answer")
        answer = shared.post("/request", {"topic": topic, "payload": "none", "timeout": 0.5})
        assert answer.status == 504


def in_vain(service: ServiceProcess, order: dict[str, Any], confirmed: bool) -> Answer:
    """Ask what nobody answers. A busy broker may not confirm in time: then it is given more."""
    for timeout in (0.4, 2, 10):
        began = time.monotonic()
        answer = service.post("/request", {**order, "timeout": timeout})
        assert time.monotonic() - began >= timeout
        assert answer.status == 504, answer.content
        assert answer.json()["detail"] == f"no reply came within {timeout} s"
        if answer.json()["request_confirmed"] is confirmed:
            break
    return answer


def test_no_reply_is_a_504(service: ServiceProcess, broker: Any) -> None:
    """When nobody answers in time, the 504 says whether the broker took the request."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a/#")
    wait_until_subscribed(service)
    for qos, confirmed in ((0, False), (1, True), (2, True)):
        answer = in_vain(service, {"topic": "a/b", "payload": "x", "qos": qos}, confirmed)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["request_confirmed"] is confirmed
    assert [entry["topic"] for entry in service.get("/subscriptions").json()] == ["a/#"]


@pytest.mark.needs_mosquitto
def test_what_was_there_before_is_no_reply(service: ServiceProcess, broker: Any) -> None:
    """A retained message on the response topic is older than the request, and not its reply."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a/#")
    wait_until_subscribed(service)
    with mqtt_client(broker.port) as client:
        client.publish("answers/1", "long ago", qos=1, retain=True).wait_for_publish(10)
    order = {"topic": "devices/1", "payload": "x", "response_topic": "answers/1", "timeout": 1}
    answer = service.post("/request", order)
    assert answer.status == 504, answer.content

    def answers(client: Client, _message: MQTTMessage) -> None:
        client.publish("answers/1", "now", qos=1)

    with responder(broker.port, "devices/1", answers):
        answer = service.post("/request", {**order, "timeout": 10})
    assert (answer.status, answer.json()["response"]["payload"]) == (200, "now")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, {"/topic", "/payload"}),
        ({"topic": "a/+", "payload": 1}, {"/topic"}),
        ({"topic": "a", "payload": 1, "timeout": 0}, {"/timeout"}),
        ({"topic": "a", "payload": 1, "timeout": 61, "qos": 3}, {"/timeout", "/qos"}),
        ({"topic": "a", "payload": 1, "response_topic": "b/#"}, {"/response_topic"}),
        ({"topic": "a", "payload": "?", "encoding": "base64"}, {"/payload"}),
        ({"topic": "a", "payload": 1, "properties": {}}, {"/properties"}),
        ({"topic": "a", "payload": 1, "retain": True}, {"/retain"}),
    ],
)
def test_a_wrong_request_is_a_422(
    shared: ServiceProcess, order: dict[str, Any], expected: set[str]
) -> None:
    """What is wrong with a request is named, and nothing is sent."""
    assert faults(shared.post("/request", order)) == expected


def test_too_many_requests_are_a_429(service: ServiceProcess) -> None:
    """Over MAX_PENDING_REQUESTS a caller is told to come again; a place is free afterwards."""
    service.start(ready=True, MAX_PENDING_REQUESTS="2")
    wait_until_subscribed(service)

    def ask(timeout: float) -> Answer:
        order = {"topic": "a", "payload": "x", "timeout": timeout, "response_topic": "b"}
        return service.post("/request", order)

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, 60) for _ in range(2)]
        # Each takes its place before it is published: once both are stored, none is left.
        service.wait_for(lambda: len(service.get("/messages?topic=a").json()) == 2)
        for _ in range(2):
            answer = ask(60)
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["Content-Type"] == "application/problem+json"
        stored = service.get("/messages?topic=a").json()
        for message in stored:
            reply = {"topic": "b", "payload": "enough", "qos": 1}
            known = message.get("properties", {}).get("correlation_data")
            if known:
                reply["properties"] = {"correlation_data": known}
            assert service.post("/publish", reply).status == 200
        assert [one.result().status for one in waiting] == [200, 200]
    assert len(stored) == 2, "what was refused was not sent"
    assert ask(0.1).status == 504


def test_a_reply_with_mqtt_3_1_1(service: ServiceProcess, broker: Any) -> None:
    """On MQTT 3.1.1 a device that knows the response topic answers there, and that is the reply."""
    service.start(ready=True, MQTT_PROTOCOL="3.1.1", MQTT_SUBSCRIPTIONS="status/#")
    wait_until_subscribed(service)

    def answers(client: Client, message: MQTTMessage) -> None:
        client.publish("device/answers", b"re: " + message.payload, qos=1)

    order = {"topic": "device/ask", "payload": "x", "response_topic": "device/answers"}
    with responder(broker.port, "device/ask", answers, five=False) as requests:
        for number in range(3):
            answer = service.post("/request", {**order, "payload": number})
            assert answer.status == 200, answer.content
            assert answer.json()["response"]["payload"] == f"re: {number}"
            assert answer.json()["response"]["topic"] == "device/answers"
        assert len(requests) == 3
    answer = in_vain(service, {"topic": "device/ask", "payload": "x"}, True)
    assert answer.json()["request_confirmed"] is True


def test_without_a_broker_nothing_is_sent(service: ServiceProcess, broker: Any) -> None:
    """When the broker is away, a batch and a request are a 503 at once, for all of it."""
    service.start(ready=True)
    wait_until_subscribed(service)
    broker.stop()
    service.wait_for(lambda: service.get("/health/ready").status == 503)
    orders = [{"topic": "a", "payload": "x", "qos": qos} for qos in (0, 1, 2)]
    for answer in (
        batch(service, orders),
        batch(service, orders, as_lines=True),
        service.post("/request", {"topic": "a", "payload": "x"}),
    ):
        assert answer.status == 503, answer.content
        assert int(answer.headers["Retry-After"]) > 0
        assert "broker" in answer.json()["detail"]
    assert service.get("/stats").json()["published_total"] == 0
    broker.start()
    wait_until_subscribed(service)
    (stored,) = store(service, {"topic": "b", "payload": "works again"})
    assert [message["id"] for message in service.get("/messages").json()] == [stored["id"]]
