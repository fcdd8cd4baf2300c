"""The chart: which numbers, which time, live, zoomed, several lines, gaps, and files to keep."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.looking import Look, Plant, own_topic

pytestmark = pytest.mark.needs_chromium
PNG = b"\x89PNG\r\n\x1a\n"
# Counts the pixels of the canvas that have the colour of the first line.
INK = """() => {
  const canvas = document.querySelector('.plot canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at] === 15 && data[at + 1] === 118 && data[at + 2] === 110) found += 1;
  return found;
}"""


def plot_box(seen: Look) -> Any:
    """Return where the drawing area is, once it is there."""
    seen.page.locator(".plot .u-over").wait_for()
    return seen.page.locator(".plot .u-over").bounding_box()


def test_numbers_are_drawn_live_with_their_values(plant: Plant, look: Callable[..., Look]) -> None:
    """A numeric topic has a chart with the newest value beside it; what comes is added at once;
    under the pointer stand the values of that moment."""
    topic = own_topic()
    plant.say(topic, "10", "20", "30")
    seen = look(f"#/topic?t={topic}&range=5m")
    box = plot_box(seen)
    seen.wait_until(
        "() => document.querySelector('.chip .now').textContent.length > 0 && "
        "document.querySelector('.chip .now').textContent !== '\\u2013'"
    )
    assert seen.page.locator(".segment[data-value='5m']").get_attribute("aria-pressed") == "true"
    plant.say(topic, "77.5")
    seen.wait_until("() => parseFloat(document.querySelector('.chip .now').textContent) > 20")
    seen.wait_until(f"() => ({INK})() > 0")
    seen.page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2)
    seen.wait_until(
        "() => /^\\d\\d:\\d\\d:\\d\\d$/.test(document.querySelector('.when').textContent)"
    )
    seen.page.locator(".plot[aria-label*='from 10 to 77.5']").wait_for()


def test_a_drag_zooms_and_the_address_carries_it(plant: Plant, look: Callable[..., Look]) -> None:
    """A part that is dragged over fills the chart; the link shows the same to others; Back, Esc
    and keys lead on."""
    topic = own_topic()
    plant.say(topic, *[str(number) for number in range(20)])
    seen = look(f"#/topic?t={topic}&range=5m")
    box = plot_box(seen)
    middle = box["y"] + box["height"] / 2
    seen.page.mouse.move(box["x"] + box["width"] * 0.5, middle)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] * 0.9, middle, steps=4)
    seen.page.mouse.up()
    seen.wait_until("() => /from=\\d+.*&to=\\d+/.test(location.hash)")
    zoomed = seen.page.url
    seen.page.get_by_role("button", name="Reset zoom").wait_for()
    other = look(zoomed.partition("/dashboard")[2])
    other.page.get_by_role("button", name="Reset zoom").wait_for()
    other.page.locator(".plot[aria-label*=zoomed]").wait_for()
    other.page.locator(".plot").focus()
    other.page.keyboard.press("+")
    other.wait_until("old => location.href !== old", zoomed)
    other.page.keyboard.press("Escape")
    other.wait_until("() => !location.hash.includes('from=')")
    seen.page.go_back()
    seen.wait_until("() => !location.hash.includes('from=')")
    seen.page.locator(".segment[data-value='all']").click()
    seen.wait_until("() => location.hash.includes('range=all')")


def test_fields_and_several_topics_in_one_chart(plant: Plant, look: Callable[..., Look]) -> None:
    """A field of a JSON payload is chosen; another topic is added by keyboard, with a scale of its
    own, and taken out again."""
    root = own_topic()
    for number in (1, 2, 3):
        plant.say(f"{root}/a", f'{{"power":{{"kW":{number}}},"rpm":{1000 + number}}}')
        plant.say(f"{root}/b", f'{{"value":{number * 100}}}')
    seen = look(f"#/topic?t={root}/a&range=5m")
    seen.wait_text(".chip", "power.kW")
    seen.page.locator(".chart-card select").select_option("$.rpm")
    seen.wait_text(".chip", "rpm")
    seen.wait_until("() => document.querySelector('.chip .now').textContent.startsWith('100')")
    adder = seen.page.get_by_role("combobox", name="Add a topic")
    adder.click()
    seen.page.keyboard.type(f"{root}/")
    seen.page.get_by_role("option", name=f"{root}/b").wait_for()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        seen.page.keyboard.press(key)
    seen.wait_text(".chip:nth-child(2)", "b value")
    assert "with=" in seen.page.url
    plant.say(f"{root}/b", '{"value":900}')
    seen.wait_until(
        "() => parseFloat(document.querySelector('.chip:nth-child(2) .now').textContent) > 200"
    )
    seen.page.get_by_label("Own scales").check()
    seen.wait_until("() => location.hash.includes('scales=apart')")
    seen.page.get_by_role("button", name=f"Remove {root}/b").click()
    seen.page.locator(".chip:nth-child(2)").wait_for(state="detached")


def test_a_topic_that_is_added_misses_nothing(plant: Plant, look: Callable[..., Look]) -> None:
    """What comes after the added line was loaded, and before the stream brings that topic, is in
    the chart as soon as it does; so is what comes then."""
    root = own_topic()
    unit = '"unit":"%s"' % ("a long word " * 20)  # longer than what the tree keeps of a value
    plant.say(f"{root}/a", "1", "2")
    plant.say(f"{root}/b", f'{{{unit},"value":10}}')
    seen = look()
    held = seen.hold(root, '"filter"')
    seen.go("topic", t=f"{root}/a", range="5m")
    plot_box(seen)
    adder = seen.page.get_by_role("combobox", name="Add a topic")
    adder.fill(f"{root}/b")
    adder.press("Enter")
    seen.wait_text(".chip:nth-child(2) .label", "b value")
    seen.wait_until("() => document.querySelector('.chip:nth-child(2) .now').innerText === '10'")
    seen.wait_for_frame(held)
    plant.say(f"{root}/b", f'{{{unit},"value":900}}')
    held.release()
    above = "most => parseFloat(document.querySelector('.chip:nth-child(2) .now').innerText) > most"
    seen.wait_until(above, 200)
    plant.say(f"{root}/b", f'{{{unit},"value":90000}}')
    seen.wait_until(above, 20_000)
    adder.fill(f"{root}/nothing")
    adder.press("Enter")
    seen.wait_text(".toast", "has no message")


def test_a_line_in_the_link_is_followed_though_it_came_before_the_stream(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """A line that is added while the page still waits for the first frame is live, too."""
    root = own_topic()
    plant.say(f"{root}/a", "1")
    plant.say(f"{root}/b", "10")
    seen = look()
    held = seen.hold(root, '"welcome"')
    seen.go("topic", t=f"{root}/a", range="5m")
    seen.wait_for_frame(held)
    seen.go("topic", t=f"{root}/a", range="5m", **{"with": f"{root}/b"})
    seen.wait_until("() => document.querySelector('.chip .now')?.innerText === '10'")
    held.release()
    seen.wait_until("() => document.querySelector('.chip:nth-child(2) .now')?.innerText === '10'")
    plant.say(f"{root}/b", "90000")
    seen.wait_until(
        "() => parseFloat(document.querySelector('.chip:nth-child(2) .now').innerText) > 20000"
    )


def test_picture_and_table_are_downloaded(
    plant: Plant, look: Callable[..., Look], tmp_path: Path
) -> None:
    """PNG is a picture of some size; CSV has a line for each bucket, with real extremes; the
    export of the topic has every message."""
    topic = own_topic("=cmd")
    plant.say(topic, "1", "2", "4")
    seen = look()
    seen.go("topic", t=topic, range="5m")
    plot_box(seen)
    seen.wait_until(
        "() => document.querySelector('.chip .now').textContent.length > 0 && "
        "document.querySelector('.chip .now').textContent !== '\\u2013'"
    )
    files = {}
    for name in ("PNG", "CSV", "Export CSV"):
        with seen.page.expect_download() as download:
            seen.page.get_by_role("button", name=name, exact=True).click()
        files[name] = tmp_path / name
        download.value.save_as(files[name])
    assert files["PNG"].read_bytes().startswith(PNG) and files["PNG"].stat().st_size > 4_000
    rows = list(csv.DictReader(files["CSV"].read_text("utf-8").splitlines()))
    assert {row["topic"] for row in rows} == {f"'{topic}"}
    assert sum(int(row["count"]) for row in rows) == 3
    assert (min(float(row["min"]) for row in rows), max(float(row["max"]) for row in rows)) == (
        1,
        4,
    )
    exported = list(csv.DictReader(files["Export CSV"].read_text("utf-8").splitlines()))
    assert [row["payload"] for row in exported] == ["1", "2", "4"]
