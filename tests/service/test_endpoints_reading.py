"""What one reads over HTTP: messages, topics and figures, each when all is well."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.mqtt_client import publish_all
from tests.service.talking import device, history, published
from tests.service_process import ServiceProcess

# The embedded broker delivers at the QoS of the subscription, whatever was published.
delivers_qos_0 = pytest.mark.needs_mosquitto


@delivers_qos_0
def test_messages_by_every_parameter(shared: ServiceProcess, branch: str) -> None:
    """GET /messages narrows by each parameter, alone and together."""
    for number in range(6):
        published(shared, f"{branch}/{'even' if number % 2 == 0 else 'odd'}", f"value {number}")
    shared.post("/publish", {"topic": f"{branch}/even", "payload": "at zero", "qos": 0})
    shared.wait_for(lambda: len(shared.get(f"/messages?topic={branch}/%23").json()) == 7)
    everything = shared.get(f"/messages?topic={branch}/%23").json()
    payloads = [message["payload"] for message in everything]
    assert payloads == ["at zero", *[f"value {number}" for number in (5, 4, 3, 2, 1, 0)]]
    ids = [message["id"] for message in everything]
    assert ids == sorted(ids, reverse=True)

    def ask(query: str) -> list[str]:
        answer = shared.get(f"/messages?topic={branch}/%23&{query}")
        assert answer.status == 200, answer.content
        return [message["payload"] for message in answer.json()]

    assert ask("limit=2") == payloads[:2]
    assert ask("limit=2&offset=3") == payloads[3:5]
    assert ask("offset=100") == []
    assert ask("order=asc") == payloads[::-1]
    assert ask(f"after={ids[2]}") == payloads[1::-1]
    assert ask(f"after={ids[2]}&order=desc") == payloads[:2]
    assert ask(f"before={ids[2]}") == payloads[3:]
    assert ask(f"after={ids[5]}&before={ids[2]}") == payloads[4:2:-1]
    epoch = shared.get("/stats").json()["epoch"]
    assert ask(f"after={epoch}.{ids[2]}") == payloads[1::-1]
    assert ask(f"after={epoch}.0") == payloads[::-1]
    assert ask(f"since={everything[2]['timestamp']}") == payloads[:3]
    assert ask(f"until={everything[2]['timestamp']}") == payloads[3:]
    zone = everything[2]["timestamp"].replace("Z", "+00:00")
    assert ask(f"since={zone}") == payloads[:3]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert ask(f"since={tomorrow}") == []
    assert ask("since=15m") == ask("since=7d") == ask("since=0") == payloads
    assert ask("until=1h") == []
    assert ask("qos=0") == payloads[:1]
    assert ask("qos=1") == payloads[1:]
    assert ask("retain=false") == payloads
    assert ask("retain=true") == []
    assert ask("contains=value+5") == ["value 5"]
    assert ask("contains=VALUE") == []
    assert ask("qos=1&contains=value&limit=1&offset=1") == ["value 4"]


@pytest.mark.parametrize(
    ("query", "matched"),
    [
        ("topic={}/a/t", ["{}/a/t"]),
        ("topic={}/+/t", ["{}/a/t", "{}/b/t"]),
        ("topic={}/%2B/t", ["{}/a/t", "{}/b/t"]),
        ("topic={}/a/%23", ["{}/a", "{}/a/t"]),
        ("topic=+/a", ["{}/a"]),
        ("topic={}/a/t&topic={}/+/t&topic={}/b/t", ["{}/a/t", "{}/b/t"]),
        ("topic={}/nothing", []),
    ],
)
def test_messages_by_topic_filter(
    shared: ServiceProcess, branch: str, query: str, matched: list[str]
) -> None:
    """A filter with wildcards matches as in MQTT, several may be given, a message comes once."""
    for topic in (f"{branch}/a", f"{branch}/a/t", f"{branch}/b/t"):
        published(shared, topic, "x")
    newest_first_id = history(shared, f"&topic={branch}/%23")[0]["id"]
    answer = shared.get(f"/messages?{query.replace('{}', branch)}&after={newest_first_id - 1}")
    assert answer.status == 200
    topics = [message["topic"] for message in answer.json()]
    assert topics == [topic.replace("{}", branch) for topic in matched]


def test_messages_tell_the_head_of_the_log(shared: ServiceProcess, branch: str) -> None:
    """X-Log-Position is the position of the newest message when the answer was made."""
    message = published(shared, branch, "x")
    epoch = shared.get("/stats").json()["epoch"]
    answer = shared.get("/messages?topic=none")
    assert answer.headers["X-Log-Position"] == f"{epoch}.{message['id']}"
    after = answer.headers["X-Log-Position"]
    assert shared.get(f"/messages?after={after}").json() == []


def test_a_position_of_another_log_is_told(shared: ServiceProcess, branch: str) -> None:
    """After a position of another log everything comes, and X-Log-Gap says why."""
    published(shared, branch, "x")
    answer = shared.get("/messages?after=zother.5&limit=10000")
    assert answer.status == 200
    assert "reason=epoch" in answer.headers["X-Log-Gap"]
    assert answer.json() == history(shared)
    assert "X-Log-Gap" not in shared.get("/messages?after=0").headers


def test_a_hundred_messages_are_the_default(
    shared: ServiceProcess, shared_broker: Any, branch: str
) -> None:
    """GET /messages gives the newest hundred unless asked for more."""
    with device(shared_broker) as client:
        publish_all(client, [(branch, str(number)) for number in range(150)])
    shared.wait_for(lambda: len(shared.get(f"/messages?topic={branch}&limit=200").json()) == 150)
    answer = shared.get(f"/messages?topic={branch}").json()
    assert [message["payload"] for message in answer] == [str(n) for n in range(149, 49, -1)]


def test_topics_are_sorted_and_narrowed(shared: ServiceProcess, branch: str) -> None:
    """GET /topics is a sorted list of the topics with messages, narrowed by filter and prefix."""
    names = [f"{branch}/b/t", f"{branch}/a/t", f"{branch}/a"]
    for name in names:
        published(shared, name, "x")
    topics = shared.get("/topics").json()
    assert topics == sorted(topics)
    assert set(names) <= set(topics)
    assert shared.get(f"/topics?topic={branch}/+/t").json() == [f"{branch}/a/t", f"{branch}/b/t"]
    assert shared.get(f"/topics?prefix={branch}/a").json() == [f"{branch}/a", f"{branch}/a/t"]
    assert shared.get(f"/topics?prefix={branch}/a&topic=%2B/a/t").json() == [f"{branch}/a/t"]
    assert shared.get("/topics?prefix=nothing").json() == []


def test_stats_have_the_fields_of_the_contract(shared: ServiceProcess, branch: str) -> None:
    """GET /stats has every field, and its counts are those of the history."""
    published(shared, branch, "x")
    published(shared, branch, "y")
    stats = shared.get("/stats").json()
    assert set(stats) >= {
        "total_messages",
        "unique_topics",
        "recent_messages",
        "topic_counts",
        "mqtt_connected",
        "websocket_connections",
        "uptime",
        "received_total",
        "stored_total",
        "published_total",
        "dropped_total",
        "write_failures_total",
        "rate_1m",
        "queue_depth",
        "readers_behind",
        "oldest_id",
        "newest_id",
        "epoch",
        "database_bytes",
        "wal_bytes",
        "retention",
        "last_prune",
        "broker",
    }
    messages = history(shared)
    assert stats["total_messages"] == stats["recent_messages"] == len(messages)
    assert stats["unique_topics"] == len(shared.get("/topics").json())
    assert stats["topic_counts"][branch] == 2
    assert sum(stats["topic_counts"].values()) == len(messages)
    assert (stats["oldest_id"], stats["newest_id"]) == (messages[0]["id"], messages[-1]["id"])
    assert re.fullmatch("[a-z][a-z0-9]*", stats["epoch"])
    assert stats["mqtt_connected"] is True
    assert stats["queue_depth"] == 0
    assert stats["database_bytes"] > 0
    assert stats["retention"]["max_history_size"] == 100_000
    assert shared.get("/health").json()["message_count"] == len(messages)


@pytest.mark.needs_mosquitto
def test_stats_say_what_the_broker_says_of_itself(shared: ServiceProcess) -> None:
    """The broker's $SYS topics are in /stats, and not in the history."""
    shared.wait_for(lambda: shared.get("/stats").json()["broker"])
    said = shared.get("/stats").json()["broker"]
    assert said["$SYS/broker/version"].startswith("mosquitto version")
    assert not [topic for topic in shared.get("/topics").json() if topic.startswith("$")]
    assert shared.get("/messages?topic=$SYS/%23").json() == []
