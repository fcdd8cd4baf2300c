"""The library against the real service: every endpoint, pages, downloads, errors and patience."""

from __future__ import annotations

import csv
import inspect
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import client as package
from client import (
    AsyncMQTTAPIClient,
    AuthenticationFailed,
    ConnectionFailed,
    ExportProgress,
    Invalid,
    LogGap,
    Message,
    MQTTAPIClient,
    MQTTAPIError,
    NotFound,
    OutcomeUnknown,
    Outgoing,
    RateLimited,
    RetryPolicy,
    Unavailable,
)
from tests.mqtt_client import mqtt_client
from tests.relay import Relay, relay_to
from tests.service_process import ServiceProcess

# Pages for people, not for programs; and the two streams, which have tests of their own.
NOT_CALLED = {"/docs", "/redoc", "/assets/{file}", "/ws", "/events"} | {
    "/dashboard",
    "/dashboard/{path}",
}


def stored(service: ServiceProcess, client: MQTTAPIClient, topic: str, count: int) -> None:
    service.wait_for(lambda: len(client.get_messages(topic, limit=10_000)) == count)


def test_every_endpoint_of_the_contract_is_called(shared: ServiceProcess, tmp_path: Path) -> None:
    """Each path of the OpenAPI document has a method, and each method works."""
    asked: set[str] = set()

    with MQTTAPIClient(shared.url) as client:
        client.session.event_hooks = {"request": [lambda r: asked.add(f"{r.method} {r.url.path}")]}
        assert client.info()["service"] == "GhostMesh MQTT API Backend"
        assert client.health_check()["status"] == "healthy"
        assert client.live()["status"] == "live" and client.ready()["status"] == "ready"
        assert client.publish("all/one", "45.2", qos=1)["data"]["confirmed"] is True
        assert [one["status"] for one in client.publish_many([("all/two", 1)])] == [200]
        assert client.subscribe("all/#", 1)["data"] == {"topic": "all/#", "qos": 1}
        assert "all/#" in [held["topic"] for held in client.subscriptions()]
        assert client.unsubscribe("all/#")["data"]["still_covered_by"] == ["#"]
        stored(shared, client, "all/#", 2)
        newest = next(client.messages("all/one"))
        assert newest == client.message(newest.id) and newest.payload == "45.2"
        assert client.payload(newest.id) == newest.bytes == b"45.2"
        assert client.get_topics("all/#") == ["all/one", "all/two"]
        assert [topic.message_count for topic in client.topics("all/#")] == [1, 1]
        assert client.topic("all/one").last_message == newest
        assert client.series("all/one").points[0].avg == 45.2
        assert client.get_statistics()["epoch"] in client.topic("all/one").position
        assert client.export(tmp_path / "all", "all/#").messages == 2
        with sqlite3.connect(client.backup(tmp_path / "copy.db")) as copy:
            assert copy.execute("SELECT count(*) FROM history").fetchone()[0] >= 2
        copy.close()
        assert client.purge(topic="all/two") == 1
        assert client.whoami()["scopes"] == ["read", "publish", "subscribe", "admin"]
        assert len(client.ticket()["ticket"]) > 20 and "# HELP" in client.metrics()
        assert client.asyncapi()["asyncapi"] == "3.0.0"
        document = client.openapi()
        with pytest.raises(OutcomeUnknown) as raised:
            client.request("all/nobody", "?", timeout=0.1)
        assert raised.value.request_confirmed is True

    def is_asked(method: str, path: str) -> bool:
        levels = path.partition("{")
        end = levels[2].partition("}")[2]
        return any(
            one.startswith(f"{method.upper()} {levels[0]}") and one.endswith(end)
            if levels[1]
            else one == f"{method.upper()} {path}"
            for one in asked
        )

    missing = [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if path not in NOT_CALLED and not is_asked(method, path)
    ]
    assert missing == []


def test_both_shells_have_the_same_methods() -> None:
    """What the synchronous client can do, the asynchronous one can, with the same arguments."""

    def methods(shell: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(one).parameters)
            for name, one in vars(shell).items()
            if callable(one) and not name.startswith("_") and name not in ("close", "aclose")
        }

    sync, asynchronous = methods(MQTTAPIClient), methods(AsyncMQTTAPIClient)
    assert sync == asynchronous
    assert list(inspect.signature(MQTTAPIClient().publish).parameters)[:2] == ["topic", "payload"]
    for shell in (MQTTAPIClient, AsyncMQTTAPIClient):
        undocumented = [name for name in sync if not getattr(shell, name).__doc__]
        assert undocumented == []


async def test_the_async_client_pages_exports_and_answers(
    shared: ServiceProcess, tmp_path: Path
) -> None:
    """The same on asyncio."""
    async with AsyncMQTTAPIClient(shared.url) as client:
        outcomes = await client.publish_many(("async/n", n) for n in range(2_500))
        assert [one["index"] for one in outcomes] == list(range(2_500))
        async with client.stream("async/n", since="all") as stream:
            for n in range(2_500):
                assert (await anext(stream)).payload == str(n)
        payloads = [int(m.payload) async for m in client.messages("async/n", order="asc")]
        assert payloads == list(range(2_500))
        assert [topic.topic async for topic in client.topics("async/#")] == ["async/n"]
        assert (await client.export(tmp_path / "n.csv", "async/n", format="csv")).messages == 2_500
        assert (await client.backup(tmp_path / "copy.db")).stat().st_size > 1_000
        with pytest.raises(NotFound):
            await client.topic("async/none")


def test_messages_page_by_themselves(shared: ServiceProcess) -> None:
    """Over any number of pages each message comes once, in either order, up to `limit`."""
    with MQTTAPIClient(shared.url) as client:
        client.publish_many((f"page/{n % 2}", n) for n in range(2_600))
        stored(shared, client, "page/#", 2_600)
        newest_first = [int(one.payload) for one in client.messages("page/#")]
        assert newest_first == list(reversed(range(2_600)))
        oldest_first = [int(one.payload) for one in client.messages("page/#", after=0)]
        assert oldest_first == list(range(2_600))
        assert [m.payload for m in client.messages("page/#", limit=3)] == ["2599", "2598", "2597"]
        assert len(list(client.messages(["page/0", "page/1", "page/#"], limit=1_500))) == 1_500
        recent = client.messages("page/#", since=timedelta(hours=1), until=datetime.now(UTC))
        assert len(list(recent)) == 2_600
        assert list(client.messages("page/#", since=datetime.now(UTC) + timedelta(days=1))) == []
        odd = [m.payload for m in client.messages("page/1", contains="99", order="asc")]
        assert odd == [str(n) for n in range(2_600) if n % 2 and "99" in str(n)]


def test_payloads_of_every_kind_come_back_as_they_went(shared: ServiceProcess) -> None:
    """Text, bytes, JSON, nothing: and awkward topics, in queries and in paths."""
    topic = "kinds/ä b&c/%41/?x=1/./.."
    sent: list[tuple[Any, bytes]] = [
        ("grün\n", "grün\n".encode()),
        (b"\xff\x00", b"\xff\x00"),
        (bytes(range(32, 127)), bytes(range(32, 127))),
        ({"a": [1, None, True]}, b'{"a":[1,null,true]}'),
        (4.5, b"4.5"),
        (None, b""),
    ]
    with MQTTAPIClient(shared.url) as client:
        for payload, _ in sent:
            client.publish(topic, payload, 1)
        stored(shared, client, topic, len(sent))
        found = list(client.messages(topic, order="asc"))
        assert [message.bytes for message in found] == [content for _, content in sent]
        assert found[3].json() == sent[3][0]
        last = client.topic(topic)
        assert last is not None and last.topic == topic
        assert client.topic(topic, newer_than=last.position) is None
        assert client.topic(topic, wait=0.05) is None
        again = [Message.from_dict(json.loads(json.dumps(one.as_dict()))) for one in found]
        assert again == found
        client.subscribe("kinds/+/a b/#")
        client.unsubscribe("kinds/+/a b/#")
        with pytest.raises(ValueError, match="JSON"):
            client.publish(topic, float("nan"))


def test_a_request_gets_its_reply(shared: ServiceProcess, shared_broker: Any) -> None:
    """`request` returns what a machine answered, and how long it took."""
    with MQTTAPIClient(shared.url) as client, mqtt_client(shared_broker.port) as machine:

        def answer(_machine: Any, _data: Any, message: Any) -> None:
            machine.publish("answers/press1", b"I am " + message.payload, qos=1)

        machine.on_message = answer
        subscribed = threading.Event()
        machine.on_subscribe = lambda *_: subscribed.set()
        machine.subscribe("ask/press1", qos=1)
        assert subscribed.wait(5)
        reply = client.request("ask/press1", "press1", response_topic="answers/press1")
        assert reply.response.payload == "I am press1" and reply.rtt_ms > 0


def test_errors_say_what_the_service_said(shared: ServiceProcess) -> None:
    """Each has status, sentence and request id; a 422 names every fault."""
    with MQTTAPIClient(shared.url) as client:
        with pytest.raises(Invalid) as raised:
            client.publish("a/#", "x", qos=7)
        error = raised.value
        assert error.status == 422 and len(error.errors) == 2 and str(error) == error.detail
        assert error.request_id and len(error.request_id) == 16
        with pytest.raises(NotFound, match="there is no message 99999999"):
            client.message(99_999_999)
        outcomes = client.publish_many([("ok", 1), {"topic": "a/+", "payload": 1}])
        assert [one["status"] for one in outcomes] == [200, 422]
    for url, words in [
        ("http://127.0.0.1:9", "http://127.0.0.1:9 cannot be reached: Connection refused"),
        (f"{shared.url}/nothing", "there is no"),
        ("localhost:8000", "'localhost:8000' is no URL"),
    ]:
        with (
            pytest.raises(MQTTAPIError, match=words),
            MQTTAPIClient(url, retry=RetryPolicy(attempts=1)) as client,
        ):
            client.health_check()


def test_keys_travel_in_a_header(service: ServiceProcess) -> None:
    """A right key works, a wrong or missing one is an AuthenticationFailed; none is in a URL."""
    service.start(API_KEY_REQUIRED="true", API_KEY="s3cret-key")
    service.wait_for(lambda: service.get("/health/ready").status == 200)
    with MQTTAPIClient(service.url, api_key="s3cret-key") as client:
        client.publish("k", "v", 1)
        with client.stream("k", since="all") as stream:
            assert next(stream).payload == "v"
    for key in (None, "wrong"):
        with MQTTAPIClient(service.url, api_key=key) as client:
            with pytest.raises(AuthenticationFailed) as raised:
                client.get_messages()
            assert raised.value.status == 401
    assert "s3cret-key" not in service.log()


def test_a_rate_limit_is_waited_for_when_that_is_short(service: ServiceProcess) -> None:
    """Turned away at the door, even a publish comes again when the service allows it."""
    service.start(ready=True, RATE_LIMIT_REQUESTS="40", RATE_LIMIT_WINDOW="2")
    with MQTTAPIClient(service.url) as client:
        for number in range(60):
            client.publish("r", number, 1)
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 60)
    with MQTTAPIClient(service.url) as client:
        assert [m.payload for m in client.messages("r", order="asc")] == [*map(str, range(60))]
    with MQTTAPIClient(service.url, retry=RetryPolicy(attempts=1)) as client:
        with pytest.raises(RateLimited) as raised:
            while True:  # a batch costs its messages, so that no machine is too slow for the limit
                client.publish_many(("r", number) for number in range(40))
                client.get_messages()
        assert raised.value.retry_after is not None and raised.value.retry_after <= 2


def test_a_broker_that_is_away_is_unavailable(service: ServiceProcess, broker: Any) -> None:
    """A publish is not repeated behind the caller's back: it is said at once."""
    service.start(ready=True)
    broker.stop()
    with MQTTAPIClient(service.url) as client:
        service.wait_for(lambda: client.ready()["status"] != "ready")
        with pytest.raises(Unavailable) as raised:
            client.publish("a", 1, 1)
        assert raised.value.status == 503 and raised.value.retry_after


def export_over(url: str, path: Path, form: str, progress: Callable[[ExportProgress], None]) -> int:
    with MQTTAPIClient(url, retry=RetryPolicy(attempts=6, first_wait=0.02)) as client:
        return client.export(path, "x/#", format=form, progress=progress).messages


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_over_a_bad_network_is_whole(
    shared: ServiceProcess, tmp_path: Path, form: str
) -> None:
    """Broken off again and again, it goes on with the next row: each message once, in order."""
    topic = f"x/{form}"
    with MQTTAPIClient(shared.url) as client:
        text = 'a "quoted"\r\nline, and another ' * 20
        client.publish_many((topic, f"{n} {text}") for n in range(3_000))
        stored(shared, client, topic, 3_000)
        client.export(tmp_path / "plain", "x/#", format=form)
    path = tmp_path / "broken"
    shown: list[ExportProgress] = []
    with relay_to(shared.port, piece_bytes=1_000) as network:

        def progress(now: ExportProgress) -> None:
            if not shown or now.messages - shown[-1].messages > 500:
                shown.append(now)
                network.cut()

        export_over(network.url, path, form, progress)
        assert network.let_in > 3
    assert path.read_bytes() == (tmp_path / "plain").read_bytes()
    assert [p.fraction for p in shown] == sorted(p.fraction for p in shown)
    if form == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["topic"] == topic]
        assert [row["payload"] for row in rows] == [f"{n} {text}" for n in range(3_000)]


def test_an_export_is_taken_up_by_the_next_call(shared: ServiceProcess, tmp_path: Path) -> None:
    """Given up in the middle, even in the middle of a row, it is taken up where it stopped."""
    with MQTTAPIClient(shared.url) as client:
        client.publish_many(("take/up", n) for n in range(500))
        stored(shared, client, "take/up", 500)
        whole = client.export(tmp_path / "whole", "take/up")
        content = whole.path.read_bytes()
        assert whole.messages == 500 and whole.bytes == len(content) and whole.gaps == ()
        epoch = client.get_statistics()["epoch"]
        part = tmp_path / f"again.{epoch}.part"
        part.write_bytes(content[: len(content) // 3])
        asked: list[str] = []
        client.session.event_hooks = {"request": [lambda request: asked.append(str(request.url))]}
        again = client.export(tmp_path / "again", "take/up", since="1h")
        assert again.path.read_bytes() == content and again.messages == 500
        assert f"after={epoch}." in asked[0] and "since" not in asked[0]
        other = tmp_path / "again.zother.part"
        other.write_bytes(content[:1_000])
        with pytest.raises(LogGap):
            client.export(tmp_path / "again", "take/up")
        assert client.export(tmp_path / "again", "take/up", resume=False).messages == 500
        assert not other.exists()


def test_a_connection_never_made_is_repeated_and_a_broken_publish_is_not(
    shared: ServiceProcess,
) -> None:
    """A publish that may have gone is never sent twice; a read is."""
    quick = RetryPolicy(attempts=5, first_wait=0.05)

    def cut_once_something_is_held(network: Relay) -> threading.Thread:
        def cut() -> None:
            assert network.holds.wait(20)
            network.cut()
            network.flow()

        network.stall()
        thread = threading.Thread(target=cut)
        thread.start()
        return thread

    with relay_to(shared.port) as network, MQTTAPIClient(network.url, retry=quick) as client:
        client.health_check()
        cutting = cut_once_something_is_held(network)
        with pytest.raises(ConnectionFailed) as raised:
            client.publish("once", "x", 1)
        cutting.join()
        assert not raised.value.never_made
        cutting = cut_once_something_is_held(network)
        assert client.health_check()["status"] == "healthy"
        cutting.join()


def test_the_public_surface_is_small_and_documented() -> None:
    """What `client` exports is listed, and says what it is."""
    assert len(package.__all__) < 30
    undocumented = [n for n in package.__all__ if n[0] != "_" and not getattr(package, n).__doc__]
    assert undocumented == []
    assert Outgoing("a", 1) == Outgoing("a", 1, qos=0, retain=False)
