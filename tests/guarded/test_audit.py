"""Who changed what: one line in the log for each order, and never a secret in it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.guarded.asking import UPGRADE, Launch, ask, bearer, events, key_of, websocket, write_keys
from tests.service_process import ServiceProcess

ROOT = bearer("the-root-key")
_NUMBERS = itertools.count(1)
LINE = re.compile(
    r"INFO audit: who=(?P<who>\S+) from=(?P<address>\S+) (?P<what>.*):"
    r" (?P<outcome>\w+) id=(?P<id>\S+)$"
)


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """A service with keys, at the most talkative level."""
    directory = launch.new_directory()
    write_keys(
        directory / "keys.json",
        operator={"scopes": ["read", "publish", "subscribe", "admin"], "publish": ["ours/#"],
                  "read": ["ours/#"]},
        onlooker={"scopes": ["read"]},
    )  # fmt: skip
    yield launch(
        headers=ROOT,
        directory=directory,
        API_KEY="the-root-key",
        API_KEYS_FILE=str(directory / "keys.json"),
        API_KEY_REQUIRED="true",
        TRUSTED_PROXIES="127.0.0.1",
        LOG_LEVEL="DEBUG",
    )


def audited(service: ServiceProcess) -> list[dict[str, str]]:
    """Return the audit lines so far."""
    lines = [line for line in service.log().splitlines() if " audit: " in line]
    found = [LINE.search(line) for line in lines]
    assert all(found), lines
    return [one.groupdict() for one in found if one]


@pytest.mark.parametrize(
    ("method", "target", "body", "what", "outcome"),
    [
        ("POST", "/publish", {"topic": "ours/a", "payload": "s3cret"}, "publish 'ours/a'", "200"),
        ("POST", "/publish", {"topic": "theirs/a", "payload": 1}, "publish 'theirs/a'", "403"),
        (
            "POST",
            "/publish/batch",
            {"messages": [{"topic": "ours/a", "payload": 1}, {"topic": "theirs", "payload": 1}]},
            "publish a batch of 2",
            "207",
        ),
        (
            "POST",
            "/request",
            {"topic": "ours/q", "payload": 1, "timeout": 0.05},
            "request 'ours/q'",
            "504",
        ),
        ("POST", "/request", {"topic": "theirs/q", "payload": 1}, "request 'theirs/q'", "403"),
        ("POST", "/subscribe", {"topic": "ours/+"}, "subscribe 'ours/+'", "200"),
        ("POST", "/subscribe", {"topic": "theirs/+"}, "subscribe 'theirs/+'", "403"),
        ("DELETE", "/subscribe/ours/+", None, "unsubscribe 'ours/+'", "200"),
        ("DELETE", "/subscribe/ours/+", None, "unsubscribe 'ours/+'", "404"),
        ("DELETE", "/subscribe/theirs/+", None, "unsubscribe 'theirs/+'", "403"),
        ("DELETE", "/messages?before=1", None, "purge 'before=1' (0 removed)", "200"),
    ],
)
def test_every_order_over_http_is_written_down(
    service: ServiceProcess, method: str, target: str, body: Any, what: str, outcome: str
) -> None:
    """One line says which key, from where, ordered what, and what became of it."""
    headers = {
        **bearer(key_of("operator")),
        "X-Request-Id": (number := f"order-{next(_NUMBERS)}"),
        "X-Forwarded-For": "10.5.5.5",
    }
    assert ask(service, method, target, body, headers).status == int(outcome)
    service.wait_for(lambda: number in {line["id"] for line in audited(service)})
    assert [line for line in audited(service) if line["id"] == number] == [
        {
            "who": "operator",
            "address": "10.5.5.5",
            "what": what,
            "outcome": outcome,
            "id": number,
        }
    ]
    assert "s3cret" not in service.log()


def test_what_a_key_may_not_do_is_written_down(service: ServiceProcess) -> None:
    """A key that lacks the scope and tries is written down, too, by its name."""
    headers = bearer(key_of("onlooker"))
    for method, path, target in (
        ("DELETE", "/messages", "/messages?before=1"),
        ("POST", "/publish", "/publish"),
        ("POST", "/subscribe", "/subscribe"),
    ):
        before = len(audited(service))
        assert ask(service, method, target, headers=headers).status == 403
        service.wait_for(lambda before=before: len(audited(service)) > before)
        line = audited(service)[before]
        assert (line["who"], line["what"]) == ("onlooker", f"{method} '{path}'")
        assert line["outcome"] == "403"


@pytest.mark.parametrize(
    ("command", "what", "outcome"),
    [
        ({"action": "publish", "topic": "ours/a", "payload": "s3cret"}, "publish 'ours/a'", "done"),
        ({"action": "publish", "topic": "theirs/a", "payload": 1}, "publish 'theirs/a'", "403"),
        ({"action": "publish", "topic": "a/#", "payload": 1}, "publish 'a/#'", "422"),
        ({"action": "subscribe", "topic": "ours/#"}, "subscribe 'ours/#'", "done"),
        ({"action": "subscribe", "topic": "#"}, "subscribe '#'", "403"),
        ({"action": "unsubscribe", "topic": "ours/#"}, "unsubscribe 'ours/#'", "done"),
        ({"action": "unsubscribe", "topic": "ours/#"}, "unsubscribe 'ours/#'", "404"),
    ],
)
def test_every_order_on_a_websocket_is_written_down(
    service: ServiceProcess, command: dict[str, Any], what: str, outcome: str
) -> None:
    """Commands are written down like requests."""
    headers = {**bearer(key_of("operator")), "X-Forwarded-For": "10.5.5.6"}
    before = len(audited(service))
    with websocket(service, "", headers) as socket:
        socket.command(**command)
        assert socket.answer()["ok"] is (outcome == "done")
    service.wait_for(lambda: len(audited(service)) > before)
    (line,) = audited(service)[before:]
    assert (line["who"], line["address"]) == ("operator", "10.5.5.6")
    assert (line["what"], line["outcome"]) == (f"{what} over /ws", outcome)


def test_reading_is_not_written_down(service: ServiceProcess) -> None:
    """The audit is of changes: reading, pinging and filtering make no line."""
    before = len(audited(service))
    for target in ("/messages", "/topics", "/stats", "/subscriptions", "/whoami", "/export"):
        assert ask(service, "GET", target, headers=ROOT).status == 200
    with websocket(service, "", ROOT) as socket:
        socket.command(action="filter", topics=["a"])
        assert socket.answer()["ok"]
        socket.command(action="ping")
        assert socket.answer()
    assert len(audited(service)) == before


def test_a_topic_cannot_forge_a_line(service: ServiceProcess) -> None:
    """What callers write stays on their own line of the log."""
    forged = "x\nINFO audit: who=root from=1.2.3.4 publish 'y': 200 id=z"
    before = len(audited(service))
    ask(service, "DELETE", "/subscribe/x%0aINFO%20audit%3A%20who=root", headers=ROOT)
    ask(service, "POST", "/publish", {"topic": forged, "payload": 1}, ROOT)
    ask(service, "GET", "/topics/a%0aINFO%20audit:%20who=root", headers=ROOT)
    with websocket(service, "", ROOT) as socket:
        socket.command(action="publish", topic=forged, payload=1)
        assert socket.answer()["status"] == 422
    assert not [line for line in audited(service)[before:] if line["who"] == "root"]


def test_without_keys_it_is_the_address(launch: Launch) -> None:
    """Where nobody shows a key the audit names the address."""
    service = launch()
    order = {"topic": "a", "payload": 1}
    assert ask(service, "POST", "/publish", order).status == 200
    service.wait_for(lambda: "publish 'a'" in service.log())
    line = audited(service)[-1]
    assert (line["who"], line["address"]) == ("127.0.0.1", "127.0.0.1")
    assert (line["what"], line["outcome"]) == ("publish 'a'", "200")


def test_no_key_or_ticket_is_ever_in_the_log(service: ServiceProcess) -> None:
    """Right or wrong, in a header, a frame or a URL: no key and no ticket is logged, even at
    DEBUG. (The last: it reads the log of all the tests.)"""
    ticket = ask(service, "POST", "/ws/ticket", headers=ROOT).json()["ticket"]
    with events(service, f"?ticket={ticket}") as stream:
        assert stream.until(type="welcome")
    ask(service, "GET", f"/events?ticket={ticket}")
    ask(service, "GET", "/ws?ticket=wr0ng-ticket", headers=UPGRADE)
    ask(service, "GET", "/messages?api_key=wr0ng-key")
    ask(service, "GET", "/none?api_key=wr0ng-key")
    ask(service, "GET", "/health?token=wr0ng-key")
    ask(service, "DELETE", "/messages?before=1&key=wr0ng-key", headers=ROOT)
    ask(service, "GET", "/stats", headers=bearer("wr0ng-key"))
    ask(service, "GET", "/stats", headers={"Authorization": "Basic wr0ng-key"})
    for frame in ({"action": "auth", "key": "wr0ng-key"}, {"action": "wr0ng-key"}):
        with websocket(service, "") as socket:
            socket.command(**frame)
            assert socket.close_code() == 1008
    with websocket(service, "", ROOT) as socket:
        socket.command(action="auth", key="the-root-key")
        assert socket.answer()["ok"]
        socket.command(action="auth", key=5, more="wr0ng-key")
        assert not socket.answer()["ok"]
    log = service.log()
    for secret in (ticket, "the-root-key", key_of("operator"), key_of("onlooker"), "wr0ng"):
        assert secret not in log, [line for line in log.splitlines() if secret in line]
