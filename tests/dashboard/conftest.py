"""Fixtures of the tests of the dashboard: one browser, one broker and one service for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.dashboard.looking import Look, Plant, look_at
from tests.mosquitto import make_broker
from tests.service_process import ServiceProcess


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One browser for all pages."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A service that keeps everything and wants no key; each test has topics of its own."""
    broker = make_broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    service = ServiceProcess(
        tmp_path_factory.mktemp("service"),
        MQTT_BROKER_PORT=str(broker.port),
        MAX_HISTORY_SIZE="0",
        RATE_LIMIT_ENABLED="false",
        CORS_ORIGINS="",
        **broker.settings,
    )
    service.start(ready=True)
    yield Plant(service, broker)
    service.kill()
    broker.stop()
    assert "Traceback" not in service.log(), service.log()


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Plant]:
    """A service of the test's own that may be stopped; it keeps five messages, or so many as a
    test says by parametrizing it."""
    kept = str(getattr(request, "param", 5))
    broker = make_broker(tmp_path / "broker")
    broker.start()
    service = ServiceProcess(
        tmp_path, MQTT_BROKER_PORT=str(broker.port), MAX_HISTORY_SIZE=kept, **broker.settings
    )
    service.start(ready=True)
    yield Plant(service, broker)
    service.kill()
    broker.stop()
    assert "Traceback" not in service.log(), service.log()


@pytest.fixture
def look(browser: Any, plant: Plant) -> Iterator[Callable[..., Look]]:
    """Open the dashboard as the test wants it; at the end nothing may have been complained of."""
    with ExitStack() as open_pages:
        yield lambda view="", **how: open_pages.enter_context(
            look_at(browser, how.pop("url", plant.service.url), view, **how)
        )
