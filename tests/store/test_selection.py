"""Positions in the log."""

from __future__ import annotations

import pytest

from store.selection import InvalidPosition, Position, parse_position


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0", Position(0)),
        ("1042", Position(1042)),
        ("k3f9a1c.1042", Position(1042, "k3f9a1c")),
        ("k.0", Position(0, "k")),
        ("9" * 18, Position(10**18 - 1)),
    ],
)
def test_a_position_is_an_epoch_and_an_id_or_a_bare_id(text: str, position: Position) -> None:
    """Both forms of the contract are read."""
    assert parse_position(text) == position


@pytest.mark.parametrize(
    "text",
    [
        *["", ".", "k.", ".5", "-1", "+1", "1.5", "k.1.2", "K.1", "1k.5", " 1", "1 ", "1\n"],
        *["9" * 19, "k" * 33 + ".1", "0x1", "1e3"],
    ],
)
def test_anything_else_is_no_position(text: str) -> None:
    """What is refused is told what a position is."""
    with pytest.raises(InvalidPosition, match=r"must be a position: <epoch>\.<id>"):
        parse_position(text)
