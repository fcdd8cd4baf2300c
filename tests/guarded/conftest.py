"""Fixtures of the tests of what guards the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guarded.asking import Launch
from tests.mosquitto import EmbeddedStandIn, Mosquitto, mosquitto_path


@pytest.fixture(scope="module")
def module_broker(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mosquitto | EmbeddedStandIn]:
    """One broker for all tests of a module."""
    started = (
        Mosquitto(tmp_path_factory.mktemp("broker")) if mosquitto_path() else EmbeddedStandIn()
    )
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def launch(
    module_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Starts services on the broker of the module; none may have logged a traceback."""
    launching = Launch(module_broker, lambda: tmp_path_factory.mktemp("service"))
    yield launching
    launching.end()
