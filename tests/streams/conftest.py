"""Fixtures of the stream tests: a service that keeps everything and has no rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mosquitto import EmbeddedStandIn, Mosquitto, mosquitto_path
from tests.service.talking import wait_until_subscribed
from tests.service_process import ServiceProcess

SETTINGS = {"MAX_HISTORY_SIZE": "0", "RATE_LIMIT_ENABLED": "false"}


@pytest.fixture
def service(broker: Mosquitto | EmbeddedStandIn, tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service of its own, which must not have logged a traceback when the test is over."""
    process = ServiceProcess(
        tmp_path, MQTT_BROKER_PORT=str(broker.port), **SETTINGS, **broker.settings
    )
    yield process
    process.kill()
    if process.process is not None:
        assert "Traceback" not in process.log(), process.log()


@pytest.fixture(scope="module")
def shared_broker(
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
def shared(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """One running service for all tests of a module, each with topics of its own."""
    process = ServiceProcess(
        tmp_path_factory.mktemp("service"),
        MQTT_BROKER_PORT=str(shared_broker.port),
        **SETTINGS,
        **shared_broker.settings,
    )
    process.start(ready=True)
    wait_until_subscribed(process)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()
