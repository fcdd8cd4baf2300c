"""Topics that only some keys may see, the callers, and what must never show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paho.mqtt.client import Client

from handlers.keyring import SCOPES
from tests.guarded.asking import Launch, ask, bearer, key_of, write_keys
from tests.mqtt_client import mqtt_client, publish_all
from tests.service_process import ServiceProcess

# Words that nobody without the right may ever see; callers ask for `hidden/...` without them.
SECRET_TOPIC = "hidden/vault7f3a/level"

SECRET_PAYLOAD = "classified9b1c"

OPEN_TOPIC = "open/press/level"

FORBIDDEN = (b"vault7f3a", b"classified9b1c", b"Y2xhc3NpZmllZD")

NARROW = {"read": ["open/#"], "publish": ["open/#"]}

CALLERS = {
    **{scope: {"scopes": [scope]} for scope in SCOPES},
    "everything": {"scopes": list(SCOPES)},
    "expired": {"scopes": list(SCOPES), "expires": "2020-01-01"},
    "narrow": {"scopes": list(SCOPES), **NARROW},
    "reader": {"scopes": ["read", "subscribe"], **NARROW},
    "blind": {"scopes": ["read"], "read": ["none"]},
}


def reply(client: Client, _data: object, message: Any) -> None:
    """Answer a request, as a device would."""
    where = getattr(message.properties, "ResponseTopic", None)
    if where:
        client.publish(where, "here")


def all_messages(service: ServiceProcess) -> list[dict[str, Any]]:
    """Return the history, as a key sees it that may see everything."""
    found = ask(service, "GET", "/messages?limit=10000", headers=bearer(key_of("everything")))
    assert found.status == 200
    listed: list[dict[str, Any]] = found.json()
    return listed


def leaks(content: bytes) -> list[bytes]:
    """Return what shows of what must not."""
    return [word for word in FORBIDDEN if word in content]


def publish_both(service: ServiceProcess, mark: str) -> None:
    """Publish a secret message, and then an open one that ends the waiting."""
    for topic, payload in ((SECRET_TOPIC, SECRET_PAYLOAD), ("open/end", mark)):
        body = {"topic": topic, "payload": payload, "qos": 1}
        answer = ask(service, "POST", "/publish", body, bearer(key_of("everything")))
        assert answer.status == 200


@contextmanager
def service_with_secrets(launch: Launch) -> Iterator[ServiceProcess]:
    """A service that wants the keys of CALLERS, with a history of open and of secret topics."""
    directory = launch.new_directory()
    write_keys(directory / "keys.json", **CALLERS)
    started = launch(
        headers=bearer(key_of("everything")),
        directory=directory,
        API_KEY_REQUIRED="true",
        API_KEYS_FILE=str(directory / "keys.json"),
        TRUSTED_PROXIES="127.0.0.1",
        RATE_LIMIT_ENABLED="false",
    )
    everything = bearer(key_of("everything"))
    with mqtt_client(launch.broker.port) as client:
        client.on_message = reply
        client.subscribe("+/+/+/ask", qos=1)
        client.subscribe("+/+/ask", qos=1)
        pairs = []
        for number in range(5):
            pairs += [(OPEN_TOPIC, str(number)), (SECRET_TOPIC, SECRET_PAYLOAD)]
        publish_all(client, [*pairs, (f"{SECRET_TOPIC}/binary", b"\xff" + SECRET_PAYLOAD.encode())])
        held = {"topic": "hidden/vault7f3a/#"}
        assert ask(started, "POST", "/subscribe", held, everything).status == 200
        started.wait_for(lambda: len(all_messages(started)) >= 11)
        yield started
