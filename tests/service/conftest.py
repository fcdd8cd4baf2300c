"""Settings of the whole-service tests."""

from __future__ import annotations

import itertools

import pytest

_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def shared_settings() -> dict[str, str]:
    """A service as it comes, but for a history that does not end at 1,000 messages."""
    return {"MAX_HISTORY_SIZE": "100000"}


@pytest.fixture
def branch() -> str:
    """A topic level that no other test uses."""
    return f"branch{next(_NUMBERS)}"
