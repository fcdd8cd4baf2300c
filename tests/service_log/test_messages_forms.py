"""Messages as NDJSON, as CSV, one by one, and their raw payloads."""

from __future__ import annotations

import base64
import csv
import io
import json

import pytest

from tests.service_log.asking import epoch, faults, own_topic, payloads, store
from tests.service_process import ServiceProcess


def test_ndjson_and_csv_hold_the_same_messages(shared: ServiceProcess) -> None:
    """`format=ndjson` has one message a line, and `format=csv` one row with its columns."""
    topic = own_topic()
    stored = store(
        shared,
        {"topic": topic, "payload": "plain"},
        {"topic": topic, "payload": 'comma, "quote"\nline\r\nend'},
        {"topic": topic, "payload": "/wA=", "encoding": "base64"},
        {"topic": topic, "payload": ""},
    )
    answer = shared.get(f"/messages?topic={topic}&order=asc&format=ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.content.endswith(b"\n")
    assert [json.loads(line) for line in answer.content.splitlines()] == stored
    answer = shared.get(f"/messages?topic={topic}&order=asc&format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))
    assert [list(row.values()) for row in table] == [
        [
            str(message["id"]),
            message["timestamp"],
            topic,
            message["payload"],
            message.get("encoding", ""),
            "1",
            "false",
            "",
        ]
        for message in stored
    ]
    assert list(table[0]) == [
        *("id", "time", "topic", "payload", "encoding", "qos", "retain", "properties")
    ]
    nothing = shared.get(f"/messages?topic={topic}/none&format=csv").content
    assert nothing.decode() == ",".join(table[0]) + "\r\n"
    assert shared.get(f"/messages?topic={topic}/none&format=ndjson").content == b""


def test_one_message_by_id_or_position(shared: ServiceProcess) -> None:
    """GET /messages/{id} gives the message; what is no message is a 404, what is no id a 422."""
    topic = own_topic()
    (stored,) = payloads(shared, topic, "x")
    number = stored["id"]
    assert shared.get(f"/messages/{number}").json() == stored
    assert shared.get(f"/messages/{epoch(shared)}.{number}").json() == stored
    for missing in (0, number + 1_000_000, f"zzzz.{number}"):
        for tail in ("", "/payload"):
            answer = shared.get(f"/messages/{missing}{tail}")
            assert answer.status == 404, missing
            assert answer.headers["Content-Type"] == "application/problem+json"
    for wrong in ("x", "1e3", "-1", "1.5", "9" * 30):
        assert faults(shared.get(f"/messages/{wrong}")) == {"id"}
    assert faults(shared.get(f"/messages/{number}?x=1")) == {"x"}


@pytest.mark.parametrize(
    ("properties", "kind"),
    [
        (None, "application/octet-stream"),
        ({"content_type": "image/png"}, "image/png"),
        ({"content_type": "text/html; charset=utf-8"}, "text/html; charset=utf-8"),
        ({"content_type": "no type"}, "application/octet-stream"),
        ({"content_type": "ä/ö"}, "application/octet-stream"),
        ({"response_topic": "a"}, "application/octet-stream"),
    ],
)
@pytest.mark.needs_mosquitto
def test_a_raw_payload_is_a_download(
    shared: ServiceProcess, properties: dict[str, str] | None, kind: str
) -> None:
    """The payload comes as its very bytes, of the type it was sent with, never to be rendered."""
    content = b"\x89PNG\x00\xff<script>"
    order = {
        "topic": own_topic(),
        "payload": base64.b64encode(content).decode(),
        "encoding": "base64",
        **({"properties": properties} if properties else {}),
    }
    (stored,) = store(shared, order)
    answer = shared.get(f"/messages/{stored['id']}/payload")
    assert (answer.status, answer.content) == (200, content)
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_an_empty_payload_downloads_as_nothing(shared: ServiceProcess) -> None:
    """The raw form of an empty payload is an answer without content."""
    (stored,) = payloads(shared, own_topic(), None)
    answer = shared.get(f"/messages/{stored['id']}/payload")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == "0"
