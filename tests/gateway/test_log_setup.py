"""One line an event, in three forms, with the journal's priorities, and no flood."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable

import pytest

from gateway.log_repeats import MAX_LINES, WINDOW_S, Repeats
from gateway.log_setup import (
    DEFAULT_FORMAT,
    JournalFormatter,
    JsonFormatter,
    KeyValueFormatter,
    TextFormatter,
    is_journal,
)


def record(
    message: str,
    *args: object,
    level: int = logging.WARNING,
    exc_info: object = None,
    name: str = "broker",
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "x.py", 1, message, args, exc_info)  # type: ignore[arg-type]


def a_traceback() -> object:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        return sys.exc_info()


def test_what_a_caller_sends_cannot_make_a_line_of_its_own() -> None:
    """Line ends and escape sequences of a topic are written out, in each form."""
    evil = record("topic %s", "a\n<0>forged\x1b[2J\u2028")
    for form in (TextFormatter(DEFAULT_FORMAT), JsonFormatter(), KeyValueFormatter()):
        line = form.format(evil)
        assert "\n" not in line and "\x1b" not in line, line
    assert "a\\n<0>forged\\x1b[2J\\u2028" in TextFormatter(DEFAULT_FORMAT).format(evil)


def test_json_and_key_value_lines_can_be_read_back() -> None:
    """Each has time, level, logger and message; a traceback is one field of one line."""
    told = record('it "says" a=b', exc_info=a_traceback())
    fields = json.loads(JsonFormatter().format(told))
    assert (fields["level"], fields["logger"]) == ("WARNING", "broker")
    assert fields["message"] == 'it "says" a=b'
    assert "ValueError" in fields["exception"]
    line = KeyValueFormatter().format(told)
    assert ' level=WARNING logger=broker message="it \\"says\\" a=b" exception="Traceback' in line
    assert "\n" not in line


def test_the_journal_gets_a_priority_before_each_line() -> None:
    """Levels are those of syslog, and the lines of a traceback have the level of their event."""
    form = JournalFormatter(TextFormatter("%(message)s"))
    assert form.format(record("x", level=logging.INFO)) == "<6>x"
    lines = form.format(record("x", level=logging.ERROR, exc_info=a_traceback())).split("\n")
    assert len(lines) > 3 and all(line.startswith("<3>") for line in lines)


def test_the_journal_is_known_by_device_and_inode() -> None:
    """JOURNAL_STREAM is inherited by programs whose output goes elsewhere: it must match."""
    here = os.fstat(2)
    assert is_journal({"JOURNAL_STREAM": f"{here.st_dev}:{here.st_ino}"})
    assert not is_journal({"JOURNAL_STREAM": f"{here.st_dev}:{here.st_ino + 1}"})
    assert not is_journal({})


def test_a_warning_that_repeats_is_told_some_times_and_then_counted() -> None:
    """Ten lines of a kind in a minute; the next one says how many were left out."""
    now = 0.0
    repeats = Repeats(lambda: now, lambda _seconds, _act: None)
    told = [repeats.filter(record("%s is away", name)) for name in range(MAX_LINES + 5)]
    assert told == [True] * MAX_LINES + [False] * 5
    assert repeats.filter(record("another kind"))
    now = WINDOW_S
    again = record("%s is away", "x")
    assert repeats.filter(again)
    assert again.getMessage() == "x is away (5 more such lines were left out)"


def test_every_request_and_every_change_is_told() -> None:
    """INFO is never left out, and two handlers agree about one line."""
    repeats = Repeats(lambda: 0.0, lambda _seconds, _act: None)
    for name in ("access", "audit"):  # a 503 is a warning, and a request
        lines = [record("POST /publish 503", name=name) for _ in range(10 * MAX_LINES)]
        assert all(repeats.filter(line) for line in lines)
    assert all(repeats.filter(record("GET", level=logging.INFO)) for _ in range(10 * MAX_LINES))
    for number in range(MAX_LINES + 1):
        one = record("both")
        assert {repeats.filter(one), repeats.filter(one)} == {number < MAX_LINES}


def test_the_end_of_what_repeated_is_told_where_no_such_line_comes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each kind has one line with the number left out and the last of them, and then no more."""
    due: list[tuple[float, Callable[[], None]]] = []
    repeats = Repeats(lambda: 0.0, lambda seconds, act: due.append((seconds, act)))
    for number in range(MAX_LINES + 3):
        repeats.filter(record("%s is away", number))
        repeats.filter(record("the disk fails", level=logging.ERROR))
    ((seconds, tell_the_end),) = due
    assert seconds == WINDOW_S
    with caplog.at_level(logging.WARNING):
        tell_the_end()
    said = [one.getMessage() for one in caplog.records]
    assert said == [
        f"3 more such lines were left out, the last: {MAX_LINES + 2} is away",
        "3 more such lines were left out, the last: the disk fails",
    ]
    assert [one.levelno for one in caplog.records] == [logging.WARNING, logging.ERROR]
    assert all(repeats.filter(one) for one in caplog.records), "these are never left out"
    caplog.clear()
    tell_the_end()
    assert not caplog.records
    repeats.filter(record("%s is away", 99))
    assert len(due) == 2, "the next flood has an end of its own"
