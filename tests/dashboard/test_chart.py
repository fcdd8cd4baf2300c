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


def test_gaps_break_the_line_and_topics_share_an_axis(look: Callable[..., Look]) -> None:
    """Where nothing came for much longer than usual the line is broken (null), and where another
    topic has a point it goes on (undefined)."""
    seen = look()
    found = seen.run(
        """async () => {
          const { Series, align } = await import('./dashboard/model/series.js');
          const of = (times) => {
            const series = new Series('a', '');
            for (const time of times) series.add(time, time, 1);
            return series;
          };
          const data = align([of([0, 1, 2, 3, 60, 61]), of([0, 30, 60])], 1);
          const show = (column) => column.map((one) => one === undefined ? 'none' : one);
          return { axis: data.axis, gaps: data.gaps, columns: data.columns.map(show) };
        }"""
    )
    assert found["axis"] == [0, 1, 2, 3, 4, 30, 60, 61]
    assert found["gaps"] == [[[4, 60]], []]
    assert found["columns"][0] == [0, 1, 2, 3, None, "none", 60, 61]
    assert found["columns"][1] == [0, "none", "none", "none", "none", 30, 60, "none"]


def test_what_is_live_and_what_is_loaded_make_the_same_buckets(look: Callable[..., Look]) -> None:
    """Numbers that come live are put together as the service does it: count, extremes, average."""
    seen = look()
    found = seen.run(
        """async () => {
          const { Series, bucketFor } = await import('./dashboard/model/series.js');
          const { numberAt, numberPaths } = await import('./dashboard/model/json_path.js');
          const series = new Series('a', '');
          series.load({ points: [{ t: '1970-01-01T00:00:10Z', count: 2, min: 1, max: 3, avg: 2 }],
            skipped: 0 });
          for (const [time, value] of [[14, 5], [9, 99], [21, 7]]) series.add(time, value, 10);
          const odd = { a: [1, { 'b c': 2 }], d: 'x', e: { f: null, g: 3 } };
          const paths = numberPaths(odd);
          return { ...series, bucket: bucketFor(3600), paths,
            values: paths.map((path) => numberAt(odd, path)), plain: numberPaths(5) };
        }"""
    )
    assert found["times"] == [10, 20]
    assert (found["counts"], found["min"], found["max"]) == ([3, 1], [1, 7], [5, 7])
    assert found["avg"] == [3, 7]
    assert found["bucket"] == 10
    assert found["paths"] == ["$.a[0]", '$.a[1]."b c"', "$.e.g"]
    assert (found["values"], found["plain"]) == ([1, 2, 3], [""])
