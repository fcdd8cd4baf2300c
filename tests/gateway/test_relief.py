"""Commits are gathered for longer while the write-ahead log is too large."""

from __future__ import annotations

import pytest

from gateway.relief import LOOK_S, RELIEF_FROM_BYTES, RELIEF_FULL_BYTES, RELIEF_S, Relief


@pytest.mark.parametrize(
    ("size", "seconds"),
    [
        (0, 0.0),
        (RELIEF_FROM_BYTES, 0.0),
        ((RELIEF_FROM_BYTES + RELIEF_FULL_BYTES) // 2, RELIEF_S / 2),
        (100 * RELIEF_FULL_BYTES, RELIEF_S),
    ],
)
def test_the_larger_the_log_the_longer_is_gathered(size: int, seconds: float) -> None:
    """Not at all while it is small, and never for longer than the bound."""
    assert Relief(lambda: size, lambda: 1.0).seconds() == seconds


def test_the_size_is_asked_for_now_and_then_only() -> None:
    """Each commit would pay for it otherwise; a log that grew is noticed all the same."""
    sizes, now = iter([0, RELIEF_FULL_BYTES]), [1.0]
    relief = Relief(lambda: next(sizes), lambda: now[0])
    assert [relief.seconds() for _ in range(3)] == [0.0, 0.0, 0.0]
    now[0] += LOOK_S
    assert [relief.seconds() for _ in range(3)] == [RELIEF_S] * 3
