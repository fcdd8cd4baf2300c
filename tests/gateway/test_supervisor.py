"""What systemd hears, at a socket that stands in for its own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.supervisor import Supervisor


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield manager


async def next_datagram(manager: socket.socket) -> list[str]:
    """Wait for what is said next."""
    received = await asyncio.get_running_loop().sock_recv(manager, 4096)
    return received.decode().split("\n")


async def test_ready_is_said_first_and_the_watchdog_fed_while_nothing_hangs(
    heard: socket.socket, tmp_path: Path
) -> None:
    """READY with a status; then WATCHDOG=1, until something hangs, and again when it goes on."""
    hanging: list[str] = []
    given = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"}
    supervisor = Supervisor.of(given, os.getpid())
    following = asyncio.create_task(supervisor.follow(lambda: hanging, lambda: "all is well"))
    assert await next_datagram(heard) == ["READY=1", "STATUS=all is well"]
    assert await next_datagram(heard) == ["WATCHDOG=1", "STATUS=all is well"]
    hanging.append("the writer has made no progress for 31 s")
    while (said := await next_datagram(heard))[0] == "WATCHDOG=1":
        pass  # what was on its way
    for _ in range(4):
        assert said == ["STATUS=the writer has made no progress for 31 s"]
        said = await next_datagram(heard)
    hanging.clear()
    while said[0] != "WATCHDOG=1":
        said = await next_datagram(heard)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_the_watchdog_is_not_fed_where_none_was_set_or_for_another_process(
    heard: socket.socket, tmp_path: Path
) -> None:
    """WATCHDOG_USEC counts only with our own WATCHDOG_PID."""
    given = {
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "30000",
        "WATCHDOG_PID": str(os.getpid() + 1),
    }
    for environment in (given, {"NOTIFY_SOCKET": given["NOTIFY_SOCKET"], "WATCHDOG_USEC": "x"}):
        supervisor = Supervisor.of(environment, os.getpid())
        supervisor._feed_s = 0.01
        following = asyncio.create_task(supervisor.follow(list, lambda: "fine"))
        assert (await next_datagram(heard))[0] == "READY=1"
        assert await next_datagram(heard) == ["STATUS=fine"]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        with pytest.raises(BlockingIOError):
            while True:
                assert b"WATCHDOG" not in heard.recv(4096)


async def test_without_a_supervisor_nothing_happens() -> None:
    """Started by hand there is no socket: `follow` ends at once."""
    await Supervisor.of({}, os.getpid()).follow(list, str)


def test_an_abstract_name_and_a_manager_that_is_gone(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """@name is an abstract socket; what cannot be told is one warning and no error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0mqtt-api-test-{os.getpid()}")
        Supervisor(f"@mqtt-api-test-{os.getpid()}").say("STOPPING=1")
        assert manager.recv(100) == b"STOPPING=1"
    Supervisor(str(tmp_path / "nobody")).say("READY=1")
    assert "could not be told READY=1" in caplog.text
