"""Every error is a problem document that says in a sentence what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.service.talking import send
from tests.service_process import Answer, ServiceProcess


def problem(answer: Answer, status: int) -> dict[str, Any]:
    """Check that an answer is a problem document of this status, and return it."""
    assert answer.status == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    fields = {"type", "title", "status", "detail", "request_id"}
    assert set(document) == (fields | {"errors"} if status == 422 else fields)
    assert document["status"] == status
    assert document["detail"]
    assert document["title"]
    assert document["request_id"] == answer.headers["X-Request-Id"]
    for word in ("Traceback", "sqlite", "SELECT", ".py"):
        assert word not in document["detail"]
    return document


def faults(answer: Answer) -> set[str]:
    """Return the paths of all faults of a 422."""
    document = problem(answer, 422)
    assert all(set(fault) == {"path", "message"} for fault in document["errors"])
    assert all(fault["message"] for fault in document["errors"])
    return {fault["path"] for fault in document["errors"]}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize("path", ["/nothing", "/messages/", "//", "/healthy"])
def test_what_is_not_there_is_a_404(shared: ServiceProcess, method: str, path: str) -> None:
    """A path that nobody has is a 404, whatever the method."""
    problem(send(shared, method, path), 404)


def test_a_query_of_a_thousand_parameters_is_a_422(shared: ServiceProcess) -> None:
    """Tornado would take the query apart first, and refuse so many in words of its own."""
    assert faults(send(shared, "GET", "/messages?" + "&".join(["limit=1"] * 1_000))) == {"limit"}
    assert faults(send(shared, "GET", "/health?" + "&".join(["x=1"] * 1_000))) == {"x"}


@pytest.mark.parametrize("query", ["&" * 8_000, "a&" * 500, "limit=0&" * 999, "topic=&" * 900])
@pytest.mark.parametrize("path", ["/health", "/messages"])
def test_the_answer_to_many_faults_is_bounded(
    shared: ServiceProcess, path: str, query: str
) -> None:
    """A byte that is sent may not cost a hundred that are answered."""
    answer = send(shared, "GET", f"{path}?{query}")
    problem(answer, 422)
    assert 1 <= len(answer.json()["errors"]) <= 100
    assert len(answer.content) < 20_000


def test_a_subscription_that_is_not_there_is_a_404(shared: ServiceProcess) -> None:
    """DELETE of a filter that is not held is a 404."""
    problem(send(shared, "DELETE", "/subscribe/not/held"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/health", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/messages", {"DELETE", "GET", "HEAD", "OPTIONS"}),
        ("POST", "/topics", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "/stats", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/subscriptions", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/publish", {"POST", "OPTIONS"}),
        ("HEAD", "/publish", {"POST", "OPTIONS"}),
        ("GET", "/subscribe", {"POST", "OPTIONS"}),
        ("GET", "/subscribe/a/b", {"DELETE", "OPTIONS"}),
        ("POST", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/ws", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_a_405(
    shared: ServiceProcess, method: str, path: str, allow: set[str]
) -> None:
    """A method that a path does not have is a 405 whose Allow names those it has."""
    answer = send(shared, method, path, b"" if method in ("POST", "PUT", "PATCH") else None)
    if method == "HEAD":
        assert (answer.status, answer.content) == (405, b"")
    else:
        problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allow


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/topic", "/payload"}),
        (
            {"topic": "a/#", "qos": 3, "retain": "yes", "more": 1},
            {"/topic", "/payload", "/qos", "/retain", "/more"},
        ),
        ({"topic": "", "payload": 1}, {"/topic"}),
        ({"topic": "a/+", "payload": 1}, {"/topic"}),
        ({"topic": "$SYS/x", "payload": 1}, {"/topic"}),
        ({"topic": "$share/g/x", "payload": 1}, {"/topic"}),
        ({"topic": "a\x00b", "payload": 1}, {"/topic"}),
        ({"topic": "a\x7fb", "payload": 1}, {"/topic"}),
        ({"topic": "\ufffe", "payload": 1}, {"/topic"}),
        ({"topic": "/" * 201, "payload": 1}, {"/topic"}),
        ({"topic": "ü" * 32_768, "payload": 1}, {"/topic"}),
        ({"topic": 5, "payload": 1}, {"/topic"}),
        ({"topic": "a", "payload": "AP8", "encoding": "base64"}, {"/payload"}),
        ({"topic": "a", "payload": 5, "encoding": "base64"}, {"/payload"}),
        ({"topic": "a", "payload": "x", "encoding": "hex"}, {"/encoding"}),
        ({"topic": "a", "payload": "x", "qos": 1.5}, {"/qos"}),
        ({"topic": "a", "payload": "x", "qos": 2**70}, {"/qos"}),
        ({"topic": "a", "payload": "x", "qos": True}, {"/qos"}),
        ([], {""}),
        ("text", {""}),
        (
            {"topic": "a", "payload": "x", "properties": {"colour": 1, "content_type": 2}},
            {"/properties/colour", "/properties/content_type"},
        ),
    ],
)
def test_publish_names_every_fault(shared: ServiceProcess, body: Any, expected: set[str]) -> None:
    """A wrong order to publish is a 422 that names all of its faults at once."""
    assert faults(shared.post("/publish", body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/topic"}),
        ({"topic": "a/#/b", "qos": "1", "x": 1}, {"/topic", "/qos", "/x"}),
        ({"topic": "a+", "qos": -1}, {"/topic", "/qos"}),
        ({"topic": "$share/g/t"}, {"/topic"}),
        ({"topic": ""}, {"/topic"}),
    ],
)
def test_subscribe_names_every_fault(shared: ServiceProcess, body: Any, expected: set[str]) -> None:
    """A wrong order to subscribe is a 422 that names all of its faults at once."""
    assert faults(shared.post("/subscribe", body)) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b'{"topic": "a", "payload": NaN}',
        b'{"topic": "a", "payload": 1e999}',
        b'{"topic": "a", "payload": "\\ud800"}',
        b'{"topic": "a", "topic": "b", "payload": 1}',
        b"[" * 100_000,
        b'{"topic": "a", "payload": ' + b"9" * 5_000 + b"}",
    ],
    ids=["empty", "cut", "bytes", "nan", "infinite", "surrogate", "twice", "deep", "digits"],
)
def test_a_body_that_is_not_json_is_a_422(shared: ServiceProcess, body: bytes) -> None:
    """Whatever is not proper JSON is a 422 and never a 500."""
    problem(shared.post("/publish", body), 422)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/messages?limit=0&offset=-1&colour=red", {"limit", "offset", "colour"}),
        ("/messages?limit=10001&qos=2&retain=yes", {"limit", "qos", "retain"}),
        ("/messages?limit=many&order=up", {"limit", "order"}),
        (
            "/messages?after=x&before=-1&since=yesterday&until=",
            {"after", "before", "since", "until"},
        ),
        ("/messages?topic=", {"topic"}),
        ("/messages?topic=a/%23/b&topic=ok", {"topic"}),
        ("/messages?limit=5&limit=6", {"limit"}),
        ("/messages?contains=%FF", {"contains"}),
        ("/topics?colour=red&topic=a+b/%23x", {"colour", "topic"}),
        ("/health?verbose=1", {"verbose"}),
        ("/stats?a=1&b=2", {"a", "b"}),
        ("/?x=1", {"x"}),
        ("/subscriptions?x=1", {"x"}),
        ("/openapi.json?x=1", {"x"}),
    ],
)
def test_a_wrong_query_is_a_422(shared: ServiceProcess, path: str, expected: set[str]) -> None:
    """A wrong query is a 422 that names each parameter at fault, unknown ones included."""
    assert faults(send(shared, "GET", path)) == expected


@pytest.mark.parametrize("path", ["/subscribe/a%00b", "/subscribe/%FF", "/subscribe/a/%23/b"])
def test_a_wrong_topic_in_the_path_is_a_422(shared: ServiceProcess, path: str) -> None:
    """A filter in a path is checked like any other."""
    problem(send(shared, "DELETE", path), 422)


def test_too_large_a_payload_is_a_413(shared: ServiceProcess) -> None:
    """A payload over MAX_PAYLOAD_BYTES is a 413, and one of just that size goes."""
    order = {"topic": "large", "qos": 1}
    problem(shared.post("/publish", {**order, "payload": "x" * (2**20 + 1)}), 413)
    assert shared.post("/publish", {**order, "payload": "x" * 2**20}).status == 200
