"""The core without I/O: retries, problems, rows, positions and cursor files."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.call import Answer, Call, encode_query, encode_topic
from client.cursor import CursorFile
from client.errors import (
    BY_STATUS,
    ConnectionFailed,
    LogGap,
    MQTTAPIError,
    Refused,
    ServiceFailed,
    Unavailable,
    error_of,
)
from client.event_lines import EventLines
from client.export_file import Rows
from client.history_calls import Page, messages
from client.retry import RetryPolicy
from client.stream_state import StreamState
from client.values import Gap, Message
from client.version import VERSION
from tests.service_process import ROOT

STANDARD = set(sys.stdlib_module_names)
ALLOWED = {"client", "httpx2", "websockets", "click", "rich"}


def test_the_client_imports_nothing_of_ours() -> None:
    """Only itself, the standard library, and what its packaging names; click and rich in cli/."""
    for file in (ROOT / "client").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in getattr(node, "names", ())]
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, file
                names = [str(node.module)]
            elif not isinstance(node, ast.Import):
                continue
            tops = {name.partition(".")[0] for name in names} - STANDARD
            assert tops <= ALLOWED, f"{file} imports {tops}"
            assert file.parent.name == "cli" or not tops & {"click", "rich"}, file


def test_files_and_functions_keep_their_size() -> None:
    """A file below 250 lines, a function below 40, each file with a docstring."""
    for file in (ROOT / "client").rglob("*.py"):
        text = file.read_text("utf-8")
        tree = ast.parse(text)
        assert text.count("\n") <= 250, file
        assert ast.get_docstring(tree), file
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                body = node.body[1:] or node.body
                assert node.end_lineno - body[0].lineno < 40, f"{file}: {node.name}"


def test_the_version_is_that_of_the_service() -> None:
    """Both wheels of one commit carry one version."""
    assert f'VERSION = "{VERSION}"' in (ROOT / "server.py").read_text("utf-8")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 429, 500, 502, 503, 504])
def test_each_status_is_an_exception_that_says_it(status: int) -> None:
    """A problem document gives its sentence; any other answer a sentence with the URL."""
    problem = b'{"detail": "a sentence", "request_id": "r1", "errors": [{"path": "/a"}]}'
    error = error_of(Answer(status, {"retry-after": "7"}, problem, "http://x"))
    assert (error.status, str(error), error.request_id) == (status, "a sentence", "r1")
    assert error.errors == [{"path": "/a"}] and error.retry_after == 7
    assert isinstance(error, ServiceFailed if status >= 500 else Refused)
    assert type(error) is BY_STATUS.get(status, type(error))
    foreign = error_of(Answer(status, {}, b"<html>", "http://x"))
    assert f"http://x answered {status}" in str(foreign)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7),
        (
            {
                "retry-after": "Mon, 23 Nov 2026 10:00:09 GMT",
                "date": "Mon, 23 Nov 2026 10:00:00 GMT",
            },
            9,
        ),
        ({"retry-after": "Mon, 23 Nov 2020 10:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], wait_s: float | None) -> None:
    """A date, as a proxy sends it, counts from the answer's own; whatever else is not said."""
    assert error_of(Answer(503, headers, b"", "http://x")).retry_after == wait_s


def test_an_answer_of_another_service_is_said() -> None:
    """A success that is no JSON, or other JSON, is an error that asks about the URL."""
    call: Call[str] = Call("GET", "/", lambda answer: str(answer.json()["service"]))
    for content in (b"<html>", b"[]", b"{}"):
        with pytest.raises(MQTTAPIError, match="is this the URL of the service"):
            call.result(Answer(200, {}, content, "http://x"))


def test_retries_grow_have_jitter_and_honour_what_the_service_asks() -> None:
    """Repeated is what is harmless, later each time; too long a wait is not made."""
    policy = RetryPolicy(attempts=5, first_wait=1, longest_wait=4)
    away = Unavailable("away", status=503)
    waits = [policy.wait(away, attempt, harmless=True) for attempt in (1, 2, 3, 4)]
    for wait, most in zip(waits, (1, 2, 4, 4), strict=True):
        assert wait is not None and most / 2 <= wait <= most
    assert len({policy.wait(away, 3, harmless=True) for _ in range(20)}) > 1
    assert policy.wait(away, 5, harmless=True) is None
    assert policy.wait(away, 1, harmless=False) is None
    assert policy.wait(Refused("no", status=404), 1, harmless=True) is None
    away.retry_after = 3
    asked = policy.wait(away, 1, harmless=True)
    assert asked is not None and 3 <= asked <= 4
    away.retry_after = 60
    assert policy.wait(away, 1, harmless=True) is None
    never = ConnectionFailed("no", never_made=True)
    assert policy.wait(never, 1, harmless=False) is not None
    assert policy.wait(ConnectionFailed("broke", never_made=False), 1, harmless=False) is None


@given(st.lists(st.text(alphabet='a,"\r\n')), st.sampled_from(["csv", "ndjson"]), st.integers(1, 9))
def test_rows_are_cut_the_same_however_they_arrive(cells: list[str], form: str, size: int) -> None:
    """A row is whole, whatever pieces the network makes; a quoted line feed ends no record."""
    if form == "csv":
        rows = ['1,"' + cell.replace('"', '""') + '"\r\n' for cell in cells]
    else:
        rows = [cell.replace("\n", "") + "\n" for cell in cells]
    content = "".join(rows).encode() + b'2,"un'
    cutter = Rows(form)  # type: ignore[arg-type]
    found = [
        row for at in range(0, len(content), size) for row in cutter.feed(content[at : at + size])
    ]
    assert found == [row.encode() for row in rows]


def test_queries_and_topics_are_encoded_so_that_they_arrive() -> None:
    """A plus is a plus, a hash does not end the URL, and no level is a directory."""
    assert encode_query([("topic", "a/+/#"), ("since", "2026-01-01T00:00:00+02:00")]) == (
        "topic=a/%2B/%23&since=2026-01-01T00%3A00%3A00%2B02%3A00"
    )
    assert encode_topic("a/+/#") == "a/%2B/%23"
    assert encode_topic("../a b/.") == "%2E%2E/a%20b/%2E"


def test_a_link_never_leads_to_another_host() -> None:
    """Of a Link only the query is used: the key cannot be lured away."""
    call = messages([], None, "raise")
    headers = {"x-log-position": "e.9", "link": '<http://evil.example/x?before=e.1>; rel="next"'}
    page = call.result(Answer(200, headers, json.dumps([frame(1)]).encode(), "http://x"))
    assert isinstance(page, Page) and page.following is not None
    assert page.following.target == "/messages?before=e.1"


def frame(message_id: int | None, payload: str = "x") -> dict[str, object]:
    time = "2026-01-01T00:00:00.000000Z"
    return {"type": "message", "id": message_id, "topic": "a", "payload": payload,
            "timestamp": time, "qos": 0, "retain": False}  # fmt: skip


WELCOME = {"type": "welcome", "epoch": "e", "newest_id": 5, "timestamp": "2026-01-01T00:10:00Z"}


def test_a_stream_goes_on_where_it_was_and_drops_what_it_has_seen() -> None:
    """Positions, repeats, gaps and a fixed beginning, as frames come in."""
    state = StreamState("a", since="10m", batch=False)
    assert state.target() == "?topic=a&since=10m"
    assert state.admit(WELCOME) == []
    assert state.target() == "?topic=a&since=2026-01-01T00%3A00%3A00%2B00%3A00"
    state.admit(WELCOME)
    (first,) = state.admit(frame(7))
    assert state.admit(frame(7)) == [] and state.admit(frame(3)) == []
    assert isinstance(first, Message)
    state.finish(first)
    assert state.position == "e.7" and state.target() == "?topic=a&after=e.7"
    (unstored,) = state.admit(frame(None))
    state.finish(unstored)
    assert state.position == "e.7"
    (gap,) = state.admit({"type": "gap", "reason": "epoch", "after": "e.7", "next": 3})
    assert isinstance(gap, Gap) and state.admit(frame(3)) != []
    from_now = StreamState(None)
    from_now.admit(WELCOME)
    assert from_now.position == "e.5"
    bare = StreamState(None, after=2)
    bare.admit(WELCOME)
    assert bare.position == "e.2"


def test_behind_a_raised_gap_the_stream_goes_on() -> None:
    """`next` after a LogGap gives what lies behind it."""
    state = StreamState("a", after="e.1")
    state.admit(WELCOME)
    state.feed('{"type":"gap","reason":"pruned","after":1,"next":9}')
    state.feed(json.dumps({"type": "messages", "messages": [frame(9)]}))
    with pytest.raises(LogGap):
        state.next_item()
    item = state.next_item()
    assert isinstance(item, Message) and item.id == 9


@given(
    st.lists(st.text(alphabet="a:{\r ")),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 9),
)
def test_frames_are_cut_out_of_events_however_they_arrive(
    texts: list[str], end: str, size: int
) -> None:
    """Data lines are the frame; ids, names, comments and retry times are passed over."""
    frames = [text.replace("\r", "") for text in texts]
    events = [f":{end}{end}retry: 2000{end}{end}"]
    events += [f"id: e.1{end}event: message{end}data: {one}{end}{end}" for one in frames]
    content = "".join(events).encode() + b"data: unfinished"
    lines = EventLines()
    found = [
        frame
        for at in range(0, len(content), size)
        for frame in lines.feed(content[at : at + size])
    ]
    assert found == [frame.encode() for frame in frames]


def test_a_cursor_file_is_whole_or_refused(tmp_path: Path) -> None:
    """What is no cursor file is never overwritten; a file from before is taken up."""
    path = tmp_path / "cursor"
    cursor = CursorFile(path)
    assert cursor.read() is None
    for number in range(50):
        cursor.write(f"e1.{number}")
    assert CursorFile(path).read() == "e1.49"
    cursor.close()
    path.write_text("my diary")
    with pytest.raises(MQTTAPIError, match="remove it to begin anew"):
        StreamState("a", cursor=path)
    assert path.read_text() == "my diary"
