"""GET /messages: which messages a question selects, and what is no question."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client
from tests.service.talking import listen_bare
from tests.service_log.asking import faults, ids, own_topic, quoted, store
from tests.service_process import ServiceProcess


def test_filters_are_repeatable_and_a_message_comes_once(shared: ServiceProcess) -> None:
    """With several filters each message that any of them matches comes, and comes once."""
    root = own_topic()
    names = [f"{root}/a", f"{root}/b", f"{root}/c", f"{root}/a", f"{root}/a/x"]
    stored = store(shared, *({"topic": name, "payload": "1"} for name in names))
    query = f"/messages?topic={root}/a&topic={root}/%2B&topic={root}/b&order=asc"
    assert shared.get(query).json() == stored[:4]
    query = f"/messages?topic={root}/b&topic={root}/a/%23"
    assert shared.get(query).json() == [stored[4], stored[3], stored[1], stored[0]]


def test_a_plus_in_a_topic_is_the_wildcard(shared: ServiceProcess) -> None:
    """A plus that stands alone in a level needs no escape; elsewhere it is a space."""
    root = own_topic()
    stored = store(
        shared,
        {"topic": f"{root}/x/t", "payload": "1"},
        {"topic": f"{root}/x y/t", "payload": "2"},
        {"topic": f"{root}/x/u", "payload": "3"},
    )
    assert shared.get(f"/messages?topic={root}/+/t&order=asc").json() == stored[:2]
    assert shared.get(f"/messages?topic={root}/x+y/t").json() == stored[1:2]


def test_qos_and_retain_select(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """`qos` and `retain` select by how a message came to the gateway."""
    root = own_topic()
    stored = store(
        shared,
        {"topic": f"{root}/0", "payload": "x", "qos": 0},
        {"topic": f"{root}/1", "payload": "x", "qos": 1},
        {"topic": f"{root}/2", "payload": "x", "qos": 2},
    )
    query = f"/messages?topic={root}/%23&order=asc"
    assert ids(shared.get(f"{query}&qos=0")) == ids(stored[:1])
    assert ids(shared.get(f"{query}&qos=1")) == ids(stored[1:])
    assert ids(shared.get(f"{query}&retain=false")) == ids(stored)
    assert ids(shared.get(f"{query}&retain=true")) == []


@pytest.mark.needs_mosquitto
def test_retain_selects_replays(service: ServiceProcess, broker: Any) -> None:
    """`retain=true` gives what the broker replayed when the gateway subscribed."""
    with mqtt_client(broker.port) as client:
        client.publish("kept", "old", qos=1, retain=True).wait_for_publish(10)
    service.start(ready=True)
    service.wait_for(lambda: service.get("/messages?topic=kept").json())
    store(service, {"topic": "kept", "payload": "new", "retain": True})
    answer = service.get("/messages?topic=kept&retain=true").json()
    assert [(message["payload"], message["retain"]) for message in answer] == [("old", True)]
    answer = service.get("/messages?topic=kept&retain=false").json()
    assert [(message["payload"], message["retain"]) for message in answer] == [("new", False)]


def test_contains_is_case_sensitive_and_for_texts(shared: ServiceProcess) -> None:
    """`contains` finds a piece of a text payload, letter by letter, and never in binary ones."""
    topic = own_topic()
    binary = base64.b64encode(b"\xffneedle").decode()
    stored = store(
        shared,
        {"topic": topic, "payload": "a needle here"},
        {"topic": topic, "payload": "a Needle here"},
        {"topic": topic, "payload": binary, "encoding": "base64"},
        {"topic": topic, "payload": "100% _x'\" ü日"},
        {"topic": topic, "payload": "behind\x00nothing"},
    )

    def found(text: str) -> list[int]:
        return ids(shared.get(f"/messages?topic={topic}&order=asc&contains={quoted(text)}"))

    assert found("needle") == [stored[0]["id"]]
    assert found("Needle") == [stored[1]["id"]]
    assert found("eedle") == ids(stored[:2])
    assert found("0%") == found("_x'\"") == found("ü日") == [stored[3]["id"]]
    assert found("%") == found("_") == [stored[3]["id"]], "nothing in it is a wildcard"
    assert found("a%") == found("needle_here") == []
    assert found("nothing") == [stored[4]["id"]]
    assert found(binary[:6]) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", {"limit"}),
        ("limit=10001", {"limit"}),
        ("limit=1.5", {"limit"}),
        ("limit=", {"limit"}),
        ("limit=1&limit=1", {"limit"}),
        ("offset=-1", {"offset"}),
        ("topic=", {"topic"}),
        ("topic=a&topic=", {"topic"}),
        ("topic=a%23", {"topic"}),
        ("topic=$share/g/a", {"topic"}),
        ("since=yesterday", {"since"}),
        ("since=24h&since=24h", {"since"}),
        ("until=15x", {"until"}),
        ("since=2026-13-01", {"since"}),
        ("after=x", {"after"}),
        ("after=-1", {"after"}),
        ("before=1.2.3", {"before"}),
        ("before=zzz.5", {"before"}),
        ("order=up", {"order"}),
        ("qos=2", {"qos"}),
        ("retain=yes", {"retain"}),
        ("retain=1", {"retain"}),
        ("contains=", {"contains"}),
        ("format=xml", {"format"}),
        ("colour=red", {"colour"}),
        ("limit=0&qos=9&colour=red", {"limit", "qos", "colour"}),
        ("topic=%FF", {"topic"}),
    ],
)
def test_a_wrong_query_is_a_422(shared: ServiceProcess, query: str, expected: set[str]) -> None:
    """Whatever is wrong in the query is named, all of it at once; nothing is ignored."""
    assert faults(shared.get(f"/messages?{query}")) == expected


def test_a_time_to_come_selects_nothing_yet(shared: ServiceProcess) -> None:
    """`since` in the future is an empty answer, `until` in the future is no bound; a chart of the
    future is a 422 that names `since`; a stream that begins there begins at the head."""
    store(shared, {"topic": "future/a", "payload": 1})
    for later in ("2099-01-01", "4102444800"):
        selected = f"topic=future/a&since={later}"
        assert shared.get(f"/messages?{selected}").json() == []
        assert shared.get(f"/messages?{selected}&order=asc").json() == []
        assert shared.get(f"/export?{selected}").content == b""
        assert shared.get(f"/messages?topic=future/a&until={later}").json()
        assert faults(shared.get(f"/series?{selected}")) == {"since"}
        assert faults(shared.get(f"/series?{selected}&until=2000-01-01")) == {"until"}
        with listen_bare(shared, f"?{selected}") as listener:
            assert listener.next("welcome")
            store(shared, {"topic": "future/a", "payload": later})
            assert listener.next("message")["payload"] == later
