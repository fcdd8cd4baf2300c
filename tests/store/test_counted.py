"""How sentences of the service and of the client count things."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from client.cli.output import counted as counted_by_the_client
from store.counted import counted


@pytest.mark.parametrize("say", [counted, counted_by_the_client])
@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 messages"), (1, "1 message"), (2, "2 messages"), (1_042, "1,042 messages")],
)
def test_one_is_no_plural(say: Callable[[int, str], str], count: int, said: str) -> None:
    """The client, which imports nothing of ours, counts as the service does."""
    assert say(count, "message") == said
