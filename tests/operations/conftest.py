"""Fixtures of these tests: a broker that lets few in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.operations.strict_broker import StrictBroker, strict_broker


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StrictBroker]:
    """A running mosquitto with TLS, passwords and an access list."""
    made = strict_broker(tmp_path_factory.mktemp("strict"))
    made.broker.start()
    yield made
    made.broker.stop()
