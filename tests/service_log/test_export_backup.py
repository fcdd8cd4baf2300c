"""GET /export and GET /backup: everything at once, in bounded pieces, while the service works."""

from __future__ import annotations

import base64
import csv
import http.client
import io
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client, publish_all
from tests.service.talking import history
from tests.service_log.asking import epoch, faults, head, ids, own_topic, payloads, quoted, store
from tests.service_process import Answer, ServiceProcess


def lines(answer: Answer) -> list[dict[str, Any]]:
    """Return the messages of an NDJSON answer."""
    assert answer.status == 200, answer.content
    assert not answer.content or answer.content.endswith(b"\n")
    return [json.loads(line) for line in answer.content.splitlines()]


def table(answer: Answer) -> list[dict[str, str]]:
    """Return the rows of a CSV answer."""
    assert answer.status == 200, answer.content
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def fill(service: ServiceProcess, port: int, topic: str, count: int) -> None:
    """Store messages of 4,000 bytes."""
    before = service.get("/health").json()["message_count"]
    with mqtt_client(port) as client:
        publish_all(client, [(topic, "z" * 4_000) for _ in range(count)])
    service.wait_for(lambda: service.get("/health").json()["message_count"] == before + count)


@contextmanager
def pouring(port: int, topic: str) -> Iterator[list[int]]:
    """Publish numbers to a topic all the while; the list holds how many are confirmed."""
    sent = [0]
    ends = threading.Event()

    def pour() -> None:
        with mqtt_client(port) as client:
            while not ends.is_set():
                numbers = range(sent[0], sent[0] + 20)
                publish_all(client, [(topic, str(number)) for number in numbers])
                sent[0] += 20

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield sent
    finally:
        ends.set()
        thread.join()


# -- NDJSON -------------------------------------------------------------------------------------


def test_an_export_is_the_log(shared: ServiceProcess) -> None:
    """NDJSON gives every message as the history has it, oldest first, as a download."""
    topic = own_topic()
    payloads(shared, topic, *(f"{number} ü\n" for number in range(1_000)))
    payloads(shared, topic, *range(1_000))
    store(
        shared,
        {"topic": f"{topic}/bytes", "payload": "/wCA", "encoding": "base64"},
        {"topic": f"{topic}/nul", "payload": "a\x00b\u2028c"},
        {"topic": f"{topic}/empty", "payload": ""},
    )
    answer = shared.get("/export")
    assert lines(answer) == history(shared)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="messages.ndjson"'
    assert answer.headers["X-Log-Position"] == f"{epoch(shared)}.{head(shared)}"
    assert answer.headers["X-Log-Gap"] is None


def test_an_export_resumes(shared: ServiceProcess) -> None:
    """Cut anywhere, an export goes on with `after` of the last whole line, and loses nothing."""
    topic = own_topic()
    stored = payloads(shared, topic, *("x" * 500 for _ in range(1_000)))
    stored += payloads(shared, topic, *("y" * 500 for _ in range(1_000)))
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=30)
    connection.request("GET", f"/export?topic={topic}")
    answer = connection.getresponse()
    first = [json.loads(answer.readline()) for _ in range(700)]
    answer.close()
    connection.close()
    for position in (first[-1]["id"], f"{epoch(shared)}.{first[-1]['id']}"):
        rest = lines(shared.get(f"/export?topic={topic}&after={position}"))
        assert first + rest == stored
    assert lines(shared.get(f"/export?topic={topic}&after={stored[-1]['id']}")) == []
    answer = shared.get("/export?after=zzzz.1")
    assert answer.headers["X-Log-Gap"].startswith("reason=epoch;after=zzzz.1;next=")
    assert lines(answer) == history(shared)


def test_an_export_takes_the_filters_of_messages(shared: ServiceProcess) -> None:
    """Topic, positions, times, qos, retain and contains select as they do in /messages."""
    root = own_topic()
    stored = store(
        shared,
        *(
            {"topic": f"{root}/{number % 3}", "payload": f"n{number}", "qos": number % 2}
            for number in range(30)
        ),
    )
    known = ids(stored)
    for query in (
        f"topic={root}/1",
        f"topic={root}/+&topic={root}/1&topic={root}/%23",
        f"topic={root}/%23&qos=0",
        f"topic={root}/%23&contains=n1",
        f"topic={root}/%23&retain=true",
        f"topic={root}/%23&after={known[4]}&before={known[20]}",
        f"topic={root}/%23&since={stored[7]['timestamp']}&until={stored[-3]['timestamp']}",
        f"topic={root}/2&qos=1&contains=2&since=1h",
    ):
        exported = lines(shared.get(f"/export?{query}"))
        assert exported == shared.get(f"/messages?{query}&order=asc").json(), query
        assert bool(exported) is ("retain" not in query)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=5", {"limit"}),
        ("order=desc", {"order"}),
        ("format=json", {"format"}),
        ("raw=1", {"raw"}),
        ("topic=&after=x", {"topic", "after"}),
        ("before=zzzz.1", {"before"}),
    ],
)
def test_a_wrong_export_is_a_422(shared: ServiceProcess, query: str, expected: set[str]) -> None:
    """What an export does not have, or is wrong, is named before anything is sent."""
    assert faults(shared.get(f"/export?{query}")) == expected


def test_an_export_streams_while_messages_arrive(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """Each export ends at the head it began with, whatever arrives, and the next goes on there."""
    topic = own_topic()
    payloads(shared, topic, *("x" * 2_000 for _ in range(1_000)))
    after = head(shared) - 1_000
    found: list[dict[str, Any]] = []
    sizes = []
    with pouring(shared_broker.port, topic) as sent:
        while sent[0] < 1_500 or sum(size > 0 for size in sizes) < 3:
            answer = shared.get(f"/export?after={after}")
            part = lines(answer)
            found += part
            sizes.append(len(part))
            position = int(answer.headers["X-Log-Position"].partition(".")[2])
            assert not part or part[-1]["id"] == position
            after = position
    confirmed = 1_000 + sent[0]
    shared.wait_for(lambda: len(history(shared, f"&topic={topic}")) == confirmed)
    found += lines(shared.get(f"/export?after={after}"))
    assert found == history(shared, f"&topic={topic}")


def test_an_export_comes_in_pieces(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """An export is not held back until it is complete: its beginning comes while it goes on."""
    topic = own_topic()
    fill(shared, shared_broker.port, topic, 4_000)
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        reader.settimeout(30)
        reader.connect(("127.0.0.1", shared.port))
        reader.sendall(f"GET /export?topic={topic} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        beginning = b""
        while b"\r\n\r\n" not in beginning:
            beginning += reader.recv(65_536)
        assert b"Transfer-Encoding: chunked" in beginning
        # Unread, it cannot be complete: 16 MB do not fit between us. Others are served meanwhile.
        (stored,) = payloads(shared, f"{topic}/other", "x")
        assert shared.get("/messages?limit=1").json() == [stored]
        total = len(beginning)
        tail = beginning
        while not tail.endswith(b"0\r\n\r\n"):
            part = reader.recv(1 << 20)
            assert part, "the stream was cut"
            total += len(part)
            tail = (tail + part)[-10:]
    assert total > 4_000 * 4_000


# -- CSV ----------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+SUM(A1)", "-2+3", "@cmd", "\t=1", "\r=1", "=", "-", "+", "@", "--1", "+-1"]
PLAIN = ["-4.2", "+5", "-1e-3", "-0", "12", "a=b", " =1", "text", "", "'quoted", "1,5", 'a"b\nc']


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_an_export_that_retention_overtakes_is_not_short_in_silence(
    service: ServiceProcess, broker: Mosquitto | EmbeddedStandIn, form: str
) -> None:
    """A reader so slow that what it was to get is removed meanwhile: NDJSON has a line that says
    what is gone; CSV, which has none, breaks off, and does not look whole."""
    service.start(ready=True, MAX_HISTORY_SIZE="3000")
    fill(service, broker.port, "a", 3_000)
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        caller.settimeout(30)
        caller.connect(("127.0.0.1", service.port))
        caller.sendall(f"GET /export?format={form} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        caller.recv(1)
        with mqtt_client(broker.port) as client:
            publish_all(client, [("b", "new") for _ in range(3_000)])
        topics = ["b"]
        service.wait_for(lambda: service.get("/topics").json() == topics)
        answer = b""
        while not answer.endswith(b"0\r\n\r\n"):
            piece = caller.recv(1 << 20)
            answer += piece
            if not piece:
                break
    whole = answer.endswith(b"0\r\n\r\n")
    assert whole == (form == "ndjson")
    assert (b'{"type":"gap","reason":"pruned"' in answer) == (form == "ndjson")


def test_csv_guards_formulas(shared: ServiceProcess) -> None:
    """A cell that a spreadsheet would run gets an apostrophe; numbers and other texts do not."""
    topic = own_topic()
    payloads(shared, topic, *FORMULAS, *PLAIN)
    found = [row["payload"] for row in table(shared.get(f"/export?topic={topic}&format=csv"))]
    assert found == [f"'{text}" for text in FORMULAS] + PLAIN
    query = f"/messages?topic={topic}&format=csv&order=asc"
    assert [row["payload"] for row in table(shared.get(query))] == found
    raw = table(shared.get(f"/export?topic={topic}&format=csv&raw=true"))
    assert [row["payload"] for row in raw] == FORMULAS + PLAIN
    guarded = table(shared.get(f"/export?topic={topic}&format=csv&raw=false"))
    assert [row["payload"] for row in guarded] == found
    plain = [
        message["payload"] for message in lines(shared.get(f"/export?topic={topic}&raw=false"))
    ]
    assert plain == FORMULAS + PLAIN, "NDJSON is never guarded"


def test_csv_guards_every_column_that_others_write(shared: ServiceProcess) -> None:
    """A topic that looks like a formula is guarded as well, and so is base64 that begins so."""
    root = own_topic()
    names = [f"=cmd|{root}", f"+{root}"[1:] + "/-x", f"@{root}", f"-{root}"]
    binary = base64.b64encode(b"\xfb\xff\xfe").decode()
    assert binary.startswith("+")
    stored = store(
        shared,
        *({"topic": name, "payload": binary, "encoding": "base64"} for name in names),
    )
    query = "&".join(f"topic={quoted(name)}" for name in names)
    found = table(shared.get(f"/export?{query}&format=csv"))
    guarded = [f"'{name}" if name[0] in "=+-@" else name for name in names]
    assert [row["topic"] for row in found] == guarded
    assert {row["payload"] for row in found} == {f"'{binary}"}
    raw = table(shared.get(f"/export?{query}&format=csv&raw=true"))
    assert [row["topic"] for row in raw] == names
    assert {row["payload"] for row in raw} == {binary}
    assert [row["time"] for row in raw] == [message["timestamp"] for message in stored]
    assert {(row["encoding"], row["qos"], row["retain"]) for row in raw} == {
        ("base64", "1", "false")
    }


def test_csv_is_a_download_with_a_head(shared: ServiceProcess) -> None:
    """CSV comes as a file, with the names of its columns even when there is nothing."""
    answer = shared.get(f"/export?topic={own_topic()}&format=csv")
    assert answer.content == b"id,time,topic,payload,encoding,qos,retain,properties\r\n"
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="messages.csv"'
    topic = own_topic()
    stored = payloads(shared, topic, *range(1_000)) + payloads(shared, topic, *range(1_000))
    found = table(shared.get(f"/export?topic={topic}&format=csv"))
    assert [int(row["id"]) for row in found] == ids(stored), "one head for all pages"


# -- backup -------------------------------------------------------------------------------------


def leftovers(service: ServiceProcess) -> list[str]:
    """Return the files beside the database that are none of its own."""
    own = {f"history.db{part}" for part in ("", "-wal", "-shm", ".lock", ".ballast")}
    return sorted({path.name for path in service.database.parent.iterdir()} - own - {"service.log"})


def test_a_backup_is_a_consistent_copy(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn, tmp_path: Path
) -> None:
    """While messages pour in, the copy is sound and holds exactly the log up to some moment."""
    topic = own_topic()
    payloads(shared, topic, "x", {"value": 1})
    store(shared, {"topic": topic, "payload": "/w==", "encoding": "base64"})
    copies = []
    with pouring(shared_broker.port, topic) as sent:
        for number in range(4):
            newer = head(shared) + 100
            shared.wait_for(lambda newer=newer: head(shared) >= newer)
            answer = shared.get("/backup")
            assert answer.status == 200
            assert answer.headers["Content-Type"] == "application/vnd.sqlite3"
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            assert int(answer.headers["Content-Length"]) == len(answer.content)
            copies.append(tmp_path / f"copy{number}.db")
            copies[-1].write_bytes(answer.content)
            shared.wait_for(lambda: leftovers(shared) == [])
    shared.wait_for(lambda: len(history(shared, f"&topic={topic}")) == 3 + sent[0])
    log = [
        (message["id"], message["timestamp"], message["topic"], message["qos"])
        for message in history(shared)
    ]
    texts = {message["id"]: message for message in history(shared)}
    counts = []
    for path in copies:
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        rows = connection.execute("SELECT id, time, topic, qos FROM history ORDER BY id").fetchall()
        assert rows == log[: len(rows)]
        for number, payload in connection.execute("SELECT id, payload FROM history"):
            text = base64.b64encode(payload).decode() if isinstance(payload, bytes) else payload
            assert text == texts[number]["payload"]
        counted = connection.execute("SELECT sum(message_count) FROM topic").fetchone()[0]
        assert counted == len(rows), "the counters are of the same moment"
        counts.append(len(rows))
        connection.close()
    assert counts == sorted(set(counts)), "each copy is of its own moment"


def test_a_restored_backup_is_a_log(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn, tmp_path: Path
) -> None:
    """A service that starts on a copy has its messages and an epoch of its own: its new ids name
    other messages than ours."""
    payloads(shared, own_topic(), "x")
    log = history(shared)
    (tmp_path / "history.db").write_bytes(shared.get("/backup").content)
    restored = ServiceProcess(
        tmp_path,
        MQTT_BROKER_PORT=str(shared_broker.port),
        MQTT_CLIENT_ID="restored",
        MAX_HISTORY_SIZE="0",
        **shared_broker.settings,
    )
    try:
        restored.start(ready=True)
        assert history(restored) == log
        assert epoch(restored) != epoch(shared)
        (new,) = payloads(restored, own_topic(), "new")
        assert new["id"] > log[-1]["id"]
    finally:
        restored.kill()
    assert "Traceback" not in restored.log()


def test_a_backup_that_is_cut_leaves_no_file(
    shared: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """When the caller leaves in the middle the copy is removed, and the service goes on."""
    topic = own_topic()
    fill(shared, shared_broker.port, topic, 3_000)
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        reader.settimeout(30)
        reader.connect(("127.0.0.1", shared.port))
        reader.sendall(b"GET /backup HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert reader.recv(4_096).startswith(b"HTTP/1.1 200 ")
        assert len(leftovers(shared)) == 1
        (stored,) = payloads(shared, topic, "meanwhile")
        assert shared.get("/messages?limit=1").json() == [stored]
    shared.wait_for(lambda: leftovers(shared) == [])
    assert shared.request("HEAD", "/backup").status == 200
    shared.wait_for(lambda: leftovers(shared) == [])
    assert faults(shared.get("/backup?topic=a")) == {"topic"}
