"""The live log: following, pausing, what is too fast to read, and what happens after a break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.dashboard.looking import Look, Plant, own_topic
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.needs_chromium
# What a browser says of a service that has stopped; the page says it in words.
AWAY = ("ERR_CONNECTION_REFUSED", "WebSocket connection to", "ERR_CONNECTION_RESET", "ERR_EMPTY")


def lines(seen: Look) -> list[str]:
    """Return what the log shows, newest first."""
    found: list[str] = seen.run(
        """() => [...document.querySelectorAll('.log .row:not([hidden])')]
          .sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top)
          .map((row) => row.querySelector('.line').textContent)"""
    )
    return found


def test_it_follows_a_filter_and_can_be_paused(plant: Plant, look: Callable[..., Look]) -> None:
    """What matches the filter comes, newest on top, nothing else; paused it stands still and
    counts; then nothing is missing."""
    root = own_topic()
    seen = look(f"#/live?filter={root}/a/%23")
    seen.wait_text(".live .foot", "Following")
    plant.say(f"{root}/b", "not this one")
    plant.say(f"{root}/a/x", "one", "two")
    seen.wait_text(".log .row .line", "two")
    assert lines(seen) == ["two", "one"]
    seen.page.locator(".log").focus()
    seen.page.keyboard.press("p")
    plant.say(f"{root}/a/x", "three", "four")
    seen.wait_text(".live .foot", "Paused · 2 new")
    assert lines(seen) == ["two", "one"]
    seen.page.get_by_role("button", name="Resume").click()
    seen.wait_text(".log .row .line", "four")
    assert lines(seen) == ["four", "three", "two", "one"]
    seen.page.keyboard.press("/")
    seen.page.locator("#live-filter").fill(f"{root}/b, {root}/c")
    seen.page.keyboard.press("Enter")
    seen.wait_until("() => location.hash.includes('/b&filter=')")
    seen.wait_text(".live .foot", "Following")
    plant.say(f"{root}/c", "other")
    seen.wait_text(".log .row .line", "other")
    seen.page.locator(".log .row .topic").first.click()
    seen.wait_text(".topic .path", f"{root}/c")


def test_a_filter_typed_before_the_service_answered_holds(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """While the page still waits for the first frame, another filter is typed: that one counts."""
    root = own_topic()
    seen = look()
    held = seen.hold(root, '"welcome"')
    seen.go("live", filter=f"{root}/a")
    seen.wait_for_frame(held)
    seen.page.keyboard.press("/")
    seen.page.locator("#live-filter").fill(f"{root}/b")
    seen.page.keyboard.press("Enter")
    seen.wait_until("() => location.hash.endsWith('/b')")
    seen.wait_text(".live .foot", "Connecting")
    held.release()
    seen.wait_text(".live .foot", "Following")
    plant.say(f"{root}/a", "not this one")
    plant.say(f"{root}/b", "this one")
    seen.wait_text(".log .row .line", "this one")
    assert lines(seen) == ["this one"]


def test_a_filter_that_is_none_is_said(look: Callable[..., Look]) -> None:
    """A bad filter is refused in words, and the page lives on."""
    seen = look("#/live?filter=a/%23/b", expected=("422", "WebSocket connection to"))
    seen.page.locator(".live .fault").filter(has_text="The filter").wait_for()


def test_what_is_too_fast_to_read_is_counted_and_can_be_fetched(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """Of 500 messages at once some are shown and the others counted; one press brings them all."""
    root = own_topic()
    seen = look(f"#/live?filter={root}")
    seen.wait_text(".live .foot", "Following")
    plant.say(root, *[f"number {number}" for number in range(500)])
    seen.wait_text(".live .foot", "500 messages")
    seen.page.locator(".log .row[data-kind=skipped]").first.wait_for()
    foot = seen.page.locator(".live .foot")
    for _ in range(60):  # each press brings what one row stands for; further down there may be more
        before = foot.inner_text()
        if "skipped" not in before:
            break
        skipped = seen.page.locator(".log .row[data-kind=skipped]:visible")
        if skipped.count():
            skipped.first.click()
            seen.wait_until(
                "old => document.querySelector('.live .foot').innerText !== old", before
            )
        else:
            seen.run("() => { const log = document.querySelector('.log'); log.scrollTop += 600; }")
            seen.run("() => new Promise(requestAnimationFrame)")
    assert "skipped" not in foot.inner_text()
    seen.page.locator(".log").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    seen.wait_text(".log .row .line", "number 0")


def test_after_a_break_it_goes_on_and_gaps_are_rows(
    small: Plant, look: Callable[..., Look]
) -> None:
    """The service ends: a banner says so. It comes back: the log goes on where it broke off, and
    what retention took meanwhile is a row that says why."""
    seen = look("#/live?filter=a", url=small.service.url, expected=AWAY)
    seen.wait_text(".live .foot", "Following")
    small.say("a", "before")
    seen.wait_text(".log .row .line", "before")
    assert small.service.terminate() == 0
    seen.wait_text(".banner", "cannot be reached")
    seen.wait_text(".log .row .line", "Connection lost")
    elsewhere = ServiceProcess(
        small.service.directory,
        MQTT_BROKER_PORT=str(small.broker.port),
        MAX_HISTORY_SIZE="5",
        **small.broker.settings,
    )  # the same history at another port: the page cannot come back yet
    elsewhere.start(ready=True)
    try:
        elsewhere.post("/publish/batch", {"messages": _numbered(10)})
        elsewhere.wait_for(lambda: b'"number 9"' in elsewhere.get("/messages").content)
        assert elsewhere.terminate() == 0
    finally:
        elsewhere.kill()
    small.service.start(ready=True)
    seen.wait_text(".log .row .line", "number 9")
    seen.page.locator(".banner").wait_for(state="hidden")
    assert lines(seen) == [
        *(f"number {number}" for number in (9, 8, 7, 6, 5)),
        "Gap: messages are missing here, removed by retention before they could be read",
        "Connected again; going on where it broke off",
        "Connection lost",
        "before",
    ]


def _numbered(many: int) -> list[dict[str, Any]]:
    return [{"topic": "a", "payload": f"number {number}", "qos": 1} for number in range(many)]


def test_a_gap_frame_is_a_row(look: Callable[..., Look]) -> None:
    """Each reason is told in words; skipped rows of one second are one row."""
    seen = look()
    found = seen.run(
        """async () => {
          const { LiveLog } = await import('./dashboard/model/live_log.js');
          const { makeRow, fillRow } = await import('./dashboard/views/live_rows.js');
          const log = new LiveLog();
          const message = (id) => ({ id, topic: 'a', payload: `${id}`, qos: 0, retain: false,
            timestamp: '2026-01-01T00:00:00Z' });
          for (let id = 1; id <= 100; id += 1) log.take([message(id)], 5);
          log.gap({ reason: 'pruned', after: 100, next: 200 });
          log.pause();
          for (let id = 200; id < 300; id += 1) log.take([message(id)], 5_000);
          const waiting = log.waiting;
          log.resume();
          const words = log.rows.map((entry) => {
            const row = makeRow();
            fillRow(row, entry);
            return [entry.kind, row.cells.line.textContent];
          }).filter(([kind]) => kind !== 'message');
          return { waiting, words, rows: log.rows.length, skipped: log.skipped };
        }"""
    )
    assert found["waiting"] == 100
    assert found["words"] == [
        ["skipped", "70 skipped: too fast to read"],
        ["gap", "Gap: messages are missing here, removed by retention before they could be read"],
        ["skipped", "70 skipped: too fast to read"],
    ]
    assert (found["rows"], found["skipped"]) == (63, 140)
