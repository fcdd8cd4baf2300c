"""What all endpoints have in common: HEAD, OPTIONS, request ids, and their description."""

from __future__ import annotations

import re

import pytest

from server import VERSION
from tests.service.talking import send
from tests.service_process import ServiceProcess

GETS = ("/", "/health", "/health/live", "/health/ready", "/subscriptions", "/messages", "/topics")
GETS += ("/stats", "/openapi.json")


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
