"""Unexpected exceptions are counted each, and logged once with their traceback."""

from __future__ import annotations

import pytest

from gateway.failures import QUIET_S, Failures


def test_a_fault_that_repeats_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand equal faults are one line with a traceback, and a thousand in the figure."""
    now = [0.0]
    failures = Failures(lambda: now[0])

    def fail(error: Exception, place: str = "reader") -> None:
        try:
            raise error
        except Exception:
            failures.caught(place, "it failed")

    for _ in range(1_000):
        fail(KeyError("x"))
    assert failures.counts["reader"] == 1_000
    assert [record.getMessage() for record in caplog.records] == ["it failed"]
    assert caplog.records[0].exc_info is not None
    fail(ValueError("another kind"))
    fail(KeyError("x"), "another place")
    assert len(caplog.records) == 3
    now[0] += QUIET_S
    fail(KeyError("x"))
    assert caplog.records[-1].getMessage() == "it failed (999 more since the last such line)"
    assert failures.counts == {"reader": 1_002, "another place": 1}


def test_an_error_that_nobody_handles_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    """The event loop hands over what a forgotten callback threw."""
    failures = Failures(lambda: 0.0)
    failures.caught("event_loop", "in a callback", KeyError("x"))
    assert failures.counts == {"event_loop": 1}
    assert caplog.records[0].exc_info[0] is KeyError  # type: ignore[index]
