"""GET /metrics: what Prometheus reads."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.mosquitto import Mosquitto
from tests.mqtt_client import mqtt_client, publish_all
from tests.service.talking import listen_bare, wait_until_subscribed
from tests.service_log.asking import events, faults, store
from tests.service_process import ROOT, ServiceProcess


def scrape(service: ServiceProcess) -> dict[str, float]:
    """Return sample -> value, having checked the form of the whole."""
    answer = service.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = answer.content.decode()
    assert text.endswith("\n")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        assert family.name.startswith("mqtt_api_")
        assert family.type in ("counter", "gauge", "histogram")
        assert family.documentation
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter"), sample.name
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in found, "each sample once"
            found[key.removeprefix("mqtt_api_")] = sample.value
    return found


def test_the_counters_move(service: ServiceProcess, broker: object) -> None:
    """Counters count what happens, gauges follow what is, and both agree with /stats."""
    service.start(ready=True)
    wait_until_subscribed(service)
    first = scrape(service)
    assert (first["broker_connected"], first["history_writable"]) == (1, 1)
    assert (first["history_messages"], first["readers"], first["published_total"]) == (0, 0, 0)
    store(service, *({"topic": "a", "payload": number} for number in range(7)))
    with mqtt_client(broker.port) as client:  # type: ignore[attr-defined]
        publish_all(client, [("b", "x")] * 5)
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 12)
    with listen_bare(service) as listener, events(service):
        listener.next("welcome")
        second = scrape(service)
        assert second["readers"] == 2
    for name in ("received_total", "stored_total"):
        assert second[name] - first[name] == 12, name
    assert second["published_total"] == 7
    assert (second["history_messages"], second["queue_messages"]) == (12, 0)
    assert second["uptime_seconds"] > first["uptime_seconds"]
    assert second["database_bytes"] > 0
    service.wait_for(lambda: scrape(service)["readers"] == 0)
    assert service.request("DELETE", "/messages?topic=b").json()["data"] == {"deleted": 5}
    third, stats = scrape(service), service.get("/stats").json()
    assert (third["history_messages"], third["stored_total"]) == (7, 12)
    for name in ("received_total", "stored_total", "published_total"):
        assert stats[name] == third[name], name
    assert stats["total_messages"] == third["history_messages"]
    broker.stop()  # type: ignore[attr-defined]
    service.wait_for(lambda: scrape(service)["broker_connected"] == 0)


@pytest.mark.needs_mosquitto
def test_what_is_not_stored_is_counted_by_cause(service: ServiceProcess, broker: object) -> None:
    """A second copy of a message, for an overlapping filter, is counted and not stored."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a/+,+/b")
    wait_until_subscribed(service)
    store(service, {"topic": "a/b", "payload": "x"}, {"topic": "a/c", "payload": "x"})
    service.wait_for(lambda: scrape(service).get("dropped_total{cause=extra_copy}") == 1)
    found = scrape(service)
    assert (found["received_total"], found["stored_total"]) == (3, 2)
    assert service.get("/stats").json()["dropped_total"] == {"extra_copy": 1}


# What the tests of a metric's own subject move, since it takes more than a minute or a crowd.
MOVED_IN = {
    "readers_fell_behind_total": "tests/streams/test_slow_readers.py",
    "readers_behind": "tests/streams/test_slow_readers.py",
    "connections_displaced_total": "tests/guarded/test_door.py",
    "connections_max": "tests/guarded/test_door.py",
    "anteroom_displaced_total": "tests/guarded/test_door.py",
    "anteroom": "tests/guarded/test_door.py",
    "connections_refused_total": "tests/gateway/test_lobby.py:refused_total",
    "last_prune_timestamp_seconds": "tests/gateway/test_recorder.py:last_prune_us",
    "loop_lag_seconds": "tests/gateway/test_liveness.py:lag_s",
    "failures_total": "tests/reliability/test_process_exceptions.py",
    "subscriptions_refused": "tests/operations/test_first_day.py",
}
# True of the whole life of a process.
CONSTANT = {"build_info", "process_start_time_seconds", "process_max_fds"}


@pytest.mark.needs_mosquitto
def test_each_metric_moves(service: ServiceProcess, broker: Mosquitto) -> None:
    """Everything that is measured has changed after a day's events in small: messages, a second
    copy, retention, a reader, a database that is locked, a broker that leaves."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a/+,+/b", MAX_HISTORY_SIZE="5")
    wait_until_subscribed(service)
    first, moved = scrape(service), set[str]()

    def look() -> dict[str, float]:
        now = scrape(service)
        moved.update(_family(key) for key, value in now.items() if first.get(key) != value)
        return now

    batch = [{"topic": f"a/{number % 2}b", "payload": number} for number in range(9)]
    assert service.post("/publish/batch", {"messages": batch}).status == 200
    service.post("/subscribe", {"topic": "another/one"})
    with listen_bare(service) as listener, mqtt_client(broker.port) as client:
        listener.next("welcome")
        publish_all(client, [("a/b", "x" * 900_000)] * 6)
        service.wait_for(lambda: look()["pruned_total"] > 0)
        look()
        with closing(sqlite3.connect(service.database, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            client.publish("a/b", "later", 1)
            service.wait_for(lambda: look()["history_writable"] == 0)
            assert look()["queue_messages"] > 0
            stranger.execute("ROLLBACK")
        service.wait_for(lambda: look()["history_writable"] == 1)
    broker.stop()
    service.wait_for(lambda: look()["broker_connected"] == 0)
    everything = {_family(key) for key in first}
    assert everything - moved - CONSTANT <= set(MOVED_IN), "these stood still"
    for name, place in MOVED_IN.items():
        file, _, word = place.partition(":")
        assert name in everything
        assert (word or name) in (ROOT / file).read_text(encoding="utf-8"), f"{name} in {file}"


def _family(key: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", key.partition("{")[0])


def test_a_scrape_takes_no_parameters(shared: ServiceProcess) -> None:
    """An unknown parameter is a 422 here, too, and HEAD answers as GET does."""
    assert faults(shared.get("/metrics?name=x")) == {"name"}
    answer = shared.request("HEAD", "/metrics")
    assert (answer.status, answer.content) == (200, b"")
