"""The curl lines of the text that the product was asked for in, run by the real curl."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.service.talking import wait_until_subscribed
from tests.service_process import ServiceProcess

PUBLISH = r"""
curl -X POST "http://localhost:8000/publish" \
  -H "Content-Type: application/json" \
  -d '{
    "topic": "factory/line1/press1/temperature",
    "payload": "45.2",
    "qos": 1,
    "retain": false
  }'
"""
SUBSCRIBE = r"""
curl -X POST "http://localhost:8000/subscribe" \
  -H "Content-Type: application/json" \
  -d '{
    "topic": "factory/+/+/temperature",
    "qos": 1
  }'
"""
ALL_MESSAGES = 'curl "http://localhost:8000/messages"'
BY_TOPIC = 'curl "http://localhost:8000/messages?topic=factory/line1/press1/temperature"'
PAGINATION = 'curl "http://localhost:8000/messages?limit=50&offset=0"'
STATISTICS = 'curl "http://localhost:8000/stats"'
HEALTH = "curl http://localhost:8000/health"
pytestmark = pytest.mark.needs_curl


def run_curl(service: ServiceProcess, directory: Path, line: str) -> Any:
    """Run a line in a shell with only host and port changed; return the JSON of a 200.

    What the test wants beside the line (no progress bar, the status) is in curl's own .curlrc.
    """
    assert line.count("localhost:8000") == 1
    (directory / ".curlrc").write_text('silent\nnoproxy = "*"\nwrite-out = "\\n%{http_code}"\n')
    done = subprocess.run(
        ["sh", "-c", line.replace("localhost:8000", f"127.0.0.1:{service.port}")],
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "CURL_HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    assert status == "200", done.stdout
    return json.loads(body)


def test_the_curl_lines_of_the_seed(service: ServiceProcess, tmp_path: Path) -> None:
    """Each curl line of the seed does what the seed says beside it."""
    service.start(ready=True)
    wait_until_subscribed(service)

    def run(line: str) -> Any:
        return run_curl(service, tmp_path, line)

    assert run(SUBSCRIBE)["data"] == {"topic": "factory/+/+/temperature", "qos": 1}
    published = run(PUBLISH)
    assert (published["success"], published["message"]) == (True, "Message published successfully")
    assert published["data"]["topic"] == "factory/line1/press1/temperature"
    assert published["data"]["confirmed"] is True
    service.wait_for(lambda: service.get("/messages").json())
    service.post("/publish", {"topic": "factory/line1/press1/pressure", "payload": 7, "qos": 1})
    service.wait_for(lambda: len(service.get("/messages").json()) == 2)

    everything = run(ALL_MESSAGES)
    assert [message["payload"] for message in everything] == ["7", "45.2"]
    assert run(PAGINATION) == everything
    (message,) = run(BY_TOPIC)
    assert message == everything[1]
    assert (message["topic"], message["qos"], message["retain"]) == (
        "factory/line1/press1/temperature",
        1,
        False,
    )
    statistics = run(STATISTICS)
    assert (statistics["total_messages"], statistics["unique_topics"]) == (2, 2)
    assert statistics["recent_messages"] == 2
    assert statistics["topic_counts"] == {
        "factory/line1/press1/temperature": 1,
        "factory/line1/press1/pressure": 1,
    }
    assert statistics["mqtt_connected"] is True
    assert statistics["websocket_connections"] == 0
    health = run(HEALTH)
    assert (health["status"], health["mqtt_connected"]) == ("healthy", True)
    assert (health["message_count"], health["active_subscriptions"]) == (2, 2)
    assert health["websocket_connections"] == 0
    assert health["uptime"] > 0
