"""What the log of a running service says, and what it never says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.mqtt_client import mqtt_client, publish_all
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
