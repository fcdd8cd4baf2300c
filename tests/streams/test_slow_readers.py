"""Readers that stop reading: they lose nothing, cost little, and nobody else notices."""

from __future__ import annotations

import json
import os
import selectors
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gateway.reader
from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.reader import Reader
from store.scan import FORWARD_BYTES
from store.selection import Position
from store.topics import TopicFilter
from tests.gateway.listening import PlainLines, Wire
from tests.mqtt_client import mqtt_client, publish_all
from tests.recordings import message, open_history
from tests.service.talking import PING, TEXT, BareListener, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess
from tests.streams.reading import Tap, number_of, until

READERS = 10
PER_SECOND = 500
SIZE = 1_000
# How long they do not read, at least; the long version is STALL_SECONDS=30.
STALL_S = float(os.environ.get("STALL_SECONDS", "2"))
MOST_GROWTH_KIB = 20 * 1024


def resident_kib(service: ServiceProcess) -> int:
    """Return the memory that the service has in use."""
    assert service.process is not None
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def fill_caches(service: ServiceProcess, port: int) -> None:
    """Store so much that the page caches of SQLite are full: their growth is not measured."""
    with mqtt_client(port) as client:
        for _ in range(10):
            publish_all(client, [("warm", "x" * 20_000)] * 150)
    service.wait_for(lambda: service.get("/health").json()["message_count"] == 1_500)


class Following:
    """A thread that reads sockets and notes each message's number and how long it took."""

    def __init__(self, listeners: list[BareListener]) -> None:
        self._listeners = listeners
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.numbers: list[list[int]] = [[] for _ in listeners]
        self.delays_s: list[float] = []

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(30)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for number, listener in enumerate(self._listeners):
                selector.register(listener.socket, selectors.EVENT_READ, number)
            while not self._closed.is_set():
                for key, _ in selector.select(0.1):
                    listener = self._listeners[key.data]
                    assert listener.receive(), "a good reader was closed"
                    now = time.monotonic()
                    for opcode, content in listener.take_frames():
                        if opcode == TEXT and content.startswith(b'{"type":"message"'):
                            number, sent, _ = json.loads(content)["payload"].split(" ", 2)
                            self.numbers[key.data].append(int(number))
                            self.delays_s.append(now - float(sent))
                        else:
                            assert opcode in (TEXT, PING)


def test_readers_that_stop_reading_harm_nobody_and_lose_nothing(
    service: ServiceProcess, broker: Any
) -> None:
    """Ten readers stop reading beside ten good ones: these get everything, memory does
    not grow, and when the ten read again each gets every message, in order."""
    # A client that answers no ping is dead after two heartbeats: not what is measured here.
    service.start(ready=True, WS_HEARTBEAT_INTERVAL="3600")
    wait_until_subscribed(service)
    fill_caches(service, broker.port)
    tap = Tap(broker.port, "factory/line1", PER_SECOND, SIZE)
    with ExitStack() as stack:
        good = [stack.enter_context(listen_bare(service)) for _ in range(READERS)]
        stalled = [
            stack.enter_context(listen_bare(service, receive_buffer=8_192)) for _ in range(READERS)
        ]
        for listener in (*good, *stalled):
            listener.next("welcome")
        following = Following(good)
        following.open()
        tap.open()
        # All of them have read for a second before ten of them stop.
        warm = PER_SECOND
        for listener in stalled:
            for number in range(warm):
                assert number_of(listener.next("message")["payload"]) == number
        before_kib = most_kib = resident_kib(service)
        enough = warm + PER_SECOND * STALL_S

        def all_are_behind() -> bool:
            nonlocal most_kib
            most_kib = max(most_kib, resident_kib(service))
            return service.get("/stats").json()["readers_behind"] == READERS and tap.count > enough

        until(all_are_behind, "all who stall are behind", STALL_S + 60)
        count = tap.close()
        until(lambda: all(len(one) == count for one in following.numbers), "the good have all")
        following.close()
        stats = service.get("/stats").json()
        assert stats["readers_behind"] == READERS, "no good reader is, and each who stalls"
        assert stats["readers_fell_behind_total"] >= READERS
        for listener in stalled:
            for number in range(warm, count):
                assert number_of(listener.next("message")["payload"]) == number
            most_kib = max(most_kib, resident_kib(service))
        service.wait_for(lambda: service.get("/stats").json()["readers_behind"] == 0)
        # All are live again.
        last = service.post("/publish", {"topic": "last", "payload": "0 ", "qos": 1})
        assert last.status == 200
        for listener in stalled:
            assert listener.next("message")["topic"] == "last"
    assert following.numbers == [list(range(count))] * READERS
    delays_s = sorted(following.delays_s)
    p99_ms = 1000 * delays_s[int(0.99 * len(delays_s))]
    growth_kib = most_kib - before_kib
    print(
        f"{count} messages; good readers: median {1000 * delays_s[len(delays_s) // 2]:.1f} ms,"
        f" p99 {p99_ms:.1f} ms, most {1000 * delays_s[-1]:.1f} ms;"
        f" memory {before_kib} KiB, at most {growth_kib} KiB more"
    )
    assert growth_kib <= MOST_GROWTH_KIB


async def test_a_page_of_large_messages_is_short(tmp_path: Path) -> None:
    """What is read and kept for one slow reader is bounded in bytes, however large messages are."""
    size, count = 200_000, 30
    async with open_history(tmp_path / "history.db") as history:
        stored = await history.append([message(payload="x" * size) for _ in range(count)])
        wire = Wire()
        reader = Reader(
            Hub(history.totals().newest_id),
            history,
            Metrics(lambda: 0.0),
            wire,
            TopicFilter(),
            PlainLines(),
            max_unsent_bytes=1_000,
        )
        wire.stall()
        reader.start_at(Position(0))
        await wire.until(lambda: bool(wire.ids))
        assert len(wire.ids) <= FORWARD_BYTES // size + 1 < count
        wire.go_on()
        await wire.until(lambda: len(wire.ids) == count)
        assert wire.ids == [one.id for one in stored]
        reader.close()
    assert count < gateway.reader.PAGE


async def test_a_commit_of_large_messages_is_shown_in_parts(tmp_path: Path) -> None:
    """A peer that does not read gets no more than one part of a large commit beyond its bound;
    the rest it reads from the log."""
    size, count = 100_000, 30
    async with open_history(tmp_path / "history.db") as history:
        hub, wire = Hub(), Wire()
        reader = Reader(
            hub,
            history,
            Metrics(lambda: 0.0),
            wire,
            TopicFilter(),
            PlainLines(),
            max_unsent_bytes=1_000,
        )
        reader.start_at(None)
        wire.stall()
        hub.publish(await history.append([message(payload="x" * size) for _ in range(count)]))
        assert reader.is_behind
        assert 0 < len(wire.ids) <= 4
        wire.go_on()
        await wire.until(lambda: len(wire.ids) == count)
        assert wire.ids == list(range(1, count + 1))
        reader.close()
