"""What the log of a running service says, and what it never says."""

from __future__ import annotations

import base64
import json
import logging
import re
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.decisions import explain, explain_refusal
from gateway.mailbox import Delivery
from store.message import Message
from tests.mqtt_client import mqtt_client, publish_all
from tests.service.talking import CLOSE, TEXT, listen_bare
from tests.service_process import ServiceProcess

SECRET = "the-secret-of-this-test"


def test_debug_explains_each_message_and_no_level_tells_secrets(
    service: ServiceProcess, broker: Any
) -> None:
    """At DEBUG each message has a line with what became of it; neither payloads nor keys nor
    passwords nor tickets are in any line, and each line is one JSON object."""
    key = {"Authorization": f"Bearer {SECRET}"}
    service.start(
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="json",
        API_KEY=SECRET,
        API_KEY_REQUIRED="true",
        MQTT_PASSWORD=f"{SECRET}-of-mqtt",
        MQTT_SUBSCRIPTIONS="#",
    )
    service.wait_for(lambda: service.get("/health/ready").status == 200)
    service.wait_for(lambda: bool(service.get("/subscriptions", key).json()))
    with mqtt_client(broker.port) as client:
        publish_all(client, [("told/one", f"{SECRET}-payload")])
    service.wait_for(lambda: service.get("/messages?topic=told/one", key).json())
    ticket = service.post("/ws/ticket", None, key).json()["ticket"]
    service.get(f"/events?ticket={ticket}&limit=1&after=0")
    answer = service.get("/messages?api_key=" + SECRET, {"X-Request-Id": "mine-1"})
    assert answer.status == 401
    service.terminate()
    text = service.log()
    lines = [json.loads(line) for line in text.splitlines()]
    told = [line["message"] for line in lines if line["logger"] == "decision"]
    assert any(re.match(r"'told/one' at QoS [01].*: stored as \d+, ", line) for line in told)
    assert any("id=mine-1" in line["message"] for line in lines if line["logger"] == "access")
    assert SECRET not in text and ticket not in text


def test_under_the_journal_lines_have_priorities(service: ServiceProcess, tmp_path: Path) -> None:
    """When standard error is the journal's, each line begins with <N> and has no time."""
    (tmp_path / "service.log").touch()
    here = (tmp_path / "service.log").stat()
    service.start(JOURNAL_STREAM=f"{here.st_dev}:{here.st_ino}", CORS_ORIGINS="*")
    assert service.terminate() == 0
    lines = service.log().splitlines()
    assert "<6>server: stopping" in lines
    assert any(line.startswith("<4>server: any web page may call") for line in lines)
    assert all(re.match(r"<[2-7]>\w", line) for line in lines)


@pytest.mark.needs_mosquitto
def test_each_decision_about_a_message_has_its_words(service: ServiceProcess, broker: Any) -> None:
    """Stored, a second copy, a retained repeat, not storable yet, and pruned: each can be found."""
    with mqtt_client(broker.port) as client:
        client.publish("told/kept", "same", 1, True).wait_for_publish(10)
        service.start(
            ready=True,
            LOG_LEVEL="DEBUG",
            LOG_FORMAT="logfmt",
            MQTT_SUBSCRIPTIONS="told/#,+/twice",
            MAX_HISTORY_SIZE="3",
        )
        service.wait_until_subscribed()
        publish_all(client, [("told/twice", "1")])
        told(service, r"'told/twice' at QoS 1, packet \d+: stored as \d+, acknowledged, shown")
        told(service, r"'told/twice' .*: a second copy, for an overlapping subscription; ack")
        publish_all(client, [("told/many", str(number)) for number in range(5)])
        told(service, r"\d+ messages? pruned, over MAX_HISTORY_SIZE.*; the oldest is \d+ now")
        with closing(sqlite3.connect(service.database, isolation_level=None)) as stranger:
            stranger.execute("BEGIN IMMEDIATE")
            client.publish("told/later", "x", 1)
            told(service, r"'told/later' .*: cannot be stored yet; shown without an id, kept, not")
            stranger.execute("ROLLBACK")
        told(service, r"'told/later' .*: stored as \d+")
        assert service.terminate() == 0
        service.start(ready=True)
        told(service, r"'told/kept' at QoS 1, retained.*: a retained message that repeats")
    assert service.terminate() == 0


def told(service: ServiceProcess, words: str) -> None:
    """Wait for a line of `decision` with these words."""
    line = re.compile(rf"(?m)^time=.* level=DEBUG logger=decision message=.*{words}")
    service.wait_for(lambda: line.search(service.log()) is not None)


def test_what_is_turned_away_or_comes_again_is_told_too(caplog: pytest.LogCaptureFixture) -> None:
    """A delivery that finds no room, at either QoS, and one that was stored before."""
    again = Message("told/again", "x", 7, 1, packet_id=3)
    lost = Message("told/lost", "x", 8, 0)
    with caplog.at_level(logging.DEBUG):
        explain([Delivery(again, 1, True, False)], [], [])
        explain_refusal(again)
        explain_refusal(lost)
    words = [one.getMessage() for one in caplog.records]
    assert words[0].endswith(
        "packet 3: delivered again, and stored before; acknowledged, not stored"
    )
    assert words[1].endswith("not taken in, the broker is to send it again")
    assert words[2].endswith("not taken in, lost, as QoS 0 may be")


@pytest.mark.parametrize("line_format", ["", "json", "logfmt"])
def test_no_secret_is_logged_however_it_comes(service: ServiceProcess, line_format: str) -> None:
    """A key in the query, as a password in the URL, in headers good and broken, in a cookie, in a
    WebSocket's first frame, in the environment, and in what makes no sense: none is in the log."""
    service.start(
        LOG_LEVEL="DEBUG",
        LOG_FORMAT=line_format,
        LOG_FILE=str(service.directory / "copy.log"),
        API_KEY=SECRET,
        API_KEY_REQUIRED="true",
        MQTT_PASSWORD=SECRET,
        CORS_ORIGINS="",
    )
    basic = base64.b64encode(f"someone:{SECRET}".encode()).decode()
    for head in (
        f"GET /messages?key={SECRET}&ticket={SECRET} HTTP/1.1",
        f"GET http://someone:{SECRET}@127.0.0.1/messages HTTP/1.1",
        f"GET /events?access_token={SECRET} HTTP/1.1",
        f"GET /messages HTTP/1.1\r\nAuthorization: Bearer {SECRET}",
        f"GET /messages HTTP/1.1\r\nAuthorization: Basic {basic}",
        f"GET /messages HTTP/1.1\r\nAuthorization Bearer {SECRET}",
        f"GET /messages HTTP/1.1\r\nX-API-Key: {SECRET}\r\nX-API-Key: {SECRET}",
        f"GET /messages HTTP/1.1\r\nCookie: key={SECRET}\r\nReferer: http://x/?key={SECRET}",
        f"GET /messages HTTP/1.1\r\nX-Request-Id: {SECRET}!\r\nOrigin: http://{SECRET}",
        f"POST http://x:{SECRET}@127.0.0.1/publish HTTP/1.1\r\nOrigin: http://elsewhere",
        f"{SECRET} /messages HTTP/1.1",
        f"nonsense {SECRET}",
    ):
        with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
            connection.sendall(f"{head}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            while connection.recv(4096):
                pass
    with listen_bare(service) as listener:
        listener.send(TEXT, json.dumps({"action": "auth", "key": f"{SECRET}?"}).encode())
        while listener.frame()[0] != CLOSE:
            pass
    assert service.terminate() == 0
    logged = service.log() + (service.directory / "copy.log").read_text()
    assert logged.count("GET") > 10
    assert SECRET not in logged and basic not in logged, logged
