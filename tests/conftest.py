"""Fixtures: an event loop per test, a real broker, and the service in process or as a process."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tornado.ioloop

from tests.browser import chromium_path
from tests.mosquitto import EmbeddedStandIn, Mosquitto, mosquitto_path
from tests.operations.nginx import nginx_path
from tests.service_process import ServiceProcess


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every coroutine test on the loop of its fixture, and name what a lacking tool costs."""
    tools = {
        "mosquitto": mosquitto_path(),
        "chromium": chromium_path(),
        "nginx": nginx_path(),
        "systemd": shutil.which("systemd-analyze"),
    }
    for item in items:
        is_coroutine = isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj)
        if is_coroutine and item.get_closest_marker("gen_test") is None:
            item.add_marker(pytest.mark.gen_test)
        for tool, path in tools.items():
            if item.get_closest_marker(f"needs_{tool}") and not path:
                if os.environ.get("CI") == "true":
                    raise pytest.UsageError(f"{tool} is not installed, and CI must run everything")
                item.add_marker(pytest.mark.skip(reason=f"{tool} is not installed"))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "needs_mosquitto: needs more than the embedded broker can do"
    )
    config.addinivalue_line("markers", "needs_chromium: looks at a page in a real browser")
    config.addinivalue_line("markers", "needs_nginx: asks through a real proxy")
    config.addinivalue_line("markers", "needs_systemd: has systemd look at the unit")


@pytest.fixture
def io_loop() -> Iterator[tornado.ioloop.IOLoop]:
    """A fresh loop, closed at the end with everything that was begun on it."""
    loop = asyncio.new_event_loop()
    io_loop = tornado.ioloop.IOLoop(asyncio_loop=loop, make_current=False)
    asyncio.set_event_loop(loop)
    yield io_loop
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    asyncio.set_event_loop(None)
    io_loop.close(all_fds=False)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto | EmbeddedStandIn]:
    """A broker on a free port: mosquitto, or the embedded one where that cannot be had."""
    started = Mosquitto(tmp_path / "mosquitto") if mosquitto_path() else EmbeddedStandIn()
    started.start()
    yield started
    started.stop()


@pytest.fixture
def service(broker: Mosquitto | EmbeddedStandIn, tmp_path: Path) -> Iterator[ServiceProcess]:
    """The real process on a free port, connected to `broker`; not started yet."""
    process = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(broker.port), **broker.settings)
    yield process
    process.kill()
