"""MAX_HISTORY_SIZE holds at every moment, and who comes too late is told."""

from __future__ import annotations

import threading
from typing import Any

from tests.mqtt_client import publish_all
from tests.service.talking import device, history, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess

CAP = 1_000
LOAD = 15_000


def test_no_answer_ever_shows_more_than_the_cap(service: ServiceProcess, broker: Any) -> None:
    """With MAX_HISTORY_SIZE=1000 no answer counts or lists more, while messages pour in."""
    service.start(ready=True, MAX_HISTORY_SIZE=str(CAP))
    wait_until_subscribed(service)

    asked_enough, poured = threading.Event(), [0]

    def pour() -> None:
        with device(broker) as client:
            while poured[0] < LOAD or not asked_enough.is_set():
                numbers = range(poured[0], poured[0] + 1_000)
                publish_all(client, [(f"t{number % 13}", str(number)) for number in numbers])
                poured[0] += 1_000

    pouring = threading.Thread(target=pour)
    pouring.start()
    rounds = 0
    try:
        while pouring.is_alive():
            rounds += 1
            if rounds >= 10:
                asked_enough.set()
            messages = service.get("/messages?limit=10000").json()
            assert len(messages) <= CAP
            assert len(service.get("/messages?limit=10000&topic=%2B").json()) <= CAP
            assert len(service.get("/messages?limit=10000&order=asc").json()) <= CAP
            stats = service.get("/stats").json()
            assert stats["total_messages"] <= CAP
            assert sum(stats["topic_counts"].values()) <= CAP
            assert stats["recent_messages"] <= CAP
            assert service.get("/health").json()["message_count"] <= CAP
            assert len(service.get("/topics").json()) <= 13
    finally:
        asked_enough.set()
        pouring.join()
    (count,) = poured
    service.wait_for(lambda: service.get("/stats").json()["stored_total"] == count)
    stored = history(service)
    assert [int(message["payload"]) for message in stored] == list(range(count - CAP, count))
    stats = service.get("/stats").json()
    assert stats["total_messages"] == sum(stats["topic_counts"].values()) == CAP
    assert stats["unique_topics"] == 13


def test_a_lowered_cap_holds_from_the_start(service: ServiceProcess, broker: Any) -> None:
    """A history that is larger than a lowered MAX_HISTORY_SIZE is cut before the first answer."""
    service.start(ready=True, MAX_HISTORY_SIZE="0")
    wait_until_subscribed(service)
    with device(broker) as client:
        publish_all(client, [("t", str(number)) for number in range(3_000)])
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 3_000)
    assert service.terminate() == 0
    service.start(MAX_HISTORY_SIZE="100")
    assert service.get("/stats").json()["topic_counts"] == {"t": 100}
    assert [int(message["payload"]) for message in history(service)] == list(range(2_900, 3_000))


def test_a_topic_without_rows_is_gone(service: ServiceProcess, broker: Any) -> None:
    """A topic whose last message was pruned is no longer listed or counted."""
    service.start(ready=True, MAX_HISTORY_SIZE="10")
    wait_until_subscribed(service)
    with device(broker) as client:
        publish_all(client, [("early", "x"), *[("late", str(number)) for number in range(10)]])
    service.wait_for(lambda: service.get("/stats").json()["stored_total"] == 11)
    assert service.get("/topics").json() == ["late"]
    assert service.get("/messages?topic=early").json() == []
    stats = service.get("/stats").json()
    assert (stats["unique_topics"], stats["topic_counts"]) == (1, {"late": 10})


def test_who_stopped_before_the_pruned_part_is_told(service: ServiceProcess, broker: Any) -> None:
    """A reader that goes on at a position that is gone gets a gap frame, then what is left."""
    service.start(ready=True, MAX_HISTORY_SIZE="10")
    wait_until_subscribed(service)
    with device(broker) as client:
        publish_all(client, [("t", str(number)) for number in range(50)])
    service.wait_for(lambda: service.get("/stats").json()["stored_total"] == 50)
    stored = history(service)
    first = stored[0]["id"] - 40
    with listen_bare(service, f"?after={first}") as listener:
        listener.next("welcome")
        assert listener.next("gap") == {
            "type": "gap",
            "reason": "pruned",
            "after": first,
            "next": stored[0]["id"],
        }
        assert [listener.next("message")["id"] for _ in range(10)] == [
            message["id"] for message in stored
        ]
    with listen_bare(service, "?since=all") as listener:
        listener.next("welcome")
        assert listener.next("message")["id"] == stored[0]["id"]
