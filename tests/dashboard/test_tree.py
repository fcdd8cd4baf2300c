"""The topic tree: what is there, what changes, and how one finds things in it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.dashboard.looking import Look, Plant, own_topic

pytestmark = pytest.mark.needs_chromium
TOPICS = 3_000


def test_the_tree_shows_values_counts_and_changes(plant: Plant, look: Callable[..., Look]) -> None:
    """What the history knows is there at once; a new value comes by itself and is tinted."""
    root = own_topic()
    plant.say(f"{root}/press/temperature", "41.5", "42.5")
    seen = look(f"#/topics?q={root}")
    seen.wait_text(".tree .row .value", "42.5")
    assert seen.row("temperature").get_attribute("aria-level") == "3"
    assert seen.cell("temperature", "count") == "2"
    plant.say(f"{root}/press/temperature", "43.5")
    seen.wait_text(".row.fresh .value", "43.5")
    assert seen.cell("temperature", "count") == "3"
    assert seen.cell(root, "count") == "3"
    assert seen.cell("temperature", "rate").endswith("/s")
    assert re.fullmatch(r"now|\d\d? s", seen.cell("temperature", "age"))
    seen.page.wait_for_selector(".row.fresh", state="detached")
    plant.say(f"{root}/press/pressure", '{"value":6.1,"unit":"bar"}')
    seen.wait_text(".tree .row .value", "value 6.1, unit bar")
    assert seen.cell(root, "count") == "4"


def test_search_and_filters_find_topics(plant: Plant, look: Callable[..., Look]) -> None:
    """Slash begins a search; words are found anywhere, wildcards match as MQTT says; Esc ends."""
    root = own_topic()
    for line in (1, 2):
        for name in ("Temperature", "power"):
            plant.say(f"{root}/line{line}/{name}", "1")
    seen = look()
    seen.search(f"{root} temp")
    seen.wait_text(".tree .summary", "2 of ")
    assert seen.page.locator(".tree .row.leaf:visible").count() == 2
    for text, many in ((f"{root}/+/power", 2), (f"{root}/line1/#", 2), (f"{root}/#", 4)):
        seen.page.locator(".tree .search input").fill(text)
        seen.wait_text(".tree .summary", f"{many} of ")
    assert f"q={root}" in seen.page.url
    seen.page.locator(".tree .search input").fill(f"{root}/+")
    seen.wait_text(".empty:visible", "No topic matches")
    seen.page.locator(".tree .search input").press("Escape")
    seen.wait_until("() => !document.querySelector('.tree .summary').textContent.includes(' of ')")


def test_the_keyboard_alone_walks_the_tree(plant: Plant, look: Callable[..., Look]) -> None:
    """Arrows move, open and close; Home, End; Enter looks closer; the focus can be seen."""
    root = own_topic("_first")  # of all topics
    plant.say(f"{root}/b/c", "1")
    plant.say(f"{root}/b/d", "2")
    seen = look()
    seen.row(root).wait_for()
    seen.page.get_by_role("button", name="Collapse").click()
    for expanded in ("true", "false"):  # by pointer, a press on a branch opens and closes it
        seen.row(root).click()
        seen.page.locator(f".row[aria-expanded={expanded}]", has_text=root).wait_for()
    assert "topic?" not in seen.page.url
    grid = seen.page.locator(".tree .grid")
    seen.search(root)
    seen.page.keyboard.press("Escape")
    seen.page.keyboard.press("ArrowDown")
    assert seen.run("() => document.activeElement.getAttribute('role')") == "treegrid"
    seen.page.keyboard.press("Home")
    seen.wait_text(".tree .row.cursor", root)
    for expanded in ("true", "false", "true"):
        seen.page.keyboard.press("ArrowLeft" if expanded == "false" else "ArrowRight")
        seen.page.locator(f".row.cursor[aria-expanded={expanded}]").wait_for()
    for key, name in (("ArrowRight", "b"), ("ArrowRight", "b"), ("ArrowRight", "c")):
        seen.page.keyboard.press(key)
        seen.wait_text(".tree .row.cursor", name)
    seen.page.keyboard.press("ArrowDown")
    seen.wait_text(".tree .row.cursor", "d")
    active = grid.get_attribute("aria-activedescendant")
    assert seen.page.locator(f"#{active} .label").inner_text() == "d"
    assert seen.run("() => getComputedStyle(document.activeElement).outlineStyle") == "solid"
    seen.page.keyboard.press("Enter")
    seen.wait_text(".topic .path", f"{root}/b/d")
    seen.page.locator(".value-card .content").get_by_text("2", exact=True).wait_for()


def test_thousands_of_topics_make_only_the_rows_one_sees(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """3,000 topics are counted and found, one can scroll to the last, and few rows exist."""
    root = own_topic("many")
    plant.say_all(
        [
            {"topic": f"{root}/{number % 10}/t{number:04}", "payload": str(number), "qos": 1}
            for number in range(TOPICS)
        ]
    )
    seen = look(f"#/topics?q={root}")
    seen.wait_text(".tree .summary", f"{TOPICS:,} of ")
    seen.page.locator(".tree .grid").focus()
    seen.page.keyboard.press("End")
    seen.row(f"t{TOPICS - 1}").wait_for()
    assert seen.cell(f"t{TOPICS - 1}", "value") == str(TOPICS - 1)
    assert seen.page.locator(".tree .row").count() < 80


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("small", [1_000], indirect=True)
def test_the_brokers_own_topics_come_with_a_subscription(
    small: Plant, look: Callable[..., Look]
) -> None:
    """Without a subscription of their own they are figures under Health; once one covers them they
    are in the tree, last and closed, and change by themselves, here and after a reload."""
    small.say("zz", "1")
    seen = look("#/health", url=small.service.url)
    seen.wait_text(".columns .facts", "mosquitto version")
    seen.go("topics")
    seen.row("zz").wait_for()
    assert seen.row("$SYS").count() == 0
    small.service.request("DELETE", "/subscribe/%23")
    small.service.request("DELETE", "/messages?topic=zz")
    seen.page.reload()
    seen.wait_text(".tree .empty", "listens to no topic")
    small.service.post("/subscribe", {"topic": "#", "qos": 1})
    small.say("zz", "1")
    seen.row("zz").wait_for()
    for wanted in ("$SYS/broker/uptime", "$odd/#"):
        assert small.service.post("/subscribe", {"topic": wanted}).status == 200
    seen.row("$SYS").wait_for()
    for again in (False, True):
        if again:
            small.service.post("/publish", {"topic": "$odd/one", "payload": "1", "qos": 1})
            seen.page.reload()
        names = seen.page.locator(".tree .row:visible .label")
        seen.wait_until(
            "many => document.querySelectorAll('.tree .row:not([hidden])').length >= many",
            2 + again,
        )
        assert names.all_inner_texts() == ["zz", *(["$odd"] if again else []), "$SYS"]
        seen.row("$SYS").click()
        seen.row("broker").click()
        seen.row("uptime").wait_for()
        told = seen.cell("uptime", "value")
        seen.wait_until(
            "told => [...document.querySelectorAll('.row:not([hidden])')].some((row) =>"
            " row.innerText.includes('uptime') && !row.innerText.includes(told))",
            told,
        )
    seen.row("$odd").click()
    seen.row("one").wait_for()
    small.service.post("/publish", {"topic": "$odd/one", "payload": "followed", "qos": 1})
    seen.wait_text(".tree .row .value", "followed")


def test_it_paints_at_most_once_a_frame(look: Callable[..., Look]) -> None:
    """However often a paint is asked for between two frames, there is one."""
    seen = look()
    painted = seen.run(
        """async () => {
          const { Painter } = await import('./dashboard/page/painter.js');
          const painter = new Painter();
          let painted = 0;
          const job = () => { painted += 1; };
          for (let frame = 0; frame < 3; frame += 1) {
            for (let ask = 0; ask < 1000; ask += 1) painter.ask(job);
            await new Promise(requestAnimationFrame);
          }
          return painted;
        }"""
    )
    assert painted == 3
