"""Fixtures of the tests of the dashboard: one browser, one broker and one service for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.dashboard.looking import Look, Plant, look_at, plant_in


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """One browser for all pages."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A service that keeps everything and wants no key; each test has topics of its own."""
    settings = {"MAX_HISTORY_SIZE": "0", "RATE_LIMIT_ENABLED": "false", "CORS_ORIGINS": ""}
    with plant_in(tmp_path_factory.mktemp("plant"), **settings) as running:
        yield running


@pytest.fixture
def small(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Plant]:
    """A service of the test's own that may be stopped; it keeps five messages, or so many as a
    test says by parametrizing it."""
    with plant_in(tmp_path, MAX_HISTORY_SIZE=str(getattr(request, "param", 5))) as running:
        yield running


@pytest.fixture
def look(browser: Any, plant: Plant) -> Iterator[Callable[..., Look]]:
    """Open the dashboard as the test wants it; at the end nothing may have been complained of."""
    with ExitStack() as open_pages:
        yield lambda view="", **how: open_pages.enter_context(
            look_at(browser, how.pop("url", plant.service.url), view, **how)
        )
