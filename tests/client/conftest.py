"""Fixtures: one broker and one running service a module, that keeps everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mosquitto import EmbeddedStandIn, Mosquitto, mosquitto_path
from tests.service_process import ServiceProcess

KEEPS_ALL = {
    "MAX_HISTORY_SIZE": "0",
    "MESSAGE_RETENTION_HOURS": "0",
    "RATE_LIMIT_ENABLED": "false",
}


@pytest.fixture
def service(service: ServiceProcess) -> Iterator[ServiceProcess]:
    """A service of its own, which must not have logged a traceback when the test is over."""
    yield service
    if service.process is not None:
        assert "Traceback" not in service.log(), service.log()


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
        **KEEPS_ALL,
        **shared_broker.settings,
    )
    process.start(ready=True)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()
