"""The published documents say what the code does, and the code does what they say."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import quote, urlencode

import openapi_spec_validator
import pytest
import tornado.web
import tornado.websocket
from paho.mqtt.client import Client

from gateway.config import Config
from handlers.contract import METHODS, load_document
from handlers.routes import make_application
from tests.guarded.asking import UPGRADE, EventStream, Launch, ask, events, websocket
from tests.guarded.documents import AsyncApiJudge, OpenApiJudge
from tests.mqtt_client import mqtt_client, publish_all, publish_properties
from tests.service.talking import CLOSE, TEXT
from tests.service_process import Answer, ServiceProcess

TOPIC = "factory/line1/press1/temperature"


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """A service with some history, on a broker where a device answers requests."""
    started = launch(RATE_LIMIT_ENABLED="false", WS_HEARTBEAT_INTERVAL="1")
    with mqtt_client(launch.broker.port) as client:
        client.on_message = _reply
        client.subscribe("machines/+/commands", qos=1)
        publish_all(client, [(TOPIC, json.dumps({"value": n})) for n in range(12)])
        publish_all(client, [(TOPIC, "45.2"), ("bytes", b"\xff\x00"), ("long", "x" * 5_000)])
        client.publish(
            "described",
            "{}",
            qos=1,
            properties=publish_properties(
                ContentType="application/json",
                CorrelationData=b"\x00\xff",
                MessageExpiryInterval=60,
                PayloadFormatIndicator=1,
                ResponseTopic="a/b",
                UserProperty=[("a", "1"), ("a", "2")],
            ),
        ).wait_for_publish(10)
        started.wait_for(lambda: "described" in started.get("/topics").json())
        yield started


def _reply(client: Client, _data: object, message: Any) -> None:
    where = getattr(message.properties, "ResponseTopic", None)
    if where:
        client.publish(where, '{"is": "press1"}')


@pytest.fixture(scope="module")
def judge(service: ServiceProcess) -> OpenApiJudge:
    """The OpenAPI document as served."""
    return OpenApiJudge(service.get("/openapi.json").json())


@pytest.fixture(scope="module")
def frames(service: ServiceProcess) -> AsyncApiJudge:
    """The AsyncAPI document as served."""
    return AsyncApiJudge(service.get("/asyncapi.json").json())


# -- the document itself --------------------------------------------------------------------------


def test_the_document_is_openapi_3_1(judge: OpenApiJudge) -> None:
    """What is served passes the validator of the OpenAPI specification."""
    assert judge.document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(judge.document)


def test_everything_is_described(judge: OpenApiJudge) -> None:
    """Every operation has a summary, and every parameter and answer a description."""
    names = []
    for method, path, operation in judge.operations():
        names.append(operation["operationId"])
        assert operation["summary"], (method, path)
        for parameter in operation.get("parameters", ()):
            assert judge.resolve(parameter)["description"], (method, path, parameter)
        for status, response in operation["responses"].items():
            assert judge.resolve(response)["description"], (method, path, status)
    assert len(set(names)) == len(names)


def examples(judge: OpenApiJudge) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield (where, schema, example) for every example of the document."""
    for method, path, operation in judge.operations():
        for parameter in map(judge.resolve, operation.get("parameters", ())):
            if "example" in parameter:
                where = f"{method} {path} {parameter['name']}"
                yield where, parameter["schema"], parameter["example"]
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in map(judge.resolve, bodies):
            for kind, content in body.get("content", {}).items():
                if "example" in content:
                    yield f"{method} {path} {kind}", content["schema"], content["example"]
    for name, schema in judge.document["components"]["schemas"].items():
        if "example" in schema:
            yield name, schema, schema["example"]


def test_every_example_validates_against_its_schema(judge: OpenApiJudge) -> None:
    """An example is one that the schema beside it takes, with no member it does not name."""
    listed = list(examples(judge))
    assert len(listed) > 20
    for where, schema, example in listed:
        assert not judge.faults(schema, example), where


def test_every_body_has_an_example(judge: OpenApiJudge) -> None:
    """A newcomer finds something to paste for every operation with a body."""
    bodies = [operation["requestBody"] for _, _, operation in judge.operations()
              if "requestBody" in operation]  # fmt: skip
    assert len(bodies) == 4
    for body in bodies:
        assert "example" in body["content"]["application/json"]


# -- routes and handlers --------------------------------------------------------------------------


def routes() -> dict[str, type[tornado.web.RequestHandler]]:
    """Return the handler of each path template, as the application is really built."""
    application = make_application(
        Config.from_mapping({}), MagicMock(), MagicMock(), MagicMock(), MagicMock()
    )
    return {
        rule.target_kwargs["path_template"]: rule.target
        for rule in application.wildcard_router.rules
        if rule.target_kwargs
    }


def test_every_route_is_in_the_document_and_the_reverse() -> None:
    """There is no route that the document does not know, and none of its paths is missing."""
    assert set(routes()) == set(load_document()["paths"])


def test_every_method_is_declared_and_the_reverse() -> None:
    """A handler has exactly the methods that the document gives its path."""
    unimplemented = tornado.web.RequestHandler._unimplemented_method
    for path, handler in routes().items():
        has = {name for name in METHODS if getattr(handler, name) is not unimplemented}
        assert has == set(load_document()["paths"][path]) & set(METHODS), path


def test_allow_is_what_the_document_says(service: ServiceProcess, judge: OpenApiJudge) -> None:
    """OPTIONS of every path is a 204 whose Allow names the declared methods."""
    for path, item in judge.document["paths"].items():
        answer = ask(
            service, "OPTIONS", path.format(topic="a", id="1", file="docs.js", path="app.js")
        )
        declared = {method.upper() for method in METHODS if method in item}
        assert (answer.status, answer.content) == (204, b"")
        expected = declared | {"OPTIONS"} | ({"HEAD"} if "GET" in declared else set())
        assert set(answer.headers["Allow"].split(", ")) == expected


# -- parameters -----------------------------------------------------------------------------------

VALUES = {
    "topic": TOPIC,
    "prefix": "fac",
    "details": "true",
    "limit": "1",
    "offset": "1",
    "after": "0",
    "before": "999999",
    "since": "1h",
    "until": "2099-01-01T00:00:00+01:00",
    "order": "asc",
    "qos": "1",
    "retain": "false",
    "contains": "4",
    "format": "csv",
    "raw": "true",
    "batch": "true",
    "conflate": "10",
    "ticket": "unused",
    "wait": "0.01",
    "field": "$.value",
    "bucket": "1h",
    "max_points": "10",
}


def queries(judge: OpenApiJudge) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (method, path, required parameters and one of the declared ones)."""
    for method, path, operation in judge.operations():
        declared = [judge.resolve(one) for one in operation.get("parameters", ())]
        declared = [one for one in declared if one["in"] == "query"]
        needed = {one["name"]: VALUES[one["name"]] for one in declared if one.get("required")}
        for parameter in declared:
            yield method, path, {**needed, parameter["name"]: VALUES[parameter["name"]]}


def tour(service: ServiceProcess, method: str, target: str, headers: Any = None) -> Answer:
    """Ask, and take from a stream only its head."""
    if target.startswith("/events"):
        stream = EventStream(service, target.removeprefix("/events"), headers)
        content = b"" if stream.status == 200 else stream.answer.read()
        stream.close()
        return Answer(stream.status, stream.answer.headers, content)
    return ask(service, method, target, headers=headers)


def test_every_declared_parameter_is_accepted(service: ServiceProcess, judge: OpenApiJudge) -> None:
    """No parameter stands in the document that the service does not take."""
    accepted = 0
    for method, path, query in queries(judge):
        filled = path.format(topic=quote(TOPIC), id="1", file="docs.js", path="app.js")
        headers = UPGRADE if path == "/ws" else {}
        if method == "DELETE":
            query = {"before": "1", **query, **({"before": "1"} if "before" in query else {})}
        answer = tour(service, method, f"{filled}?{urlencode(query)}", headers)
        assert answer.status in (101, 200, 204), (method, path, query, answer.content)
        if answer.status != 101 and path != "/events":
            judge.check(method, path, answer)
        accepted += 1
    assert accepted > 40


def test_no_other_parameter_is(service: ServiceProcess, judge: OpenApiJudge) -> None:
    """Every operation refuses a parameter that it does not declare, by name."""
    for method, path, operation in judge.operations():
        filled = path.format(topic=quote(TOPIC), id="1", file="docs.js", path="app.js")
        content = operation.get("requestBody", {}).get("content", {})
        body = content["application/json"]["example"] if content else None
        headers = UPGRADE if path == "/ws" else {}
        answer = ask(service, method, f"{filled}?colour=red", body, headers)
        assert answer.status == 422, (method, path)
        judge.check(method, path, answer)
        assert "colour" in [fault["path"] for fault in answer.json()["errors"]]


# -- bodies and answers ---------------------------------------------------------------------------


def test_the_examples_work_on_a_live_service(service: ServiceProcess, judge: OpenApiJudge) -> None:
    """What a newcomer pastes from the document succeeds, answer and all."""
    worked = set()
    for method, path, operation in judge.operations():
        if "requestBody" not in operation:
            continue
        body = operation["requestBody"]["content"]["application/json"]["example"]
        answer = ask(service, method, path, body)
        assert answer.status == 200, (path, answer.content)
        judge.check(method, path, answer)
        worked.add(path)
    assert worked == {"/publish", "/publish/batch", "/subscribe", "/request"}
    assert ask(service, "DELETE", "/subscribe/factory/+/+/temperature").status == 200


ERRORS: tuple[tuple[str, str, str, Any, dict[str, str], int], ...] = (
    ("GET", "/messages", "/messages?limit=0&qos=9", None, {}, 422),
    ("GET", "/messages", "/messages?after=zzz.1", None, {}, 200),
    ("GET", "/messages", "/messages?before=zzz.1", None, {}, 422),
    ("GET", "/messages", "/messages?x=" + "y" * 9_000, None, {}, 414),
    ("GET", "/messages", "/messages", None, {"X-Long": "y" * 33_000}, 431),
    ("GET", "/messages", "/messages", None, {"Host": "evil.example"}, 421),
    ("DELETE", "/messages", "/messages", None, {}, 422),
    ("GET", "/messages/{id}", "/messages/999999", None, {}, 404),
    ("GET", "/messages/{id}", "/messages/x", None, {}, 422),
    ("GET", "/messages/{id}/payload", "/messages/999999/payload", None, {}, 404),
    ("GET", "/topics/{topic}", "/topics/no/such", None, {}, 404),
    ("GET", "/topics/{topic}", "/topics/a%23", None, {}, 422),
    ("GET", "/series", "/series", None, {}, 422),
    ("GET", "/assets/{file}", "/assets/none.js", None, {}, 404),
    ("GET", "/ws", "/ws", None, {}, 426),
    ("GET", "/events", "/events?since=never", None, {}, 422),
    ("POST", "/publish", "/publish", b"{", {}, 422),
    ("POST", "/publish", "/publish", {"topic": "#", "qos": 7}, {}, 422),
    ("POST", "/publish", "/publish", b" " * 2_300_000, {}, 413),
    ("POST", "/publish", "/publish", {"topic": "a", "payload": "x" * 1_100_000}, {}, 413),
    ("POST", "/publish/batch", "/publish/batch", {"messages": []}, {}, 422),
    ("POST", "/publish/batch", "/publish/batch", {"messages": [1, {"topic": "a"}]}, {}, 207),
    ("POST", "/publish/batch", "/publish/batch", {"messages": [1] * 1_001}, {}, 413),
    ("POST", "/request", "/request", {"topic": "none", "payload": 1, "timeout": 0.05}, {}, 504),
    ("POST", "/subscribe", "/subscribe", {"topic": "$share/g/a"}, {}, 422),
    ("DELETE", "/subscribe/{topic}", "/subscribe/not/held", None, {}, 404),
    ("GET", "/", "/", None, {"Accept": "text/html"}, 302),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case[0]} {case[2][:30]} {case[5]}")
def test_refusals_are_as_declared(
    service: ServiceProcess, judge: OpenApiJudge, case: tuple[str, str, str, Any, Any, int]
) -> None:
    """Every refusal has a declared status and is a problem document that validates."""
    method, path, target, body, headers, status = case
    answer = ask(service, method, target, body, headers)
    assert answer.status == status, answer.content
    judge.check(method, path, answer)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        *((path, path) for path in ("/", "/health", "/health/live", "/health/ready", "/stats")),
        *((path, path) for path in ("/metrics", "/openapi.json", "/asyncapi.json", "/docs")),
        *((path, path) for path in ("/redoc", "/whoami", "/subscriptions", "/messages")),
        *((path, path) for path in ("/topics", "/export", "/backup")),
        ("/assets/{file}", "/assets/swagger-ui.css"),
        ("/topics", "/topics?details=true"),
        ("/topics/{topic}", f"/topics/{TOPIC}"),
        ("/topics/{topic}", "/topics/bytes"),
        ("/topics/{topic}", "/topics/described"),
        ("/messages", "/messages?limit=2&format=ndjson"),
        ("/messages", "/messages?after=0&format=csv"),
        ("/messages/{id}", "/messages/1"),
        ("/messages/{id}/payload", "/messages/1/payload"),
        ("/series", f"/series?topic={TOPIC}&field=$.value&bucket=1s&since=1h"),
    ],
)
def test_answers_are_as_declared(
    service: ServiceProcess, judge: OpenApiJudge, path: str, target: str
) -> None:
    """Every answer has a declared status and type, and no member that is not described; HEAD
    has the same head."""
    answer = ask(service, "GET", target)
    assert answer.status == 200
    judge.check("GET", path, answer)
    head = ask(service, "HEAD", target)
    assert (head.status, head.content) == (200, b"")
    assert head.headers["Content-Type"] == answer.headers["Content-Type"]


def test_a_known_value_is_a_304_as_declared(service: ServiceProcess, judge: OpenApiJudge) -> None:
    """The tag of an answer, sent back, is answered by its declared 304 without a body."""
    tag = ask(service, "GET", "/topics/long").headers["ETag"]
    for target, headers, status in (
        ("/topics/long", {"If-None-Match": tag}, 304),
        ("/topics/long?wait=0.01", {"If-None-Match": tag}, 304),
        ("/topics/long?wait=0.01", {}, 204),
    ):
        answer = ask(service, "GET", target, headers=headers)
        assert answer.status == status
        judge.check("GET", "/topics/{topic}", answer)


# -- frames ---------------------------------------------------------------------------------------


def test_shared_schemas_are_the_same_in_both_documents(
    judge: OpenApiJudge, frames: AsyncApiJudge
) -> None:
    """A message is the same thing in both documents."""
    for name in ("Message", "Properties", "RequestId"):
        assert (
            frames.document["components"]["schemas"][name]
            == judge.document["components"]["schemas"][name]
        )
    assert frames.document["info"]["version"] == judge.document["info"]["version"]


def test_the_examples_of_frames_validate(frames: AsyncApiJudge) -> None:
    """Every frame has an example, and it is one."""
    sent = frames.messages_of("ws") | frames.messages_of("events")
    for name in sent:
        listed = frames.document["components"]["messages"][name]["examples"]
        assert listed
        for example in listed:
            assert not frames.faults(name, example["payload"]), name


def test_the_examples_of_commands_work(service: ServiceProcess, frames: AsyncApiJudge) -> None:
    """Every command of the document, as its example has it, is one that the service does."""
    listed = {
        reference["$ref"].rpartition("/")[2]
        for reference in frames.document["operations"]["command"]["messages"]
    }
    with websocket(service) as socket:
        for name in sorted(listed):
            for example in frames.document["components"]["messages"][name]["examples"]:
                socket.command(**example["payload"])
                answer = socket.answer()
                frames.check("ws", answer)
                assert answer["type"] == "pong" or answer["ok"], (name, answer)
                assert answer.get("request_id") == example["payload"].get("request_id")
    schemas = {name.removesuffix("Command").title() for name in listed}
    known = set(load_document()["components"]["schemas"])
    assert schemas <= known


def test_every_frame_is_as_declared(
    launch: Launch, service: ServiceProcess, frames: AsyncApiJudge
) -> None:
    """Whatever comes over /ws and /events in a tour of all that can happen has the form that
    the document gives it, and every form that it has does come. (The last: the broker goes.)"""
    for query in ("", "?since=all", "?since=all&batch=true", "?since=all&conflate=10",
                  "?after=zzz.5", "?after=99999999"):  # fmt: skip
        with websocket(service, query) as socket:
            for command in (
                "ping",
                {"action": "ping"},
                {"action": "filter", "topics": ["#"], "request_id": 1},
                {"action": "filter", "topics": []},
                {"action": "publish", "topic": "a/#", "payload": 1},
                {"action": "publish", "topic": "a/b", "payload": "x", "qos": 1, "request_id": "r"},
                {"action": "dance"},
                "nonsense",
            ):
                text = command if isinstance(command, str) else json.dumps(command)
                socket.send_any(TEXT, text.encode())
            # A frame counts once it is checked: it may have come long before it is looked at.
            answers, told = 0, not query or "after" in query
            while answers < 8 or not told:
                opcode, content = socket.frame()
                assert opcode != CLOSE
                if opcode == TEXT:
                    frame = json.loads(content)
                    frames.check("ws", frame)
                    answers += frame["type"] in ("pong", "result", "error")
                    told = told or frame["type"] in ("message", "messages")
    for query in ("?since=all&limit=5", "?since=all&conflate=10&limit=2", "?after=zzz.5&limit=3"):
        with events(service, query) as stream:
            while (event := stream.next()) is not None:
                frames.check("events", event)
    with websocket(service) as socket, events(service) as stream:
        assert socket.next("welcome") and stream.until(type="welcome")  # both follow
        launch.broker.stop()
        try:
            frames.check("ws", socket.until(lambda frame: frame["type"] == "status"))
            frames.check("events", stream.until(type="status"))
            for body, path in (({"topic": "a", "payload": 1}, "/publish"),
                               ({"messages": [{"topic": "a", "payload": 1}]}, "/publish/batch"),
                               ({"topic": "a", "payload": 1}, "/request"),
                               ({"topic": "a"}, "/subscribe")):  # fmt: skip
                away = ask(service, "POST", path, body)
                assert (away.status, int(away.headers["Retry-After"]) > 0) == (503, True)
                OpenApiJudge(load_document()).check("POST", path, away)
            ready = ask(service, "GET", "/health/ready")
            assert ready.status == 503
            OpenApiJudge(load_document()).check("GET", "/health/ready", ready)
        finally:
            launch.broker.start()
    declared = {
        (channel, kind) for channel in ("ws", "events") for kind in frames.messages_of(channel)
    }
    assert frames.seen == declared


def test_every_type_of_answer_that_is_declared_is_known() -> None:
    """All refusals that the contract promises everywhere are declared on every operation."""
    everywhere = {"403", "405", "413", "414", "421", "422", "431", "500"}
    for (path, item), method in itertools.product(load_document()["paths"].items(), METHODS):
        if method in item:
            assert everywhere <= set(item[method]["responses"]), (method, path)
            guarded = item[method]["x-scope"] != "public"
            assert ("401" in item[method]["responses"]) is guarded, (method, path)
