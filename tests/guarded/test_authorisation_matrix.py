"""Who may do what: every operation of the document, asked by every kind of caller."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from paho.mqtt.client import Client

from handlers.contract import METHODS, load_document
from handlers.keyring import SCOPES
from tests.guarded.asking import (
    UPGRADE,
    EventStream,
    Launch,
    ask,
    bearer,
    events,
    key_of,
    websocket,
    write_keys,
)
from tests.mosquitto import mosquitto_path
from tests.mqtt_client import mqtt_client, publish_all
from tests.service_process import Answer, ServiceProcess

# Words that nobody without the right may ever see; callers ask for `hidden/...` without them.
SECRET_TOPIC = "hidden/vault7f3a/level"
SECRET_PAYLOAD = "classified9b1c"
OPEN_TOPIC = "open/press/level"
FORBIDDEN = (b"vault7f3a", b"classified9b1c", b"Y2xhc3NpZmllZD")
NARROW = {"read": ["open/#"], "publish": ["open/#"]}
PUBLIC = {
    "/",
    "/health",
    "/health/live",
    "/health/ready",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/redoc",
    "/assets/{file}",
    "/dashboard",
    "/dashboard/{path}",
}
_ADDRESSES = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """One operation: how it is asked about a topic, and what the answers are.

    `outside` is the status for a key whose filters do not reach the topic.
    """

    method: str
    path: str
    target: str = ""
    body: Any = None
    inside: int = 200
    outside: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, service: ServiceProcess, key: str | None, topic: str, ids: dict[str, int]
    ) -> Answer:
        """Ask it, from an address of its own: wrong keys are counted by address."""
        number = next(_ADDRESSES)
        address = f"10.1.{number // 250}.{number % 250}"
        headers = {"X-Forwarded-For": address, **self.headers, **(bearer(key) if key else {})}
        target = (self.target or self.path).replace("{topic}", quote(topic))
        target = target.replace("{id}", str(ids[topic]))
        body = self.body
        if body is not None:
            body = json.loads(json.dumps(body).replace("{topic}", topic))
        if self.path == "/events":
            stream = EventStream(service, target.removeprefix("/events"), headers)
            content = b"" if stream.status == 200 else stream.answer.read()
            stream.close()
            return Answer(stream.status, stream.answer.headers, content)
        return ask(service, self.method, target, body, headers)


ROWS = (
    *(Row("GET", path) for path in sorted(PUBLIC - {"/assets/{file}", "/dashboard/{path}"})),
    Row("GET", "/dashboard/{path}", "/dashboard/app.js"),
    Row("GET", "/assets/{file}", "/assets/docs.js"),
    Row("GET", "/stats"),
    Row("GET", "/metrics"),
    Row("GET", "/subscriptions"),
    Row("GET", "/whoami"),
    Row("GET", "/messages", "/messages?topic={topic}"),
    Row("GET", "/messages/{id}", outside=404),
    Row("GET", "/messages/{id}/payload", outside=404),
    Row("DELETE", "/messages", "/messages?topic={topic}&before=1"),
    Row("GET", "/topics", "/topics?topic={topic}"),
    Row("GET", "/topics/{topic}", outside=403),
    Row("GET", "/series", "/series?topic={topic}", outside=403),
    Row("GET", "/export", "/export?topic={topic}"),
    Row("GET", "/backup", inside=403, outside=403),  # it holds every topic
    Row("POST", "/publish", body={"topic": "{topic}", "payload": 1, "qos": 1}, outside=403),
    Row(
        "POST",
        "/publish/batch",
        body={"messages": [{"topic": "{topic}", "payload": 1}]},
        outside=207,  # each message has an outcome of its own
    ),
    Row(
        "POST",
        "/request",
        body={"topic": "{topic}/ask", "payload": "?", "timeout": 20},
        outside=403,
    ),
    Row("POST", "/subscribe", body={"topic": "{topic}/held"}, outside=403),
    Row("DELETE", "/subscribe/{topic}", "/subscribe/{topic}/held", outside=403),
    Row("POST", "/ws/ticket"),
    Row("GET", "/ws", "/ws?topic={topic}", inside=101, outside=101, headers=UPGRADE),
    Row("GET", "/events", "/events?topic={topic}"),
)
CALLERS = {
    **{scope: {"scopes": [scope]} for scope in SCOPES},
    "everything": {"scopes": list(SCOPES)},
    "expired": {"scopes": list(SCOPES), "expires": "2020-01-01"},
    "narrow": {"scopes": list(SCOPES), **NARROW},
    "reader": {"scopes": ["read", "subscribe"], **NARROW},
    "blind": {"scopes": ["read"], "read": ["none"]},
}


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """The one process of the whole table, with a history of open and of secret topics."""
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
        client.on_message = _reply
        client.subscribe("+/+/+/ask", qos=1)
        client.subscribe("+/+/ask", qos=1)
        pairs = []
        for number in range(5):
            pairs += [(OPEN_TOPIC, str(number)), (SECRET_TOPIC, SECRET_PAYLOAD)]
        publish_all(client, [*pairs, (f"{SECRET_TOPIC}/binary", b"\xff" + SECRET_PAYLOAD.encode())])
        held = {"topic": "hidden/vault7f3a/#"}
        assert ask(started, "POST", "/subscribe", held, everything).status == 200
        started.wait_for(lambda: len(_all_messages(started)) >= 11)
        yield started


def _reply(client: Client, _data: object, message: Any) -> None:
    """Answer a request, as a device would."""
    where = getattr(message.properties, "ResponseTopic", None)
    if where:
        client.publish(where, "here")


def _all_messages(service: ServiceProcess) -> list[dict[str, Any]]:
    found = ask(service, "GET", "/messages?limit=10000", headers=bearer(key_of("everything")))
    assert found.status == 200
    listed: list[dict[str, Any]] = found.json()
    return listed


@pytest.fixture(scope="module")
def ids(service: ServiceProcess) -> dict[str, int]:
    """The id of one message by topic."""
    return {one["topic"]: one["id"] for one in _all_messages(service)}


def operations() -> dict[tuple[str, str], str]:
    """Return the scope of each operation of the document."""
    return {
        (method.upper(), path): item[method]["x-scope"]
        for path, item in load_document()["paths"].items()
        for method in METHODS
        if method in item
    }


def expected(row: Row, scope: str, caller: str) -> int:
    """Return the status that a caller is to get who asks about a topic in its filters."""
    if scope == "public":
        return row.inside
    if caller in ("nobody", "wrong", "expired"):
        # A WebSocket may bring its key in the first frame; until then nothing is sent.
        return 101 if row.path == "/ws" and caller == "nobody" else 401
    has = CALLERS[caller]["scopes"]
    if scope != "any" and scope not in has:
        return 403
    if row.path == "/backup":
        return 403 if caller == "narrow" else 200
    return row.inside


def test_the_table_has_every_operation() -> None:
    """No route or stream of the document is missing here, and none is public by mistake."""
    assert {(row.method, row.path) for row in ROWS} == set(operations())
    assert {path for (_, path), scope in operations().items() if scope == "public"} == PUBLIC


def test_every_cell_of_the_table(service: ServiceProcess, ids: dict[str, int]) -> None:
    """Each caller gets, for each operation, exactly the status that its key deserves."""
    scopes, wrong = operations(), []
    for row in ROWS:
        scope = scopes[row.method, row.path]
        for caller in ("nobody", "wrong", *CALLERS):
            if caller in ("reader", "blind"):
                continue
            key = None if caller == "nobody" else key_of(caller)
            topic = OPEN_TOPIC
            if row.path == "/subscribe/{topic}":
                _hold(service, f"{topic}/held")
            want = expected(row, scope, caller)
            answer = row.ask(service, key, topic, ids)
            if answer.status != want:
                wrong.append((row.method, row.path, caller, want, answer.status, answer.content))
        want = row.inside if scope == "public" else row.outside
        answer = row.ask(service, key_of("narrow"), SECRET_TOPIC, ids)
        if answer.status != want:
            wrong.append((row.method, row.path, "outside", want, answer.status, answer.content))
        assert SECRET_PAYLOAD.encode() not in answer.content + str(answer.headers).encode()
    assert not wrong


def _hold(service: ServiceProcess, topic: str) -> None:
    answer = ask(service, "POST", "/subscribe", {"topic": topic}, bearer(key_of("everything")))
    assert answer.status == 200


def test_refusals_say_how_to_do_better(service: ServiceProcess, ids: dict[str, int]) -> None:
    """A 401 names the scheme, a 403 the key's name and what it lacks; both are problems."""
    row = next(row for row in ROWS if row.path == "/stats")
    refused = row.ask(service, None, OPEN_TOPIC, ids)
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.headers["Content-Type"] == "application/problem+json"
    lacking = row.ask(service, key_of("publish"), OPEN_TOPIC, ids).json()
    assert lacking["detail"] == "the key publish lacks the scope read"


def test_a_forbidden_message_of_a_batch_is_refused_alone(service: ServiceProcess) -> None:
    """In a batch the topic outside the filter gets its 403 and the others go out."""
    topics = ("open/a", "hidden/a", "open/b")
    body = {"messages": [{"topic": topic, "payload": "x"} for topic in topics]}
    answer = ask(service, "POST", "/publish/batch", body, bearer(key_of("narrow")))
    assert answer.status == 207
    assert [one["status"] for one in answer.json()["data"]["results"]] == [200, 403, 200]


QUESTIONS = (
    "/messages",
    "/messages?topic=%23",
    "/messages?topic=hidden/%23",
    "/messages?topic=+/%23&topic=open/%23",
    "/messages?order=asc&after=0&limit=2",
    "/messages?limit=2",
    "/messages?contains=class",
    "/messages?format=csv",
    "/messages?format=ndjson",
    "/messages?offset=3",
    "/messages?since=24h&qos=1",
    "/topics",
    "/topics?topic=hidden/%23",
    "/topics?prefix=hid",
    "/topics?details=true",
    "/topics?details=true&limit=1",
    "/topics?limit=1",
    f"/topics/{OPEN_TOPIC}",
    "/stats",
    "/metrics",
    f"/series?topic={OPEN_TOPIC}",
    "/export",
    "/export?format=csv",
    "/export?format=csv&raw=true&topic=hidden/%23",
    "/subscriptions",
    "/whoami",
    "/health",
    "/",
)


def _leaks(content: bytes) -> list[bytes]:
    return [word for word in FORBIDDEN if word in content]


@pytest.mark.parametrize("caller", ["narrow", "reader"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_no_answer_shows_a_forbidden_topic(
    service: ServiceProcess, question: str, caller: str
) -> None:
    """However it is asked, and however far its Links are followed, nothing forbidden shows."""
    target, seen = question, set[str]()
    while target and target not in seen:
        seen.add(target)
        answer = ask(service, "GET", target, headers=bearer(key_of(caller)))
        assert answer.status == 200
        assert not _leaks(answer.content + str(answer.headers).encode()), target
        following = re.search("<(.+?)>", answer.headers.get("Link", ""))
        target = "/" + following.group(1) if following else ""
    if question in ("/messages", "/topics", "/stats", "/export"):
        assert b"open/press" in answer.content
    whole = ask(service, "GET", question, headers=bearer(key_of("everything")))
    if question in ("/messages", "/topics?prefix=hid", "/stats", "/export", "/subscriptions"):
        assert _leaks(whole.content), "this question would show nothing to anybody"


def test_counts_are_those_of_what_may_be_seen(service: ServiceProcess) -> None:
    """The counters of /stats tell a narrowed key nothing of other topics."""
    narrow = ask(service, "GET", "/stats", headers=bearer(key_of("reader"))).json()
    listed = ask(service, "GET", "/messages?limit=10000", headers=bearer(key_of("reader"))).json()
    assert narrow["total_messages"] == narrow["recent_messages"] == len(listed)
    assert narrow["unique_topics"] == len({one["topic"] for one in listed})
    assert set(narrow["topic_counts"]) == {one["topic"] for one in listed}
    assert narrow["broker"] is None
    assert not narrow.keys() & {"received_total", "stored_total", "database_bytes"}


def test_metrics_are_totals_for_every_reader(service: ServiceProcess) -> None:
    """/metrics needs the scope `read` and no topic: a scraper's key that sees none gets the same
    families as an administrator's, and no label or value of them comes from outside."""
    scraped = {}
    for caller in ("blind", "reader", "everything"):
        answer = ask(service, "GET", "/metrics", headers=bearer(key_of(caller)))
        assert answer.status == 200
        assert not _leaks(answer.content)
        text = answer.content.decode()
        assert not re.search(r"open/|hidden|guarded-|everything|10\.1\.", text), text
        scraped[caller] = set(re.findall(r"(?m)^# TYPE (\w+)", text))
        labels = set(re.findall(r"(?m)^\w+{(.+)} ", text))
        ours = (
            r'(cause|place)="[a-z_]+"|handler="[a-z/{}._]+"|method="[A-Z]+"'
            r'|(status|le|version)="[0-9.+Inf]+"'
        )
        for label in (one for pairs in labels for one in re.split(r",(?=[a-z])", pairs)):
            assert re.fullmatch(ours, label), label
    assert scraped["blind"] == scraped["reader"] == scraped["everything"] != set()
    for question in ("/messages", "/topics"):
        assert ask(service, "GET", question, headers=bearer(key_of("blind"))).json() == []


def test_ids_of_forbidden_messages_are_not_found(service: ServiceProcess) -> None:
    """No id can be tried out: forbidden messages are as absent as those never given out."""
    for one in _all_messages(service):
        for path in (f"/messages/{one['id']}", f"/messages/{one['id']}/payload"):
            answer = ask(service, "GET", path, headers=bearer(key_of("reader")))
            assert answer.status == (200 if one["topic"].startswith("open/") else 404)
            assert not _leaks(answer.content)
    absent = ask(service, "GET", "/messages/999999999", headers=bearer(key_of("reader"))).json()
    secret = next(one["id"] for one in _all_messages(service) if one["topic"] == SECRET_TOPIC)
    hidden = ask(service, "GET", f"/messages/{secret}", headers=bearer(key_of("reader"))).json()
    for found in (absent, hidden):
        del found["request_id"]
    assert json.dumps(hidden) == json.dumps(absent).replace("999999999", str(secret))


def _publish_both(service: ServiceProcess, mark: str) -> None:
    """Publish a secret message, and then an open one that ends the waiting."""
    for topic, payload in ((SECRET_TOPIC, SECRET_PAYLOAD), ("open/end", mark)):
        body = {"topic": topic, "payload": payload, "qos": 1}
        answer = ask(service, "POST", "/publish", body, bearer(key_of("everything")))
        assert answer.status == 200


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?topic=%23",
        "?topic=+/%23&topic=hidden/%23",
        "?since=all",
        "?since=1h&topic=%23",
        "?after=0",
        "?conflate=50",
        "?since=all&conflate=50",
    ],
)
def test_no_stream_shows_a_forbidden_topic(service: ServiceProcess, query: str) -> None:
    """Live or replayed, over SSE and WebSocket, only open topics come."""
    headers, mark = bearer(key_of("reader")), f"end-{time.monotonic_ns()}"
    if query.startswith("?topic=+/%23&topic="):
        query += "&topic=open/%23"
    with events(service, query, headers) as stream, websocket(service, query, headers) as socket:
        stream.until(type="welcome")
        socket.until(lambda frame: frame["type"] == "welcome")
        _publish_both(service, mark)
        stream.until(type="message", payload=mark)
        socket.until(lambda frame: frame.get("payload") == mark)
        assert not _leaks(stream.text.encode())
        assert not _leaks(socket.seen)
        if "since" in query and "conflate" not in query:
            assert '"payload":"3"' in stream.text, "the replay showed nothing"


def test_a_resumed_or_batched_stream_shows_no_forbidden_topic(service: ServiceProcess) -> None:
    """`Last-Event-ID` and `batch=true` are narrowed like everything."""
    headers, mark = bearer(key_of("reader")), "end-of-resume"
    with (
        events(service, "", {**headers, "Last-Event-ID": "0"}) as stream,
        websocket(service, "?batch=true&since=all", headers) as socket,
    ):
        _publish_both(service, mark)
        stream.until(type="message", payload=mark)
        socket.until(lambda frame: any(one["payload"] == mark for one in frame.get("messages", ())))
        assert not _leaks(stream.text.encode())
        assert not _leaks(socket.seen)


def test_commands_stay_within_the_key(service: ServiceProcess) -> None:
    """`filter` cannot widen what is seen; orders are refused as over HTTP."""
    with websocket(service, "", bearer(key_of("reader"))) as socket:
        for number, topics in enumerate((["#"], ["hidden/#"], ["+/+/+", "open/#"])):
            socket.command(action="filter", topics=topics)
            assert socket.answer()["ok"]
            _publish_both(service, f"mark-{number}")
            if topics != ["hidden/#"]:
                socket.until(lambda frame, number=number: frame.get("payload") == f"mark-{number}")
        statuses = []
        for command in (
            {"action": "publish", "topic": "open/a", "payload": 1},
            {"action": "subscribe", "topic": "open/held/+"},
            {"action": "subscribe", "topic": "hidden/#"},
            {"action": "subscribe", "topic": "#"},
            {"action": "subscribe", "topic": "$SYS/#"},
            {"action": "unsubscribe", "topic": "hidden/#"},
            {"action": "unsubscribe", "topic": "open/held/+"},
        ):
            socket.command(**command)
            statuses.append(socket.answer()["status"])
        assert statuses == [403, 200, 403, 403, 403, 403, 200]
        assert not _leaks(socket.seen)
    with websocket(service, "", bearer(key_of("narrow"))) as socket:
        socket.command(action="publish", topic="hidden/a", payload=1)
        assert socket.answer()["status"] == 403
        socket.command(action="publish", topic="open/a", payload=1)
        assert socket.answer()["status"] == 200


def test_a_request_cannot_fetch_what_the_key_may_not_read(service: ServiceProcess) -> None:
    """A response topic is a topic that is read: it needs the scope and lies within the filter."""
    body = {"topic": "open/nobody", "payload": 1, "timeout": 0.5}
    for caller, where, status in (
        ("publish", SECRET_TOPIC, 403),
        ("narrow", SECRET_TOPIC, 403),
        ("narrow", "open/replies", 504),
        ("publish", None, 504),
    ):
        more = {"response_topic": where} if where else {}
        answer = ask(service, "POST", "/request", {**body, **more}, bearer(key_of(caller)))
        assert (caller, where, answer.status) == (caller, where, status)
        assert SECRET_PAYLOAD.encode() not in answer.content


def test_the_brokers_own_topics_need_the_scope_admin(service: ServiceProcess) -> None:
    """$SYS is the broker's: without the scope admin nobody may subscribe to it."""
    for topic in ("$SYS/#", "$SYS/broker/uptime"):
        answer = ask(service, "POST", "/subscribe", {"topic": topic}, bearer(key_of("subscribe")))
        assert answer.status == 403
    if mosquitto_path():
        for method, target, body in (
            ("POST", "/subscribe", {"topic": "$SYS/broker/uptime"}),
            ("DELETE", "/subscribe/$SYS/broker/uptime", None),
        ):
            answer = ask(service, method, target, body, bearer(key_of("everything")))
            assert answer.status == 200


def test_a_narrowed_purge_removes_only_what_may_be_seen(service: ServiceProcess) -> None:
    """An administrator of some topics cannot purge the others. (The last: it empties them.)"""
    hidden = [one for one in _all_messages(service) if not one["topic"].startswith("open/")]
    answer = ask(
        service, "DELETE", "/messages?before=99999999999", headers=bearer(key_of("narrow"))
    )
    assert answer.status == 200
    assert answer.json()["data"]["deleted"] > 0
    left = _all_messages(service)
    assert [one["id"] for one in left if not one["topic"].startswith("open/")] == [
        one["id"] for one in hidden
    ]
    assert not [one for one in left if one["topic"].startswith("open/")]
