"""Whatever is ordered and asked: no fault of ours, and the connection to the broker lives."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.topics import InvalidTopic, check_filter, check_publish_name
from tests.guarded.asking import ask, websocket
from tests.guarded.documents import OpenApiJudge
from tests.guarded.hostile import CAREFUL, FEWER, JSON_VALUES, MAX_PAYLOAD, TEXTS, connected
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def service(attacked: ServiceProcess) -> ServiceProcess:
    """The service that gets all of it."""
    return attacked


@pytest.fixture(scope="module")
def judge(service: ServiceProcess) -> OpenApiJudge:
    """The document as served."""
    return OpenApiJudge(service.get("/openapi.json").json())


# -- the poison cupboard ----------------------------------------------------

POISON: dict[str, Any] = {
    "NUL": {"topic": "a\x00b", "payload": "x"},
    "control character": {"topic": "a\x1fb", "payload": "x"},
    "C1 control character": {"topic": "a\x85b", "payload": "x"},
    "U+FFFE": {"topic": "a\ufffe", "payload": "x"},
    "noncharacter of another plane": {"topic": "a\U0010ffff", "payload": "x"},
    "lone surrogate": b'{"topic": "a\\ud800", "payload": "x", "qos": 1}',
    "lone surrogate as payload": b'{"topic": "a", "payload": "\\udfff", "qos": 1}',
    "empty": {"topic": "", "payload": "x"},
    "plus": {"topic": "a/+/b", "payload": "x"},
    "hash": {"topic": "a/#", "payload": "x"},
    "65,536 bytes": {"topic": "a" * 65_536, "payload": "x"},
    "201 slashes": {"topic": "/" * 201, "payload": "x"},
    "oversize payload": {"topic": "a", "payload": "x" * (MAX_PAYLOAD + 1)},
    "oversize payload as base64": {
        "topic": "a",
        "payload": base64.b64encode(bytes(MAX_PAYLOAD + 1)).decode(),
        "encoding": "base64",
    },
    "NUL in a user property": {
        "topic": "a",
        "payload": "x",
        "properties": {"user_properties": [["a\x00", "b"]]},
    },
    "NUL in the content type": {
        "topic": "a",
        "payload": "x",
        "properties": {"content_type": "text\x00"},
    },
    "wildcard as response topic": {
        "topic": "a",
        "payload": "x",
        "properties": {"response_topic": "a/#"},
    },
    "expiry beyond 32 bits": {
        "topic": "a",
        "payload": "x",
        "properties": {"message_expiry_interval": 2**32},
    },
    "correlation data too long": {
        "topic": "a",
        "payload": "x",
        "properties": {"correlation_data": base64.b64encode(bytes(65_536)).decode()},
    },
    "$SYS": {"topic": "$SYS/broker/uptime", "payload": "x"},
    "$share": {"topic": "$share/group/a", "payload": "x"},
    "bad base64": {"topic": "a", "payload": "AP8", "encoding": "base64"},
    "deep nesting": b'{"topic": "a", "payload": ' + b"[" * 100_000 + b"}",
    "deep nesting, closed": b'{"topic": "a", "payload": ' + b"[" * 9_000 + b"]" * 9_000 + b"}",
    "NaN": b'{"topic": "a", "payload": NaN}',
    "infinity": b'{"topic": "a", "payload": 1e999}',
    "5,000-digit integer": b'{"topic": "a", "payload": ' + b"9" * 5_000 + b"}",
    "bad UTF-8": b'{"topic": "a\xff", "payload": "x"}',
    "UTF-16": '{"topic": "a", "payload": "x"}'.encode("utf-16"),
    "doubled name": b'{"topic": "a", "topic": "b", "payload": "x"}',
    "empty body": b"",
    "qos with a fraction": b'{"topic": "a", "payload": "x", "qos": 2.0}',
    "expiry with a fraction": {
        "topic": "a",
        "payload": "x",
        "properties": {"message_expiry_interval": 5.0},
    },
    "huge qos": b'{"topic": "a", "payload": "x", "qos": 99999999999999999999}',
}


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("qos", [0, 1])
def test_poison_never_reaches_the_broker(
    service: ServiceProcess, judge: OpenApiJudge, poison: str, qos: int
) -> None:
    """A publish that would cost the connection, over HTTP or as a command, is a 4xx that says
    why, and the connection stays what it was."""
    before, body = connected(service), POISON[poison]
    if isinstance(body, dict):
        body = {**body, "qos": qos}
    answer = ask(service, "POST", "/publish", body)
    assert 400 <= answer.status < 500, (answer.status, answer.content)
    judge.check("POST", "/publish", answer)
    if isinstance(body, dict):
        batch = ask(service, "POST", "/publish/batch", {"messages": [body]})
        results = batch.json().get("data", {}).get("results", [{"status": batch.status}])
        assert [one["status"] for one in results] == [answer.status]
        request = {name: body[name] for name in body if name in ("topic", "payload", "encoding")}
        if "properties" not in body:
            assert ask(service, "POST", "/request", request).status == answer.status
        with websocket(service, "?topic=none") as socket:
            socket.command(action="publish", **body)
            assert socket.answer()["status"] == answer.status
    assert connected(service) == before
    assert service.get("/health").json()["mqtt_connected"]
    harmless = {"topic": "harmless", "payload": 1, "qos": 1}
    assert ask(service, "POST", "/publish", harmless).status == 200


@pytest.mark.parametrize("filter_", ["", "a\x00", "a/#/b", "a+", "$share/g/a", "\ufffe", "/" * 201])
def test_poisoned_subscriptions_never_reach_the_broker(
    service: ServiceProcess, filter_: str
) -> None:
    """A filter that would cost the connection is a 422 everywhere that one is taken."""
    before = connected(service)
    assert ask(service, "POST", "/subscribe", {"topic": filter_}).status == 422
    for target in ("/messages?topic=", "/events?topic=", "/topics?topic=", "/export?topic="):
        assert ask(service, "GET", target + quote(filter_)).status == 422, target
    assert ask(service, "DELETE", "/subscribe/" + quote(filter_, safe="")).status in (404, 422)
    with websocket(service, "?topic=none") as socket:
        for command in (
            {"action": "filter", "topics": [filter_]},
            {"action": "subscribe", "topic": filter_},
            {"action": "unsubscribe", "topic": filter_},
        ):
            socket.command(**command)
            assert socket.answer()["status"] == 422
    assert connected(service) == before


@pytest.mark.parametrize("part", ["%00", "%0d%0a", "%0D%0AX-Injected:%201", "%2F", "%2f..%2f",
                                  "%ff", "%", "%zz", "%u0000", "..%2f..%2fetc%2fpasswd", "%7f",
                                  "%C0%AF", "%ED%A0%80", "%E2%80%A8", "%23", "%2B"])  # fmt: skip
def test_odd_paths_are_told_apart_and_harmless(
    service: ServiceProcess, judge: OpenApiJudge, part: str
) -> None:
    """What is quoted in a path is one text, checked like any other; no header grows from it and
    no line of the log breaks."""
    for method, path, target in (
        ("GET", "/topics/{topic}", f"/topics/odd{part}"),
        ("DELETE", "/subscribe/{topic}", f"/subscribe/odd{part}"),
        ("GET", "/messages/{id}", f"/messages/{part}"),
        ("GET", "/messages/{id}/payload", f"/messages/{part}/payload"),
        ("GET", "/assets/{file}", f"/assets/{part}"),
        ("GET", "/messages", f"/messages?topic=odd{part}"),
        ("GET", "/topics", f"/topics?prefix=odd{part}"),
    ):
        answer = ask(service, method, target)
        assert answer.status in (200, 404, 422), (target, answer.status)
        judge.check(method, path, answer)
        assert answer.headers["X-Injected"] is None
    assert not re.search(r"(?m)^X-Injected", service.log())
    assert "root:" not in service.log()


# -- found by hypothesis ----------------------------------------------------


@CAREFUL
@given(topic=TEXTS, payload=JSON_VALUES | TEXTS, qos=st.integers(-1, 3) | JSON_VALUES)
def test_any_order_is_done_or_refused(
    service: ServiceProcess, judge: OpenApiJudge, topic: str, payload: Any, qos: Any
) -> None:
    """Any topic with any payload is published, or refused with a problem; never anything else."""
    answer = ask(service, "POST", "/publish", {"topic": topic, "payload": payload, "qos": qos})
    judge.check("POST", "/publish", answer)
    assert answer.status in (200, 422)
    if answer.status == 200:
        check_publish_name(topic)


@CAREFUL
@given(body=st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("path", ["/publish", "/publish/batch", "/request", "/subscribe"])
def test_any_body_is_understood_or_refused(
    service: ServiceProcess, judge: OpenApiJudge, path: str, body: bytes
) -> None:
    """Bytes that are no order are a 422 and nothing happens."""
    answer = ask(service, "POST", path, body)
    assert answer.status in (207, 422)
    judge.check("POST", path, answer)


@FEWER
@given(
    payload=st.binary(max_size=300),
    topic=st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}", fullmatch=True),
)
def test_any_bytes_come_back_unchanged(service: ServiceProcess, payload: bytes, topic: str) -> None:
    """What was published as base64 is stored and read back byte for byte."""
    body = {"topic": topic, "payload": base64.b64encode(payload).decode(), "encoding": "base64"}
    before = service.get("/messages?limit=1").headers["X-Log-Position"]
    assert ask(service, "POST", "/publish", {**body, "qos": 1}).status == 200
    found: list[Any] = []

    def came() -> bool:
        found[:] = service.get(f"/messages?after={before}&topic={quote(topic)}").json()
        return bool(found)

    service.wait_for(came)
    assert ask(service, "GET", f"/messages/{found[0]['id']}/payload").content == payload


@CAREFUL
@given(text=TEXTS)
def test_any_filter_is_taken_or_refused(service: ServiceProcess, text: str) -> None:
    """A filter is good for the service exactly when it is one for MQTT."""
    try:
        raw = quote(text, safe="")
    except UnicodeEncodeError:
        raw = quote(text, safe="", errors="surrogatepass")
    try:
        check_filter(text)
        expected = 200
    except InvalidTopic:
        expected = 422
    assert ask(service, "GET", f"/messages?limit=1&topic={raw}").status == expected


@CAREFUL
@given(
    path=st.sampled_from(
        ["/messages", "/topics", "/export", "/series", "/topics/a", "/messages/1"]
    ),
    pairs=st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "topic",
                    "limit",
                    "offset",
                    "after",
                    "before",
                    "since",
                    "until",
                    "order",
                    "qos",
                    "retain",
                    "contains",
                    "format",
                    "field",
                    "bucket",
                    "prefix",
                    "details",
                    "max_points",
                    "raw",
                    "x",
                ]
            )
            | TEXTS,
            TEXTS
            | st.integers().map(str)
            | st.floats().map(str)
            | st.datetimes().map(str)
            | st.sampled_from(["asc", "csv", "true", "a/#", "$.a", "auto", "1h", "0", "", "a.1"]),
        ),
        max_size=4,
    ),
)
def test_any_query_is_answered_or_refused(
    service: ServiceProcess, judge: OpenApiJudge, path: str, pairs: list[tuple[str, str]]
) -> None:
    """Any parameters with any values are an answer or a problem that names them."""
    query = "&".join(
        f"{quote(name, errors='surrogatepass')}={quote(value, errors='surrogatepass')}"
        for name, value in pairs
    )
    answer = ask(service, "GET", f"{path}?{query}")
    assert answer.status in (200, 404, 422), answer.content
    template = {"/topics/a": "/topics/{topic}", "/messages/1": "/messages/{id}"}.get(path, path)
    judge.check("GET", template, answer)
