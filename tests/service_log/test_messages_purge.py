"""DELETE /messages: what is removed, and what that leaves."""

from __future__ import annotations

from tests.service.talking import listen_bare, wait_until_subscribed
from tests.service_log.asking import epoch, faults, head, ids, own_topic, payloads, store
from tests.service_process import ServiceProcess


def deleted(service: ServiceProcess, query: str) -> int:
    """Purge; return how many messages went."""
    answer = service.request("DELETE", f"/messages?{query}")
    assert answer.status == 200, answer.content
    assert answer.json()["success"] is True
    assert set(answer.json()["data"]) == {"deleted"}
    return int(answer.json()["data"]["deleted"])


def test_a_purge_needs_to_be_told_what(shared: ServiceProcess) -> None:
    """DELETE without a choice, or with a wrong one, is a 422 and removes nothing."""
    payloads(shared, own_topic(), 1)
    count = shared.get("/health").json()["message_count"]
    assert faults(shared.request("DELETE", "/messages")) == {"topic"}
    assert faults(shared.request("DELETE", "/messages?topic=")) == {"topic"}
    assert faults(shared.request("DELETE", "/messages?before=x")) == {"before"}
    assert faults(shared.request("DELETE", "/messages?before=zzzz.5")) == {"before"}
    assert faults(shared.request("DELETE", "/messages?until=then&limit=5")) == {"until", "limit"}
    assert faults(shared.request("DELETE", "/messages?since=24h")) == {"since"}
    assert shared.get("/health").json()["message_count"] == count


def test_a_purge_by_topic_leaves_no_trace(shared: ServiceProcess) -> None:
    """After a purge of a topic its rows, its name and its last value are gone; others stay."""
    root = own_topic()
    stored = store(
        shared,
        *({"topic": f"{root}/{name}", "payload": name} for name in ("a", "b", "a", "c/d", "a")),
    )
    before = shared.get("/health").json()["message_count"]
    assert shared.get(f"/topics/{root}/a").status == 200
    assert deleted(shared, f"topic={root}/a") == 3
    assert shared.get("/health").json()["message_count"] == before - 3
    assert shared.get("/stats").json()["total_messages"] == before - 3
    left = [stored[1], stored[3]]
    assert shared.get(f"/messages?topic={root}/%23&order=asc").json() == left
    assert shared.get(f"/topics?prefix={root}").json() == [f"{root}/b", f"{root}/c/d"]
    assert shared.get(f"/topics/{root}/a").status == 404
    assert shared.get(f"/messages/{stored[0]['id']}").status == 404
    assert deleted(shared, f"topic={root}/a") == 0
    (again,) = payloads(shared, f"{root}/a", "again")
    (details,) = shared.get(f"/topics?details=true&topic={root}/a").json()
    assert (details["message_count"], details["last_message"]) == (1, again)
    assert deleted(shared, f"topic={root}/+&topic={root}/%23") == 3
    assert shared.get(f"/topics?prefix={root}").json() == []


def test_a_hole_is_no_gap(shared: ServiceProcess) -> None:
    """What a purge removed is not reported as a gap, neither in pages nor in streams."""
    root = own_topic()
    orders = [{"topic": f"{root}/{number % 3}", "payload": number} for number in range(9)]
    stored = store(shared, *orders)
    assert deleted(shared, f"topic={root}/0") == 3
    left = [message for message in stored if message["topic"] != f"{root}/0"]
    answer = shared.get(f"/messages?after={stored[0]['id']}")
    assert (answer.json(), answer.headers["X-Log-Gap"]) == (left, None)
    with listen_bare(shared, f"?after={stored[0]['id']}") as listener:
        listener.next("welcome")
        assert [listener.next("message") for _ in left] == [
            {"type": "message", **message} for message in left
        ]


def test_a_purge_by_position_and_time(service: ServiceProcess) -> None:
    """`before` is exclusive, `until` is exclusive, and together with a topic all must hold."""
    service.start(ready=True)
    wait_until_subscribed(service)
    stored = store(
        service, *({"topic": f"t/{number % 2}", "payload": number} for number in range(10))
    )
    assert deleted(service, f"before={stored[2]['id']}") == 2
    assert ids(service.get("/messages?order=asc")) == ids(stored[2:])
    assert service.get("/messages?after=0").headers["X-Log-Gap"] is None, "a hole is no gap"
    assert deleted(service, f"before={epoch(service)}.{stored[6]['id']}&topic=t/1") == 2
    left = [stored[place] for place in (2, 4, 6, 7, 8, 9)]
    assert ids(service.get("/messages?order=asc")) == ids(left)
    until = stored[7]["timestamp"]
    gone = [message for message in left if message["timestamp"] < until]
    assert deleted(service, f"until={until}") == len(gone)
    left = [message for message in left if message not in gone]
    assert ids(service.get("/messages?order=asc")) == ids(left)
    stats = service.get("/stats").json()
    assert (stats["total_messages"], stats["recent_messages"]) == (len(left), len(left))
    assert (stats["oldest_id"], stats["newest_id"]) == (left[0]["id"], left[-1]["id"])
    assert deleted(service, "topic=%23") == len(left)
    stats = service.get("/stats").json()
    assert (stats["total_messages"], stats["unique_topics"]) == (0, 0)
    assert (service.get("/messages").json(), service.get("/topics").json()) == ([], [])
    (new,) = payloads(service, "t/1", "after")
    assert new["id"] > stored[-1]["id"], "no id ever names two messages"
    assert head(service) == new["id"]
