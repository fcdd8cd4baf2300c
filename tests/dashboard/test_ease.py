"""For everybody: light and dark, phone and wall, keyboard and screen reader, links that carry."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from tests.dashboard.looking import PHONE, Look, Plant, own_topic

pytestmark = pytest.mark.needs_chromium
# axe says of each fault how grave it is; these are.
GRAVE = ("serious", "critical")
VIEWS = ("topics", "topic", "live", "publish", "health")


def faults(seen: Look) -> list[Any]:
    """Return what axe-core finds: rule, and the elements."""
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    if not seen.run("() => 'axe' in window"):
        seen.run(script)
    found: list[Any] = seen.run(
        """async (grave) => (await axe.run(document, { resultTypes: ['violations'] })).violations
          .filter(({ impact }) => grave.includes(impact))
          .map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) =>
            [target.join(' '), failureSummary])])""",
        list(GRAVE),
    )
    return found


def settle(seen: Look, view: str) -> None:
    """Wait until a view shows what it is for."""
    shown = {
        "topics": ".tree .row",
        "topic": ".plot canvas",
        "live": ".log .row",
        "publish": ".act form",
        "health": ".verdict[data-tone=good]",
    }
    seen.page.locator(shown[view]).first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_grave_fault(plant: Plant, look: Callable[..., Look], scheme: str) -> None:
    """In each view, light and dark, and in the dialog: labels, roles, contrast, names."""
    topic = own_topic()
    plant.say(topic, '{"value":1,"text":"a"}', '{"value":2,"text":"b"}')
    seen = look(f"#/topics?q={topic}", scheme=scheme)
    for view in VIEWS:
        seen.go(view, **({"t": topic} if view == "topic" else {}))
        if view == "live":
            seen.wait_text(".live .foot", "Following")
            plant.say(topic, '{"value":3}')
        settle(seen, view)
        if view == "topic":
            seen.page.locator(".value-card .segments").get_by_text("Changes").click()
        assert faults(seen) == [], view
    seen.page.get_by_role("button", name="API key").click()
    assert faults(seen) == [], "dialog"


def test_a_phone_shows_everything_without_scrolling_sideways(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """Each view fits a narrow screen; tree and topic take turns; the way back is there."""
    topic = f"{own_topic()}/a-rather-long-level/of-a-topic/that-has-many"
    plant.say(topic, "1.5", "2.5")
    seen = look(f"#/topics?q={topic}", size=PHONE)
    for view in VIEWS:
        seen.go(view, **({"t": topic} if view == "topic" else {"q": topic}))
        if view == "live":
            seen.wait_text(".live .foot", "Following")
            plant.say(topic, "3.5")
        settle(seen, view)
        wide = seen.run("() => document.documentElement.scrollWidth")
        assert wide <= PHONE["width"], view
    seen.go("topics", q=topic)
    seen.row("that-has-many").click()
    seen.page.locator(".value-card").wait_for()
    assert not seen.page.locator(".tree .grid").is_visible()
    seen.page.get_by_role("link", name="Topics").first.click()
    seen.page.locator(".tree .grid").wait_for()


def test_a_tap_on_a_branch_opens_it(plant: Plant, look: Callable[..., Look]) -> None:
    """On a phone a branch opens and closes under the thumb, and the tree stays; a topic's page
    comes in its place."""
    root = own_topic("_tapped")
    plant.say(f"{root}/below/leaf", "1")
    seen = look(size=PHONE, touch=True)
    seen.row(root).wait_for()
    seen.run("() => document.querySelector('button[title^=Close]').click()")  # not on a phone
    for name, states in ((root, ("true", "false", "true")), ("below", ("true",))):
        for expanded in states:
            seen.row(name).tap()
            seen.page.locator(f".row[aria-expanded={expanded}]", has_text=name).wait_for()
            assert seen.page.locator(".tree .grid").is_visible() and "topic?" not in seen.page.url
    seen.row("leaf").tap()
    seen.wait_text(".topic .path", f"{root}/below/leaf")
    assert not seen.page.locator(".tree .grid").is_visible()


def test_dark_is_dark_and_light_is_light(look: Callable[..., Look]) -> None:
    """The system's choice decides, at once."""
    seen = look()
    ground = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    assert seen.run(ground) > 200
    seen.page.emulate_media(color_scheme="dark")
    assert seen.run(ground) < 60


def test_a_link_carries_the_view(plant: Plant, look: Callable[..., Look]) -> None:
    """Topic, range, field, other lines, scales and search are in the address, and come back."""
    root = own_topic()
    plant.say(f"{root}/a", '{"x":1,"y":2}')
    plant.say(f"{root}/b", "3")
    link = f"#/topic?t={root}/a&q={root}&range=1h&f=$.y&with={root}/b&scales=apart"
    seen = look(link)
    seen.wait_text(".chip", "y")
    seen.wait_text(".chip:nth-child(2)", f"{root}/b")
    assert seen.page.get_by_label("Own scales").is_checked()
    assert seen.page.locator(".segment[data-value='1h']").get_attribute("aria-pressed") == "true"
    assert seen.page.locator(".tree .search input").input_value() == root
    seen.wait_text(".tree .row[aria-selected=true]", "a")
    assert seen.page.url.endswith(link)


def test_every_control_can_be_reached_and_seen(plant: Plant, look: Callable[..., Look]) -> None:
    """Tab leads through the page and shows where one is."""
    topic = own_topic()
    plant.say(topic, "1")
    seen = look(f"#/topic?t={topic}&q={topic}")
    settle(seen, "topic")
    reached = set()
    for _ in range(40):
        seen.page.keyboard.press("Tab")
        reached.add(
            seen.run(
                """() => {
                  const one = document.activeElement;
                  const style = getComputedStyle(one.closest('.search') ?? one);
                  return `${one.className || one.tagName} ${style.outlineStyle}`;
                }"""
            )
        )
    assert not [one for one in reached if one.endswith(" none") and "BODY" not in one], reached
    wanted = ("grid scroller", "content", "plot", "past scroller", "segment")
    assert all(any(one.startswith(name) for one in reached) for name in wanted), reached
