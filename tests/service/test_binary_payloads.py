"""Bytes never change on the way, whatever they are."""

from __future__ import annotations

import base64
import sqlite3
from typing import Any

from tests.mqtt_client import publish_all
from tests.service.talking import device, history, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess

PAYLOADS = [
    bytes(range(256)),
    *[bytes((byte,)) for byte in range(256)],
    b"",
    b"\x00",
    b"a\x00b",
    b"\x00" * 1_000,
    b"\xff\xfe\xfd",
    b"\xc3\x28",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbfbom",
    b"\xef\xbf\xbe",
    "ü日本𝄞".encode(),
    "\u2028\u2029\x7f\x85".encode(),
    b'"\\/\b\f\n\r\t',
    b'{"json": [1, 2]}',
    b"QUJD",
    b"\x80" * 70_000,
    b"x" * 70_000,
]


def decoded(message: dict[str, Any]) -> bytes:
    """Return the bytes that a message in JSON stands for, checking the base64 rule."""
    payload = message["payload"]
    if "encoding" not in message:
        return str(payload).encode()
    assert message["encoding"] == "base64"
    found = base64.b64decode(payload, validate=True)
    try:
        found.decode()
    except UnicodeDecodeError:
        return found
    raise AssertionError("base64 is for bytes that are not UTF-8 only")


def test_bytes_from_a_device_come_out_unchanged(service: ServiceProcess, broker: Any) -> None:
    """Bytes published over MQTT are the same in the history, on the WebSocket and in sqlite3."""
    service.start(ready=True)
    wait_until_subscribed(service)
    with listen_bare(service) as listener, device(broker) as client:
        listener.next("welcome")
        publish_all(client, [("a", payload) for payload in PAYLOADS])
        live = [listener.next("message") for _ in PAYLOADS]
    assert [decoded(message) for message in live] == PAYLOADS
    stored = history(service)
    assert [decoded(message) for message in stored] == PAYLOADS
    assert live == [{"type": "message", **message} for message in stored]
    with listen_bare(service, "?since=all&batch=true") as listener:
        listener.next("welcome")
        replayed: list[Any] = []
        while len(replayed) < len(stored):
            replayed += listener.next("messages")["messages"]
    assert replayed == stored
    connection = sqlite3.connect(f"file:{service.database}?mode=ro", uri=True)
    rows = connection.execute("select payload from history order by id").fetchall()
    connection.close()
    found = [row[0] if isinstance(row[0], bytes) else row[0].encode() for row in rows]
    assert found == PAYLOADS
    for (payload,), message in zip(rows, stored, strict=True):
        assert isinstance(payload, bytes) is ("encoding" in message)


def test_base64_over_rest_is_the_bytes_over_mqtt(service: ServiceProcess, broker: Any) -> None:
    """What is published as base64 reaches other MQTT clients and the history as its bytes."""
    service.start(ready=True)
    wait_until_subscribed(service)
    received: list[bytes] = []
    with device(broker) as client:
        client.on_message = lambda _client, _data, message: received.append(message.payload)
        subscribed: list[int] = []
        client.on_subscribe = lambda *_: subscribed.append(1)
        client.subscribe("a", 1)
        service.wait_for(lambda: subscribed)
        for payload in PAYLOADS:
            order = {
                "topic": "a",
                "payload": base64.b64encode(payload).decode(),
                "encoding": "base64",
                "qos": 1,
            }
            assert service.post("/publish", order).status == 200
        service.wait_for(lambda: len(received) == len(PAYLOADS))
    assert received == PAYLOADS
    service.wait_for(lambda: service.get("/health").json()["message_count"] == len(PAYLOADS))
    assert [decoded(message) for message in history(service)] == PAYLOADS


def test_text_over_rest_is_its_utf8_over_mqtt(service: ServiceProcess) -> None:
    """Every text that JSON can hold comes back as it was sent."""
    service.start(ready=True)
    texts = ["", "a\x00b", '"\\/\b\f\n\r\t', "\x01\x1f\x7f\x85", "\u2028", "ü日本𝄞", "\ufeffbom"]
    for text in texts:
        assert service.post("/publish", {"topic": "a", "payload": text, "qos": 1}).status == 200
    service.wait_for(lambda: service.get("/health").json()["message_count"] == len(texts))
    stored = history(service)
    assert [message["payload"] for message in stored] == texts
    assert not [message for message in stored if "encoding" in message]
