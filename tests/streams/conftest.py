"""Settings of the stream tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def own_settings() -> dict[str, str]:
    """A service that keeps everything and counts no requests."""
    return {"MAX_HISTORY_SIZE": "0", "RATE_LIMIT_ENABLED": "false"}
