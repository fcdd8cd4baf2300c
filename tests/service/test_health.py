"""While the history cannot be written: /health says so, readers go on, and nothing is lost."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.mqtt_client import publish_all
from tests.service.talking import device, history, listen_bare, send, wait_until_subscribed
from tests.service_process import ServiceProcess

DEGRADED = {"type": "status", "mqtt_connected": True, "history": "degraded"}
RECOVERED = {**DEGRADED, "history": "ok"}


@contextmanager
def locked(service: ServiceProcess) -> Iterator[None]:
    """Hold the write lock of the database, as a careless outside program does."""
    stranger = sqlite3.connect(service.database, isolation_level=None)
    try:
        stranger.execute("BEGIN IMMEDIATE")
        yield
        stranger.execute("ROLLBACK")
    finally:
        stranger.close()


@contextmanager
def full_disk(service: ServiceProcess) -> Iterator[None]:
    """Let no file of the service grow beyond what it has, as a full disk does."""
    assert service.process is not None
    files = [service.database, service.database.with_name("history.db-wal")]
    limit = max(one.stat().st_size for one in files)
    assert len(service.log()) + 50_000 < limit, "the log must still have room"
    usual = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (limit, usual[1]))
    try:
        yield
    finally:
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, usual)


# What callers are told, and what SQLite says of it, which is for the log.
WORDS: dict[Any, tuple[str, str]] = {
    locked: ("another program holds the database locked", "database is locked"),
    full_disk: ("the disk fails", "disk I/O error"),
}


@pytest.mark.parametrize("trouble", [locked, full_disk])
def test_a_history_that_cannot_be_written(
    service: ServiceProcess, broker: Any, trouble: Any
) -> None:
    """Meanwhile: degraded with a reason, live with id null; afterwards: all stored, unaided.

    The trouble is an outside program that holds the write lock for longer than the service
    waits, or a disk that is full.
    """
    service.start(ready=True, MAX_HISTORY_SIZE="0")
    wait_until_subscribed(service)
    before = [("a", f"{number} {'x' * 5_000}") for number in range(100)]
    during = [("a", f"during {number} {'x' * 5_000}") for number in range(60)]
    with device(broker) as client:
        publish_all(client, before)
        service.wait_for(lambda: service.get("/health").json()["message_count"] == 100)
        with listen_bare(service) as listener:
            listener.next("welcome")
            with trouble(service):
                for one in during:
                    client.publish(*one, qos=1)
                service.wait_for(lambda: service.get("/health").json()["status"] == "degraded")
                health = service.get("/health")
                assert health.status == 200
                assert health.json()["mqtt_connected"] is True
                (reason,) = health.json()["reasons"]
                words, sqlites = WORDS[trouble]
                assert reason == f"the history cannot be written: {words}"
                assert f"{reason} ({sqlites})" in service.log()
                ready = service.get("/health/ready")
                assert (ready.status, ready.json()["reasons"]) == (503, [reason])
                assert service.get("/health/live").status == 200
                assert listener.next("status") == DEGRADED
                # As many as the broker sends without an acknowledgement: mosquitto 20.
                live = [listener.next("message") for _ in range(20)]
                assert [message["id"] for message in live] == [None] * 20
                assert len(history(service)) == 100
                assert service.get("/stats").json()["total_messages"] == 100
                assert service.get("/topics").json() == ["a"]
            service.wait_for(lambda: service.get("/health").json()["status"] == "healthy")
            assert service.get("/health").json()["reasons"] == []
            assert service.get("/health/ready").status == 200
            service.wait_for(lambda: service.get("/health").json()["message_count"] == 160)
            live += [listener.next("message") for _ in during[20:]]
            publish_all(client, [("a", "after")])
            after = listener.next("message")
            assert (after["payload"], after["id"] is None) == ("after", False)
    assert [(one["topic"], one["payload"]) for one in live] == during
    stored = history(service)
    assert [(one["topic"], one["payload"]) for one in stored] == [*before, *during, ("a", "after")]
    assert after == {"type": "message", **stored[-1]}
    with listen_bare(service, f"?after={stored[99]['id']}") as listener:
        listener.next("welcome")
        replayed = [listener.next("message") for _ in range(61)]
    assert [message["payload"] for message in replayed] == [
        message["payload"] for message in stored[100:]
    ]
    assert service.get("/stats").json()["queue_depth"] == 0


def test_recovery_is_told(service: ServiceProcess) -> None:
    """Readers get a status frame when the history fails and when it works again."""
    service.start(ready=True)
    wait_until_subscribed(service)
    with listen_bare(service, "?topic=none") as listener:
        listener.next("welcome")
        with locked(service):
            service.post("/publish", {"topic": "a", "payload": "x", "qos": 1})
            assert listener.next("status") == DEGRADED
        assert listener.next("status") == RECOVERED
    service.wait_for(lambda: len(history(service)) == 1)


@pytest.mark.needs_mosquitto
def test_what_is_acknowledged_is_stored(service: ServiceProcess, broker: Any) -> None:
    """Killed while the history cannot be written, the service has told the broker of nothing."""
    settings = {"MQTT_CLEAN_SESSION": "false", "MAX_HISTORY_SIZE": "0"}
    service.start(ready=True, **settings)
    wait_until_subscribed(service)
    with device(broker) as client, listen_bare(service) as listener:
        listener.next("welcome")
        with locked(service):
            publish_all(client, [("a", str(number)) for number in range(200)])
            first = [listener.next("message") for _ in range(20)]
            assert [message["id"] for message in first] == [None] * 20
            service.kill()
    service.start(ready=True, **settings)
    service.wait_for(lambda: service.get("/health").json()["message_count"] >= 200)
    service.wait_for(lambda: service.get("/stats").json()["queue_depth"] == 0)
    assert [int(one["payload"]) for one in history(service)] == list(range(200))


def test_subscriptions_that_cannot_be_remembered_are_refused(service: ServiceProcess) -> None:
    """While they cannot be written down, changes are a 503, and nothing has changed."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="a,end")
    wait_until_subscribed(service)
    before = service.get("/subscriptions").json()
    with locked(service):
        for answer in (
            service.post("/subscribe", {"topic": "b", "qos": 1}),
            send(service, "DELETE", "/subscribe/a"),
        ):
            assert answer.status == 503, answer.content
            assert answer.headers["Content-Type"] == "application/problem+json"
    assert service.get("/subscriptions").json() == before
    for topic in ("a", "b", "end"):
        assert service.post("/publish", {"topic": topic, "payload": "", "qos": 1}).status == 200
    service.wait_for(lambda: service.get("/messages?topic=end").json())
    assert [message["topic"] for message in history(service)] == ["a", "end"]
    assert service.post("/subscribe", {"topic": "b", "qos": 1}).status == 200
    assert send(service, "DELETE", "/subscribe/a").status == 200


def test_who_comes_during_the_trouble_misses_nothing(service: ServiceProcess) -> None:
    """A reader that goes on from a position while nothing can be stored gets all that follows."""
    service.start(ready=True)
    wait_until_subscribed(service)

    def publish(payload: str) -> None:
        order = {"topic": "a", "payload": payload, "qos": 1}
        assert service.post("/publish", order).status == 200

    publish("before")
    service.wait_for(lambda: history(service))
    position = history(service)[0]["id"]
    with ExitStack() as stack:
        with locked(service):
            publish("early")
            service.wait_for(lambda: service.get("/health").json()["status"] == "degraded")
            listener = stack.enter_context(listen_bare(service, f"?after={position}"))
            listener.next("welcome")
            publish("late")
        service.wait_for(lambda: len(history(service)) == 3)
        publish("end")
        seen = []
        while not seen or seen[-1] != "end":
            seen.append(listener.next("message")["payload"])
    assert sorted(seen) == ["early", "end", "late"]
    assert seen[-1] == "end"
