"""Fixtures of the tests of what guards the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guarded.asking import Launch
from tests.mosquitto import EmbeddedStandIn, Mosquitto


@pytest.fixture(scope="module")
def launch(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Starts services on the broker of the module; none may have logged a traceback."""
    launching = Launch(shared_broker, lambda: tmp_path_factory.mktemp("service"))
    yield launching
    launching.end()
