"""Fixtures of the tests of the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.docs.plant import talking_plant


@pytest.fixture
def talking(broker: Any) -> Iterator[None]:
    """A plant that talks while the test runs."""
    with talking_plant(broker):
        yield
