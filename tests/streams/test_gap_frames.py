"""What makes the log honest: gap frames, status frames, and messages that could not be stored."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any

import pytest

from tests.mqtt_client import mqtt_client, publish_all
from tests.service.talking import BareListener, history, listen_bare, wait_until_subscribed
from tests.service_log.asking import epoch, payloads, store
from tests.service_process import ServiceProcess
from tests.streams.reading import event_stream, until

DEGRADED = {"type": "status", "mqtt_connected": True, "history": "degraded"}
HEALTHY = {"type": "status", "mqtt_connected": True, "history": "ok"}
AWAY = {"type": "status", "mqtt_connected": False, "history": "ok"}
# What mosquitto sends to one client before an acknowledgement.
BROKER_WINDOW = 20


def started(service: ServiceProcess, **variables: str) -> None:
    """Start the service and wait until it is subscribed."""
    service.start(ready=True, MQTT_BROKER_STATS="off", **variables)
    wait_until_subscribed(service)


@contextmanager
def locked(service: ServiceProcess) -> Iterator[None]:
    """An outside program holds the write lock."""
    with closing(sqlite3.connect(service.database, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            stranger.execute("ROLLBACK")


def frames_until(listener: BareListener, payload: str) -> list[dict[str, Any]]:
    """Return the frames up to the message with this payload."""
    found: list[dict[str, Any]] = []
    while not found or found[-1].get("payload") != payload:
        opcode, content = listener.frame()
        if opcode == 1:
            found.append(json.loads(content))
    return found


@pytest.mark.parametrize("way", ["ws", "sse"])
def test_a_pruned_gap_says_exactly_what_is_missing(service: ServiceProcess, way: str) -> None:
    """From the position asked for to the oldest that is left; then everything that is left."""
    started(service, MAX_HISTORY_SIZE="5")
    first = payloads(service, "a", *map(str, range(5)))
    payloads(service, "b", *map(str, range(3)))
    left = history(service)
    after = first[0]["id"]
    expected = {"type": "gap", "reason": "pruned", "after": after, "next": left[0]["id"]}
    if way == "ws":
        with listen_bare(service, f"?after={after}") as listener:
            listener.next("welcome")
            assert listener.next("gap") == expected
            assert [listener.next("message")["id"] for _ in left] == [one["id"] for one in left]
    else:
        with event_stream(service, f"?after={after}") as stream:
            stream.next("welcome")
            assert stream.next("gap").data == expected
            assert [stream.next("message").data["id"] for _ in left] == [one["id"] for one in left]


def test_no_gap_where_nothing_is_missing(service: ServiceProcess) -> None:
    """At the very edge of what was pruned, over a purged hole, and with `since`, no gap is told."""
    started(service, MAX_HISTORY_SIZE="5")
    stored = payloads(service, "a", *map(str, range(4)))
    stored += payloads(service, "b", *map(str, range(4)))
    edge = stored[2]["id"]
    with listen_bare(service, f"?after={edge}") as listener:
        listener.next("welcome")
        assert [listener.next("message")["id"] for _ in range(5)] == [
            one["id"] for one in stored[3:]
        ]
    with listen_bare(service, "?since=all") as listener:
        listener.next("welcome")
        assert listener.next("message")["id"] == stored[3]["id"]
    purged = service.request("DELETE", f"/messages?before={stored[5]['id']}")
    assert purged.json()["data"] == {"deleted": 2}
    with listen_bare(service, f"?after={edge}") as listener:
        listener.next("welcome")
        assert listener.next("message")["id"] == stored[5]["id"]


def test_a_live_reader_never_sees_a_gap(service: ServiceProcess) -> None:
    """A log of one message prunes at once; a reader that is live gets them all the same."""
    started(service, MAX_HISTORY_SIZE="1")
    with listen_bare(service) as listener:
        listener.next("welcome")
        orders = [{"topic": "a", "payload": str(number), "qos": 1} for number in range(300)]
        answer = service.post("/publish/batch", {"messages": orders})
        assert answer.status == 200
        seen = [listener.next("message")["payload"] for _ in range(300)]
    assert seen == [str(number) for number in range(300)]


def test_an_empty_log_says_what_is_gone_too(service: ServiceProcess) -> None:
    """When retention has taken everything, the gap ends where the next message will be."""
    started(service)
    stored = payloads(service, "a", "0", "1", "2")
    assert service.terminate() == 0
    with closing(sqlite3.connect(service.database, isolation_level=None)) as outside:
        # Two hours have passed. (After more than a day the clock would be doubted first.)
        outside.execute("UPDATE message SET timestamp_us = timestamp_us - 7200000000")
        outside.execute("UPDATE minute SET minute = minute - 120")
    started(service, MESSAGE_RETENTION_HOURS="1")
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 0)
    with listen_bare(service, f"?after={stored[0]['id']}") as listener:
        listener.next("welcome")
        assert listener.next("gap") == {
            "type": "gap",
            "reason": "pruned",
            "after": stored[0]["id"],
            "next": stored[-1]["id"] + 1,
        }
        (new,) = payloads(service, "a", "new")
        assert listener.next("message")["id"] == new["id"] >= stored[-1]["id"] + 1


def test_positions_of_another_log_and_from_the_future(service: ServiceProcess) -> None:
    """Of another log: an epoch gap and then everything. Ahead of this log: then what comes."""
    started(service)
    stored = payloads(service, "a", "0", "1")
    name = epoch(service)
    for query, reason, after, following in (
        ("?after=zother.1", "epoch", "zother.1", stored[0]["id"]),
        (f"?after={name}.99999", "ahead", 99999, stored[1]["id"] + 1),
        ("?after=99999", "ahead", 99999, stored[1]["id"] + 1),
    ):
        expected = {"type": "gap", "reason": reason, "after": after, "next": following}
        with listen_bare(service, query) as listener:
            listener.next("welcome")
            assert listener.next("gap") == expected
            if reason == "epoch":
                assert [listener.next("message")["payload"] for _ in range(2)] == ["0", "1"]
        with event_stream(service, query) as stream:
            stream.next("welcome")
            gap = stream.next("gap")
            assert gap.data == expected
            assert gap.id == f"{name}.{following - 1}"


def test_a_new_database_is_a_new_epoch(service: ServiceProcess) -> None:
    """After the file was lost a client that resumes is told that its position means nothing."""
    started(service)
    (stored,) = payloads(service, "a", "0")
    position = f"{epoch(service)}.{stored['id']}"
    assert service.terminate() == 0
    for file in service.directory.glob("history.db*"):
        file.unlink()
    started(service)
    payloads(service, "a", "1")
    with event_stream(service, headers={"Last-Event-ID": position}) as stream:
        stream.next("welcome")
        gap = stream.next("gap").data
        assert (gap["reason"], gap["after"]) == ("epoch", position)
        assert stream.next("message").data["payload"] == "1"


def test_the_broker_going_and_coming_is_told(service: ServiceProcess, broker: Any) -> None:
    """WebSocket and SSE readers, whatever their filter, get a status frame for each change."""
    started(service)
    with (
        listen_bare(service, "?topic=none") as listener,
        listen_bare(service, "?batch=true&conflate=50") as other,
        event_stream(service, "?topic=none") as stream,
    ):
        listener.next("welcome")
        other.next("welcome")
        stream.next("welcome")
        broker.stop()
        assert listener.next("status") == AWAY
        assert other.next("status") == AWAY
        event = stream.next("status")
        assert (event.data, event.id) == (AWAY, None)
        broker.start()
        assert listener.next("status") == HEALTHY
        assert other.next("status") == HEALTHY
        assert stream.next("status").data == HEALTHY


def test_a_reader_that_was_behind_learns_the_state(service: ServiceProcess, broker: Any) -> None:
    """What changed while a reader was fed from the log it is told once it has caught up."""
    started(service, WS_MAX_BUFFER_BYTES="65536")
    with listen_bare(service, receive_buffer=4_096) as slow:
        slow.next("welcome")
        with mqtt_client(broker.port) as client:
            publish_all(client, [("a", f"{number} {'x' * 4_000}") for number in range(2_000)])
        service.wait_for(lambda: service.get("/health").json()["message_count"] == 2_000)
        until(lambda: service.get("/stats").json()["readers_behind"] == 1, "it is behind")
        broker.stop()
        service.wait_for(lambda: not service.get("/health").json()["mqtt_connected"])
        seen: list[int] = []
        while len(seen) < 2_000:
            frame = json.loads(slow.frame()[1])
            assert frame["type"] == "message", (frame, len(seen))
            seen.append(int(frame["payload"].split()[0]))
        assert seen == list(range(2_000))
        assert slow.next("status") == AWAY


def test_what_cannot_be_stored_is_shown_without_a_position(
    service: ServiceProcess, broker: Any
) -> None:
    """While the database is locked messages are live with id null, as events without an id line;
    afterwards they are stored, and not shown again to who has seen them."""
    started(service)
    (before,) = payloads(service, "a", "before")
    during = [("a", f"during {number}") for number in range(BROKER_WINDOW)]
    with (
        listen_bare(service) as listener,
        event_stream(service) as stream,
        mqtt_client(broker.port) as client,
    ):
        listener.next("welcome")
        stream.next("welcome")
        with locked(service):
            for one in during:
                client.publish(*one, qos=1)
            assert listener.next("status") == DEGRADED
            assert stream.next("status").data == DEGRADED
            for _, payload in during:
                frame = listener.next("message")
                assert (frame["id"], frame["payload"]) == (None, payload)
                event = stream.next("message")
                assert list(event.fields) == ["event", "data"], "no position to go on from"
                assert event.data == frame
            assert history(service) == [before]
        assert listener.next("status") == HEALTHY
        assert stream.next("status").data == HEALTHY
        (after,) = payloads(service, "a", "after")
        assert listener.next("message") == {"type": "message", **after}
        event = stream.next("message")
        assert event.data == {"type": "message", **after}
        assert event.id == f"{epoch(service)}.{after['id']}"
    stored = history(service)
    expected = ["before", *(payload for _, payload in during), "after"]
    assert [one["payload"] for one in stored] == expected
    with listen_bare(service, f"?after={before['id']}") as listener:
        listener.next("welcome")
        assert [listener.next("message")["payload"] for _ in expected[1:]] == expected[1:]


def test_who_resumes_meanwhile_gets_what_is_stored_later(
    service: ServiceProcess, broker: Any
) -> None:
    """A reader that goes on from a position while nothing can be stored has not seen what was
    shown before it came: it gets that once it is stored, and nothing twice."""
    started(service)
    (before,) = payloads(service, "a", "before")
    with (
        ExitStack() as lock,
        mqtt_client(broker.port) as client,
        listen_bare(service) as present,
    ):
        present.next("welcome")
        lock.enter_context(locked(service))
        for number in range(5):
            client.publish("a", f"unseen {number}", qos=1)
        assert present.next("status") == DEGRADED
        unseen = [present.next("message")["payload"] for _ in range(5)]
        position = f"{epoch(service)}.{before['id']}"
        with (
            listen_bare(service, f"?after={before['id']}") as listener,
            event_stream(service, headers={"Last-Event-ID": position}) as stream,
        ):
            listener.next("welcome")
            stream.next("welcome")
            client.publish("a", "seen by all", qos=1)
            assert present.next("message")["payload"] == "seen by all"
            assert listener.next("message")["payload"] == "seen by all"
            assert stream.next("message").data["payload"] == "seen by all"
            lock.close()
            assert present.next("status") == HEALTHY
            (after,) = payloads(service, "a", "after")
            stored = history(service)
            assert [one["payload"] for one in stored] == [
                *("before", *unseen, "seen by all", "after")
            ]
            owed = [*stored[1:6], after]
            assert present.next("message")["id"] == after["id"], "not again to who has seen it"
            found = frames_until(listener, "after")
            assert [one for one in found if one["type"] == "message"] == [
                {"type": "message", **one} for one in owed
            ]
            for one in owed:
                event = stream.next("message")
                assert event.data == {"type": "message", **one}
                assert event.id == f"{epoch(service)}.{one['id']}"


def test_who_falls_behind_meanwhile_loses_nothing(service: ServiceProcess, broker: Any) -> None:
    """A reader that does not read while nothing can be stored gets what it missed by its id, once
    it can be stored."""
    started(service, WS_MAX_BUFFER_BYTES="4096")
    size = 300_000
    with (
        ExitStack() as lock,
        mqtt_client(broker.port) as client,
        listen_bare(service) as present,
        listen_bare(service, receive_buffer=4_096) as slow,
    ):
        present.next("welcome")
        slow.next("welcome")
        lock.enter_context(locked(service))
        for number in range(BROKER_WINDOW):
            client.publish("a", f"{number} ".ljust(size, "x"), qos=1)
        assert present.next("status") == DEGRADED
        for _ in range(BROKER_WINDOW):
            assert present.next("message")["id"] is None
        stats = service.get("/stats").json()
        assert stats["readers_fell_behind_total"] == 1
        # It reads what was on its way, is live again, and then the history works again.
        seen: list[tuple[int | None, int]] = []

        def read() -> None:
            frame = json.loads(slow.frame()[1])
            if frame["type"] == "message":
                seen.append((frame["id"], int(frame["payload"].split(" ", 1)[0])))

        slow.socket.settimeout(0.2)

        def has_caught_up() -> bool:
            with suppress(TimeoutError):
                while True:
                    read()
            behind: int = service.get("/stats").json()["readers_behind"]
            return behind == 0

        until(has_caught_up, "it has caught up")
        assert 0 < len(seen) < BROKER_WINDOW
        lock.close()
        slow.socket.settimeout(10)
        while not seen or seen[-1][1] != BROKER_WINDOW - 1:
            read()
    assert {number for _, number in seen} == set(range(BROKER_WINDOW))
    ids = [one for one, _ in seen if one is not None]
    assert ids == sorted(set(ids))


def test_a_conflated_gap_does_not_pass_over_what_is_kept(service: ServiceProcess) -> None:
    """A conflated reader that is cut after a gap frame, before the values that were kept back came,
    does not lose them: the gap has no position then."""
    started(service, WS_MAX_BUFFER_BYTES="4096")
    stored = store(service, {"topic": "a", "payload": "0"}, {"topic": "b", "payload": "0"})
    assert service.terminate() == 0
    started(service, MAX_HISTORY_SIZE="1")
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 1)
    with event_stream(service, f"?after={stored[0]['id'] - 1}&conflate=50") as stream:
        stream.next("welcome")
        gap = stream.next("gap")
        assert gap.data["next"] == stored[1]["id"]
        assert gap.id == f"{epoch(service)}.{stored[1]['id'] - 1}"
        message = stream.next("message")
        assert message.id == f"{epoch(service)}.{stored[1]['id']}"
        assert message.data == {"type": "message", **stored[1], "skipped": 0}
