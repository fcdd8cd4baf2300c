"""Every endpoint of the seed: what it answers when all is well."""

from __future__ import annotations

import base64
import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from server import VERSION
from tests.mqtt_client import publish_all
from tests.service.talking import device, history, send, subscribe_path
from tests.service_process import ServiceProcess

GETS = ("/", "/health", "/health/live", "/health/ready", "/subscriptions", "/messages", "/topics")
GETS += ("/stats", "/openapi.json")
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
NUMBERS = itertools.count()
# The embedded broker delivers at the QoS of the subscription, whatever was published.
delivers_qos_0 = pytest.mark.needs_mosquitto


@pytest.fixture
def branch() -> str:
    """A topic level that no other test uses."""
    return f"branch{next(NUMBERS)}"


def published(service: ServiceProcess, topic: str, payload: Any, **more: Any) -> dict[str, Any]:
    """Publish over HTTP, wait for the message in the history, and return it."""
    before = len(service.get(f"/messages?topic={quote(topic, safe='')}").json())
    answer = service.post("/publish", {"topic": topic, "payload": payload, "qos": 1, **more})
    assert answer.status == 200, answer.content
    query = f"/messages?topic={quote(topic, safe='')}"
    service.wait_for(lambda: len(service.get(query).json()) == before + 1)
    message: dict[str, Any] = service.get(query).json()[0]
    return message


def test_the_root_says_who_we_are(shared: ServiceProcess) -> None:
    """GET / names the service, its version, and where to look next."""
    answer = shared.get("/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "service": "GhostMesh MQTT API Backend",
        "version": VERSION,
        "status": "running",
        "docs": "/docs",
        "health": "/health",
    }


def test_the_root_sends_a_browser_on(shared: ServiceProcess) -> None:
    """GET / with Accept: text/html is a redirection, and says that it depends on Accept."""
    answer = send(shared, "GET", "/", headers={"Accept": "text/html,*/*"})
    assert answer.status == 302
    assert answer.headers["Location"]
    assert "Accept" in answer.headers["Vary"]


def test_health_has_the_fields_of_the_seed(shared: ServiceProcess) -> None:
    """GET /health is a 200 with the seed's fields and no reasons when all is well."""
    answer = shared.get("/health")
    assert answer.status == 200
    health = answer.json()
    assert set(health) == {
        "status",
        "mqtt_connected",
        "uptime",
        "message_count",
        "active_subscriptions",
        "websocket_connections",
        "reasons",
    }
    assert health["status"] == "healthy"
    assert health["mqtt_connected"] is True
    assert health["reasons"] == []
    assert health["uptime"] > 0
    assert health["active_subscriptions"] == len(shared.get("/subscriptions").json())


@pytest.mark.parametrize("qos", [pytest.param(0, marks=delivers_qos_0), 1, 2])
def test_publish_at_every_qos(shared: ServiceProcess, branch: str, qos: int) -> None:
    """POST /publish reaches the broker; QoS 1 and 2 are confirmed, QoS 0 has no packet number."""
    topic = f"{branch}/t"
    answer = shared.post("/publish", {"topic": topic, "payload": "45.2", "qos": qos})
    assert answer.status == 200
    body = answer.json()
    assert set(body) == {"success", "message", "data"}
    assert body["success"] is True
    assert body["message"] == "Message published successfully"
    assert set(body["data"]) == {"topic", "message_id", "confirmed"}
    assert body["data"]["topic"] == topic
    assert body["data"]["confirmed"] is (qos > 0)
    packet_id = body["data"]["message_id"]
    assert packet_id is None if qos == 0 else packet_id > 0
    shared.wait_for(lambda: shared.get(f"/messages?topic={topic}").json())
    (message,) = shared.get(f"/messages?topic={topic}").json()
    assert (message["payload"], message["qos"], message["retain"]) == ("45.2", min(qos, 1), False)


@pytest.mark.parametrize(
    ("payload", "arrives"),
    [
        ("text", "text"),
        ("", ""),
        (45.2, "45.2"),
        (True, "true"),
        ([1, "a"], '[1,"a"]'),
        ({"value": 1, "unit": "°C"}, '{"value":1,"unit":"°C"}'),
        (None, ""),
    ],
)
def test_any_json_value_is_a_payload(
    shared: ServiceProcess, branch: str, payload: Any, arrives: str
) -> None:
    """A text goes as it is, any other value as compact JSON, and null as the empty payload."""
    message = published(shared, branch, payload)
    assert message["payload"] == arrives
    assert "encoding" not in message


def test_publish_with_base64_and_properties(shared: ServiceProcess, branch: str) -> None:
    """A base64 payload goes as its bytes."""
    message = published(shared, branch, base64.b64encode(b"\x00\xff").decode(), encoding="base64")
    assert (message["payload"], message["encoding"]) == ("AP8=", "base64")


@pytest.mark.needs_mosquitto
def test_properties_come_back(shared: ServiceProcess, branch: str) -> None:
    """MQTT 5 properties travel with the message, by the contract's names."""
    properties = {
        "content_type": "application/json",
        "response_topic": "answers/1",
        "correlation_data": "AAE=",
        "payload_format_indicator": 1,
        "user_properties": [["a", "1"], ["a", "2"]],
    }
    message = published(shared, branch, "{}", properties=properties)
    assert message["properties"] == properties


def test_a_message_has_exactly_its_fields(shared: ServiceProcess, branch: str) -> None:
    """A message is id, topic, payload, timestamp, qos and retain, and nothing more."""
    before = datetime.now(UTC)
    message = published(shared, f"{branch}/ü/日本", "45.2")
    assert list(message) == ["id", "topic", "payload", "timestamp", "qos", "retain"]
    assert message["topic"] == f"{branch}/ü/日本"
    assert isinstance(message["id"], int)
    assert TIMESTAMP.fullmatch(message["timestamp"])
    arrived = datetime.fromisoformat(message["timestamp"])
    assert before <= arrived <= datetime.now(UTC)


@pytest.mark.parametrize(
    "text",
    [
        "a/b/c",
        "plant/+/+/temperature",
        "+",
        "tail/#",
        pytest.param("$SYS/broker/uptime", marks=pytest.mark.needs_mosquitto),
        "two words/and more",
        "ofen/größe/日本",
        "100%/?x=1&y",
        "/leading//empty/",
        "a;b,c:1",
    ],
)
def test_subscribe_list_and_unsubscribe(shared: ServiceProcess, text: str) -> None:
    """Any filter can be held, is listed, and is let go by its own name in the path."""
    answer = shared.post("/subscribe", {"topic": text, "qos": 1})
    assert answer.status == 200, answer.content
    body = answer.json()
    assert set(body) == {"success", "message", "data"}
    assert body["success"] is True
    assert body["data"] == {"topic": text, "qos": 1}
    (entry,) = [one for one in shared.get("/subscriptions").json() if one["topic"] == text]
    assert set(entry) == {"topic", "qos", "since"}
    assert entry["qos"] == 1
    assert TIMESTAMP.fullmatch(entry["since"])
    answer = send(shared, "DELETE", subscribe_path(text))
    assert answer.status == 200, answer.content
    assert answer.json()["success"] is True
    covered_by = [] if text.startswith("$") else ["#"]
    assert answer.json()["data"] == {"topic": text, "still_covered_by": covered_by}
    assert text not in [one["topic"] for one in shared.get("/subscriptions").json()]
    assert send(shared, "DELETE", subscribe_path(text)).status == 404


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("q/+/t", "/subscribe/q/+/t"),
        ("q/+/t", "/subscribe/q/%2B/t"),
        ("q/+/t", "/subscribe/q%2F%2B%2Ft"),
        ("q/#", "/subscribe/q/%23"),
        ("q r/ü", "/subscribe/q%20r/%C3%BC"),
    ],
)
def test_every_spelling_of_a_topic_in_the_path(
    shared: ServiceProcess, text: str, target: str
) -> None:
    """A slash may be plain or %2F and a plus plain or %2B; # is %23 and a space %20."""
    assert shared.post("/subscribe", {"topic": text}).status == 200
    answer = send(shared, "DELETE", target)
    assert answer.status == 200
    assert answer.json()["data"]["topic"] == text


def test_subscribe_grants_at_most_qos_1_and_twice_is_no_error(shared: ServiceProcess) -> None:
    """QoS 2 is granted as 1, QoS 0 is the default, and a second time changes the QoS only."""
    assert shared.post("/subscribe", {"topic": "twice"}).json()["data"]["qos"] == 0
    (first,) = [one for one in shared.get("/subscriptions").json() if one["topic"] == "twice"]
    answer = shared.post("/subscribe", {"topic": "twice", "qos": 2})
    assert answer.status == 200
    assert answer.json()["data"] == {"topic": "twice", "qos": 1}
    (second,) = [one for one in shared.get("/subscriptions").json() if one["topic"] == "twice"]
    assert second == {**first, "qos": 1}


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


def test_the_api_description_names_every_endpoint(shared: ServiceProcess) -> None:
    """GET /openapi.json is OpenAPI 3.1 and has every path of the seed with its methods."""
    document = shared.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == VERSION
    for path, method in [
        *[(path, "get") for path in GETS],
        ("/ws", "get"),
        ("/publish", "post"),
        ("/subscribe", "post"),
        ("/subscribe/{topic}", "delete"),
    ]:
        assert method in document["paths"][path], path


@pytest.mark.parametrize("path", GETS)
def test_head_answers_as_get_without_a_body(shared: ServiceProcess, path: str) -> None:
    """HEAD has the status and headers of GET, and no body."""
    head, get = send(shared, "HEAD", path), send(shared, "GET", path)
    assert (head.status, head.content) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"] == "application/json"
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        *[(path, {"GET", "HEAD", "OPTIONS"}) for path in GETS if path != "/messages"],
        ("/messages", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("/publish", {"POST", "OPTIONS"}),
        ("/subscribe", {"POST", "OPTIONS"}),
        ("/subscribe/a/b", {"DELETE", "OPTIONS"}),
    ],
)
def test_options_says_what_is_allowed(shared: ServiceProcess, path: str, allow: set[str]) -> None:
    """OPTIONS is a 204 whose Allow names the methods of the path."""
    answer = send(shared, "OPTIONS", path)
    assert (answer.status, answer.content) == (204, b"")
    assert set(answer.headers["Allow"].split(", ")) == allow


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [("a.B-c_9", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("ü", False)],
)
def test_the_request_id_is_echoed_when_it_is_one(
    shared: ServiceProcess, sent: str, echoed: bool
) -> None:
    """X-Request-Id comes back when it is well-formed; otherwise the answer has one of ours."""
    headers = {"X-Request-Id": sent.encode("latin-1").decode("latin-1")}
    for path in ("/health", "/nothing"):
        answer = send(shared, "GET", path, headers=headers)
        found = answer.headers["X-Request-Id"]
        assert (found == sent) is echoed
        assert re.fullmatch("[A-Za-z0-9._-]{1,64}", found)


def test_request_ids_differ(shared: ServiceProcess) -> None:
    """Two requests without an id get two ids."""
    ids = {shared.get("/health").headers["X-Request-Id"] for _ in range(5)}
    assert len(ids) == 5
