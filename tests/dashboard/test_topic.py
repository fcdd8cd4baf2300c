"""One topic, close up: its value in every form, what changed, and its messages without an end."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.dashboard.looking import Look, Plant, own_topic

pytestmark = pytest.mark.needs_chromium
HOSTILE = (
    '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'
    "<a href='javascript:window.hurt=1'>x</a>"
)


def test_a_value_as_json_text_bytes_and_changes(plant: Plant, look: Callable[..., Look]) -> None:
    """JSON is laid out; text and hex are one press away; changes name each member that differs."""
    topic = own_topic()
    plant.say(topic, '{"value":1.5,"unit":"bar","old":1}', '{"value":2,"unit":"bar","new":[1]}')
    seen = look(f"#/topic?t={topic}")
    content = seen.page.locator(".value-card .content")
    seen.wait_text(".value-card .content", '"value": 2')
    assert content.locator(".json-name").first.inner_text() == '"value"'
    press = seen.page.locator(".value-card .segments")
    press.get_by_text("Text").click()
    assert content.inner_text() == '{"value":2,"unit":"bar","new":[1]}'
    press.get_by_text("Hex").click()
    assert content.inner_text().startswith("000000  7b 22 76 61 6c 75 65 22  3a 32 2c 22")
    assert '{"value":2,"unit' in content.inner_text()
    press.get_by_text("Changes").click()
    assert seen.page.locator(".changes tbody tr").all_inner_texts() == [
        "value\t1.5\t2 +0.5",
        "old\t1\t",
        "new\t\t[1]",
    ]
    plant.say(topic, "line one\nline two", "line one\nline 2")
    seen.wait_text(".lines .added", "+ line 2")
    assert content.locator(".line").all_inner_texts() == [
        "  line one",
        "\N{MINUS SIGN} line two",
        "+ line 2",
    ]


def test_a_busy_service_is_asked_again(plant: Plant, look: Callable[..., Look]) -> None:
    """The first page of a topic's messages is refused with 503: the page says so and asks again,
    and what came meanwhile is not lost."""
    topic = own_topic()
    plant.say(topic, "before")
    seen = look(expected=("503",))
    problem = '{"detail": "the query ran out of time"}'
    seen.page.route("**/messages?*", lambda route: route.fulfill(status=503, body=problem), times=1)
    seen.go("topic", t=topic)
    seen.wait_text(".toast", "The query ran out of time.")
    plant.say(topic, "meanwhile")
    seen.wait_text(".value-card .content", "meanwhile")
    seen.wait_text(".past .row .line", "before")
    seen.wait_text(".past-card .summary", "2 shown")


def test_bytes_are_shown_as_bytes(plant: Plant, look: Callable[..., Look]) -> None:
    """A payload that is no text comes as a hex dump, with its true size."""
    topic = own_topic()
    plant.say(topic, base64.b64encode(bytes(range(200, 240))).decode(), encoding="base64")
    seen = look(f"#/topic?t={topic}")
    seen.wait_text(".value-card .content", "c8 c9 ca cb")
    seen.wait_text(".value-card .facts", "40 B")
    seen.wait_text(".past .row .line", "40 bytes: c8 c9")


def test_a_value_that_is_being_selected_stays(plant: Plant, look: Callable[..., Look]) -> None:
    """Who selects a value to copy it keeps it when others come, and is told so; once it is let go,
    or somebody asks for the newest, the newest is there."""
    topic = own_topic()
    plant.say(topic, "first value")
    seen = look(f"#/topic?t={topic}")
    content = seen.page.locator(".value-card .content")
    for newest, following in (("first value", "second value"), ("third value", "fourth value")):
        content.get_by_text(newest).dblclick(position={"x": 12, "y": 8})
        selected = seen.run("() => getSelection().toString()")
        assert selected.strip() and selected in newest
        plant.say(topic, "one between", following)
        seen.wait_text(".past .row .line", following)
        seen.wait_text(".value-card .pinned", "there is a newer message")
        assert content.inner_text() == newest
        assert seen.run("() => getSelection().toString()") == selected
        if newest == "first value":
            seen.run("() => getSelection().removeAllRanges()")
        else:
            seen.page.get_by_role("button", name="Back to the newest").click()
        content.get_by_text(following).wait_for()
        assert not seen.page.locator(".value-card .pinned").is_visible()
        plant.say(topic, "third value")
        content.get_by_text("third value").wait_for()


def test_numbers_are_shown_as_they_were_sent(plant: Plant, look: Callable[..., Look]) -> None:
    """Laid out, JSON keeps 11.0 and every digit of a long number; two that differ only there are
    not called the same; what is nested beyond sense harms nobody."""
    topic = own_topic()
    one = '{"value":11.0,"serial":9007199254740992,"none":[],"in":{"a":[1,2]}}'
    other = one.replace("0992", "0993")
    plant.say(topic, one, other)
    seen = look(f"#/topic?t={topic}")
    content = seen.page.locator(".value-card .content")
    seen.wait_text(".value-card .content", "9007199254740993")
    assert content.inner_text() == (
        '{\n  "value": 11.0,\n  "serial": 9007199254740993,\n  "none": [],\n'
        '  "in": {\n    "a": [\n      1,\n      2\n    ]\n  }\n}'
    )
    seen.page.locator(".value-card .segments").get_by_text("Changes").click()
    assert seen.page.locator(".lines .line").all_inner_texts() == [
        f"\N{MINUS SIGN} {one}",
        f"+ {other}",
    ]
    deep = "[" * 30_000 + "%d" + "]" * 30_000
    plant.say(topic, deep % 1, deep % 2)
    seen.wait_text(".changes .after", "…")
    seen.page.locator(".value-card .segments").get_by_text("Pretty").click()
    seen.page.get_by_role("button", name="Show all 60,001 letters").wait_for()
    plant.say(topic, "still alive")
    content.get_by_text("still alive").wait_for()


def test_the_history_pages_back_without_end(plant: Plant, look: Callable[..., Look]) -> None:
    """Scrolling down brings page after page to the first message; new ones come in on top."""
    topic = own_topic()
    plant.say(topic, *[f"number {number}" for number in range(400)])
    seen = look(f"#/topic?t={topic}")
    seen.wait_text(".past .row", "number 399")
    past, summary = seen.page.locator(".past"), seen.page.locator(".past-card .summary")
    while "that is all" not in (shown := summary.inner_text()):
        past.evaluate("list => { list.scrollTop = list.scrollHeight; }")
        seen.wait_until(
            "old => document.querySelector('.past-card .summary').innerText !== old", shown
        )
    seen.wait_text(".past-card .summary", "400 shown: that is all the history has")
    past.evaluate("list => { list.scrollTop = list.scrollHeight; }")
    seen.page.locator(".past .row .line").get_by_text("number 0", exact=True).wait_for()
    assert seen.page.locator(".past .row").count() < 60
    past.evaluate("list => { list.scrollTop = 0; }")
    plant.say(topic, "the newest")
    seen.wait_text(".past .row[aria-selected=true]", "the newest")
    seen.wait_text(".value-card .content", "the newest")


def test_an_earlier_message_stays_until_one_goes_back(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """A message chosen from the list is shown with what it changed, while others arrive; Esc leads
    back to the newest."""
    topic = own_topic()
    plant.say(topic, "10", "20", "30")
    seen = look(f"#/topic?t={topic}")
    seen.page.locator(".past .row .line").get_by_text("20", exact=True).click()
    seen.page.locator(".value-card .content.short").get_by_text("20", exact=True).wait_for()
    plant.say(topic, "40")
    seen.wait_text(".past .row", "40")
    seen.page.locator(".value-card").get_by_text("Changes").click()
    assert "+10" in seen.page.locator(".changes tbody").inner_text()
    seen.page.locator(".past").focus()
    seen.page.keyboard.press("Escape")
    seen.wait_text(".changes tbody", "40")
    seen.page.keyboard.press("ArrowDown")
    seen.page.keyboard.press("Enter")
    seen.wait_text(".pinned", "earlier message")


def test_a_hostile_payload_stays_text(plant: Plant, look: Callable[..., Look]) -> None:
    """HTML and script in payload and topic are read as they stand, in every view; nothing runs."""
    topic = f"{own_topic()}/<b onclick=x>"
    plant.say(topic, HOSTILE)
    root = topic.partition("/")[0]
    seen = look(f"#/topics?q={root}")
    seen.row("<b onclick=x>").click()
    seen.wait_text(".tree .row .value", "<img src=x")
    for form in ("Pretty", "Text", "Changes"):
        seen.page.locator(".value-card .segments").get_by_text(form).click()
        seen.page.locator(".value-card .content").wait_for()
    plant.say(topic, f'{{"<img src=x onerror=hurt()>": "{"<script>"}"}}')
    seen.wait_text(".lines .added", "<script>")
    seen.go("live", filter=f"{root}/#")
    seen.wait_text(".live .foot", "Following")
    plant.say(topic, HOSTILE)
    seen.wait_text(".log .row .line", HOSTILE.split(">", maxsplit=1)[0])
    seen.go("publish", topic=topic)
    seen.page.locator("#publish-payload").fill(HOSTILE)
    seen.page.get_by_role("button", name="Publish", exact=True).click()
    seen.wait_text(".pick code", "<img src=x")
    assert seen.page.locator("main img, main script, main b[onclick]").count() == 0
    assert seen.run("() => window.hurt") is None


def test_a_branch_and_odd_names(plant: Plant, look: Callable[..., Look]) -> None:
    """A branch that is no topic leads to what is below it; empty levels, dots and spaces work."""
    root = own_topic()
    topic = f"{root}//../a b/ü?&="
    plant.say(topic, "odd")
    seen = look()
    seen.go("topic", t=root)
    seen.wait_text(".branch", "1 topic below it")
    seen.go("topic", t=topic)
    seen.wait_text(".value-card .content", "odd")
    seen.wait_text(".past-card .summary", "1 shown")
