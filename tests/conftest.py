"""Fixtures: an event loop per test, a real broker, and the service in process or as a process."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import tornado.ioloop

from tests.browser import chromium_path
from tests.mosquitto import EmbeddedStandIn, Mosquitto, make_broker, mosquitto_path
from tests.operations.nginx import nginx_path
from tests.service_process import ServiceProcess

# What a test may need that pip cannot install, and where it is; tests/install_tools.sh has it.
TOOLS = {
    "mosquitto": mosquitto_path,
    "chromium": chromium_path,
    "nginx": nginx_path,
    "systemd": partial(shutil.which, "systemd-analyze"),
    "curl": partial(shutil.which, "curl"),
    "node": partial(shutil.which, "node"),
    "gcc": partial(shutil.which, "gcc"),
    "sqlite3": partial(shutil.which, "sqlite3"),
}


# What takes longest is begun first: at the end nobody waits for one process that has it all.
FIRST = (
    *("guarded/test_schemathesis.py", "operations/test_installation.py", "client/test_wheels.py"),
    *("client/", "reliability/", "dashboard/", "streams/", "service/"),
)


def _place(item: pytest.Item) -> int:
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    return next((place for place, name in enumerate(FIRST) if path.startswith(name)), len(FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every coroutine test on the loop of its fixture, and name what a lacking tool costs."""
    items.sort(key=_place)
    for item in items:
        is_coroutine = isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj)
        if is_coroutine and item.get_closest_marker("gen_test") is None:
            item.add_marker(pytest.mark.gen_test)
        for tool, path in TOOLS.items():
            if item.get_closest_marker(f"needs_{tool}") and not path():
                if os.environ.get("CI") == "true":
                    raise pytest.UsageError(f"{tool} is not installed, and CI must run everything")
                item.add_marker(pytest.mark.skip(reason=f"{tool} is not installed"))


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores Ctrl-C, and so would the programs that are sent one here.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for tool in TOOLS:
        config.addinivalue_line("markers", f"needs_{tool}: cannot run without {tool}")


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
    """A broker of the test's own, on a free port."""
    started = make_broker(tmp_path / "mosquitto")
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def own_settings() -> dict[str, str]:
    """What `service` is told besides; a folder may say something else."""
    return {}


@pytest.fixture
def service(
    broker: Mosquitto | EmbeddedStandIn, tmp_path: Path, own_settings: dict[str, str]
) -> Iterator[ServiceProcess]:
    """The real process on a free port, connected to `broker`; not started yet. When the test is
    over it must not have logged a traceback."""
    settings = {**own_settings, **broker.settings}
    process = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(broker.port), **settings)
    yield process
    process.kill()
    if process.process is not None:
        assert "Traceback" not in process.log(), process.log()


@pytest.fixture(scope="module")
def shared_broker(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mosquitto | EmbeddedStandIn]:
    """One broker for all tests of a module."""
    started = make_broker(tmp_path_factory.mktemp("broker"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def shared_settings() -> dict[str, str]:
    """What `shared` is told besides: it keeps everything, and counts no requests."""
    return {
        "MAX_HISTORY_SIZE": "0",
        "MESSAGE_RETENTION_HOURS": "0",
        "RATE_LIMIT_ENABLED": "false",
    }


@pytest.fixture(scope="module")
def shared(
    shared_broker: Mosquitto | EmbeddedStandIn,
    tmp_path_factory: pytest.TempPathFactory,
    shared_settings: dict[str, str],
) -> Iterator[ServiceProcess]:
    """One running service for all tests of a module, each with topics of its own."""
    settings = {**shared_settings, **shared_broker.settings}
    directory = tmp_path_factory.mktemp("service")
    process = ServiceProcess(directory, MQTT_BROKER_PORT=str(shared_broker.port), **settings)
    process.start(ready=True)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why a test was tried twice: what fails now and then is not seen again so soon."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first try of {report.nodeid} ({report.when})")
        terminalreporter.write_line(report.longreprtext)
