"""Readers that do not read, and more readers than there are places: bounded, and given back."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.findings import memory_bytes, open_files, wait_until_stored
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.service.talking import TEXT, BareListener, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess

READERS = 10
SEATS = 100
BUFFER_BYTES = 1024 * 1024
MIB = 1024 * 1024
SETTINGS = {
    "MQTT_CLEAN_SESSION": "false",
    "MAX_HISTORY_SIZE": "0",
    "WS_MAX_BUFFER_BYTES": str(BUFFER_BYTES),
    "WS_MAX_CONNECTIONS": str(SEATS),
    "WS_HEARTBEAT_INTERVAL": "3600",  # who stalls answers no ping, and is to stay here
    "RATE_LIMIT_ENABLED": "false",
}


class Counting(threading.Thread):
    """A good reader: counts the messages that it gets, and sees that none is missing."""

    def __init__(self, listener: BareListener) -> None:
        super().__init__(daemon=True)
        self._listener = listener
        self.seen = 0
        self.in_order = True

    def begin(self) -> None:
        """Read the welcome: from then on everything comes. The rest is read by the thread."""
        self._listener.next("welcome")
        self.start()

    def run(self) -> None:
        """Read until the connection is closed."""
        try:
            while True:
                opcode, content = self._listener.frame()
                if opcode == TEXT and content.startswith(b'{"type":"message"'):
                    number = b'"payload":"%d ' % self.seen
                    self.in_order = self.in_order and number in content
                    self.seen += 1
        except (EOFError, OSError):
            return


def beside_stalled_readers(
    service: ServiceProcess, broker: Any, stored: int, load_s: float
) -> tuple[int, int]:
    """Let ten readers stall and ten read; return how many messages there were, and how much
    memory the service took then."""
    assert service.process is not None
    with ExitStack() as stack:
        stalled = [
            stack.enter_context(listen_bare(service, receive_buffer=4_096)) for _ in range(READERS)
        ]
        good = [Counting(stack.enter_context(listen_bare(service))) for _ in range(READERS)]
        for reader in good:
            reader.begin()
        with Publisher(broker.port, 500, pad_bytes=1_000) as publisher:
            time.sleep(load_s)  # the length of the load: it is the experiment
            sent = publisher.finish()
        wait_until_stored(service, stored + sent)
        service.wait_for(lambda: all(reader.seen == sent for reader in good))
        most = memory_bytes(service.process.pid)
        assert all(reader.in_order for reader in good)
        resumed = Counting(stalled[0])
        resumed.begin()
        service.wait_for(lambda: resumed.seen == sent, within_s=60)
        assert resumed.in_order, "a stalled reader missed something"
    return sent, most


@pytest.mark.needs_mosquitto
def test_stalled_readers_cost_nobody_anything(
    service: ServiceProcess, broker: Any, scale: Scale
) -> None:
    """Ten readers stall and ten read: these get everything in order, those are fed what they
    missed when they read again, and the memory stays within the buffers and is given back."""
    service.start(ready=True, **SETTINGS)
    wait_until_subscribed(service)
    assert service.process is not None
    pid = service.process.pid
    with Publisher(broker.port, 5_000, pad_bytes=1_000) as publisher:
        time.sleep(scale.readers_s / 10)  # fills what the database keeps in memory, for good
        stored = publisher.finish()
    wait_until_stored(service, stored)
    for _ in range(2):  # the first round fills what the program keeps for good
        before = memory_bytes(pid)
        sent, most = beside_stalled_readers(service, broker, stored, scale.readers_s)
        stored += sent
        service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)
        left = memory_bytes(pid) - before
        most -= before
    figures = (
        f"{sent} messages of 1 KB; memory +{most / MIB:.1f} MiB with {READERS} stalled,"
        f" +{left / MIB:.1f} MiB when they had gone"
    )
    print(figures)
    # Each may hold its bound and one commit more, and the message path what is on its way.
    assert most < 2 * READERS * BUFFER_BYTES + 20 * MIB, figures
    assert left < 8 * MIB, figures
    assert service.terminate() == 0


@pytest.mark.needs_mosquitto
def test_more_readers_than_places(service: ServiceProcess, tmp_path: Path, scale: Scale) -> None:
    """Far more connect than there are places: so many get one, the others a 503 before the
    upgrade, and files and memory are given back."""
    service.start(ready=True, **SETTINGS)
    assert service.process is not None
    pid = service.process.pid
    for _ in range(2):  # the first round fills what the program keeps for good
        before, files = memory_bytes(pid), open_files(pid)
        with ExitStack() as stack:
            admitted = refused = 0
            for _ in range(scale.connects):
                try:
                    stack.enter_context(listen_bare(service))
                    admitted += 1
                except AssertionError as error:
                    assert b" 503 " in error.args[0].split(b"\r\n")[0]
                    refused += 1
            assert (admitted, refused) == (SEATS, scale.connects - SEATS)
            assert service.get("/health").json()["websocket_connections"] == SEATS
        service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)
        service.wait_for(lambda files=files: open_files(pid) <= files + 2)
    left = memory_bytes(pid) - before
    print(
        f"{scale.connects} connects: {admitted} in, {refused} refused; +{left / MIB:.1f} MiB left"
    )
    assert left < 8 * MIB
    with socket.create_connection(("127.0.0.1", service.port)):
        assert service.get("/health").json()["status"] == "healthy"
