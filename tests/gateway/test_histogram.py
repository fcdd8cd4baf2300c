"""Values by size."""

from __future__ import annotations

from gateway.histogram import Histogram


def test_buckets_are_cumulative_and_a_bound_belongs_to_its_bucket() -> None:
    """A value equal to a bound counts below it; the last bucket holds all."""
    counted = Histogram((0.5, 1))
    for value in (0.1, 0.5, 0.7, 3):
        counted.observe(value)
    assert counted.buckets() == [("0.5", 2), ("1", 3), ("+Inf", 4)]
    assert counted.total == 4.3


def test_nothing_counted_yet() -> None:
    """Every bucket is there from the beginning."""
    assert Histogram((1,)).buckets() == [("1", 0), ("+Inf", 0)]
