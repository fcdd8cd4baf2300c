"""The numbers of a chart before they are drawn: buckets, gaps, one axis for all, and how they are
written beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.dashboard.looking import Look

pytestmark = pytest.mark.needs_chromium


def test_the_numbers_beside_the_chart_differ_and_are_whole(look: Callable[..., Look]) -> None:
    """A meter that counts millions loses no digit, and two lines of the grid have two numbers."""
    seen = look()
    found = seen.run(
        """async () => {
          const { ticks, value } = await import('./dashboard/page/format.js');
          return [ticks([12345700, 12345750, 12345800], 50), ticks([-5e-6, 0, 5e-6], 5e-6),
            ticks([0.5, 1, 1.5], 0.5), [12345678.4, 0.1 + 0.2, 1e21, null].map(value)];
        }"""
    )
    assert found == [
        ["12345700", "12345750", "12345800"],
        ["-0.000005", "0", "0.000005"],
        ["0.5", "1", "1.5"],
        ["12345678", "0.3", "1e+21", "\N{EN DASH}"],
    ]


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
