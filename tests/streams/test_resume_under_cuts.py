"""Clients that are cut off again and again, and a service that is killed: nothing is missing."""

from __future__ import annotations

import json
import os
import random
import socket
import threading
from collections import Counter
from typing import Any, Protocol

from tests.service.talking import TEXT, BareListener, history, wait_until_subscribed
from tests.service_log.asking import epoch
from tests.service_process import ServiceProcess
from tests.streams.reading import EventStream, Tap, number_of, until

PER_SECOND = 500
CUTS = 100
KILLS = 5
WAIT_S = (0.01, 0.2)
SEED = int(os.environ.get("CUTS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)


class Source(Protocol):
    """A connection that gives messages."""

    socket: socket.socket

    def message(self) -> dict[str, Any]:
        """Return the next frame that is a message or a gap."""


class SocketSource(BareListener):
    """A WebSocket that goes on after an id."""

    def __init__(self, port: int, epoch_name: str, after: int) -> None:
        try:
            super().__init__(port, f"?topic=factory/%23&after={after}")
        except BaseException:
            self.socket.close()
            raise

    def message(self) -> dict[str, Any]:
        while True:
            opcode, content = self.frame()
            if opcode == TEXT:
                found: dict[str, Any] = json.loads(content)
                if found["type"] in ("message", "gap"):
                    return found


class EventSource(EventStream):
    """An event stream that goes on as a browser does: with what it saw last in a header."""

    def __init__(self, port: int, epoch_name: str, after: int) -> None:
        seen = {"Last-Event-ID": f"{epoch_name}.{after}"}
        try:
            super().__init__(port, "?topic=factory/%23&since=all", seen)
            if self.status != 200:
                raise ConnectionError(f"status {self.status}")
        except BaseException:
            self.socket.close()
            raise

    def message(self) -> dict[str, Any]:
        while (event := self.event()).kind not in ("message", "gap"):
            pass
        return event.data


class Resuming:
    """A client of its own thread that comes back after every cut and goes on where it stopped."""

    def __init__(self, kind: type[SocketSource | EventSource], port: int, epoch_name: str) -> None:
        self._kind = kind
        self._port = port
        self._epoch = epoch_name
        self._source: SocketSource | EventSource | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.name = kind.__name__
        self.frames: list[dict[str, Any]] = []
        self.connections = 0

    def open(self) -> None:
        self._thread.start()

    def cut(self) -> bool:
        """Cut the connection, wherever it is; False when there is none, or it was cut before."""
        source, self._source = self._source, None
        if source is None:
            return False
        try:
            source.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._closed.set()
        self.cut()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        after = 0
        while not self._closed.is_set():
            try:
                self._source = source = self._kind(self._port, self._epoch, after)
            except (OSError, EOFError, AssertionError):
                self._closed.wait(0.02)  # the service is being killed or started
                continue
            self.connections += 1
            try:
                while not self._closed.is_set():
                    frame = source.message()
                    self.frames.append(frame)
                    if frame["type"] == "message":
                        after = frame["id"]
            except (OSError, EOFError):
                pass
            finally:
                self._source = None
                source.socket.close()


def test_a_hundred_cuts_and_five_kills_lose_and_repeat_nothing(
    service: ServiceProcess, broker: Any
) -> None:
    """While 500 messages a second flow, clients are cut a hundred times at any moment and the
    service is killed five times: each sees every message exactly once, in order, and no gap."""
    print(f"CUTS_SEED={SEED}")
    chance = random.Random(SEED)
    service.start(
        ready=True,
        MQTT_CLEAN_SESSION="false",
        MQTT_CLIENT_ID="resume-under-cuts",
        MESSAGE_RETENTION_HOURS="0",
    )
    wait_until_subscribed(service)
    name = epoch(service)
    clients = [Resuming(kind, service.port, name) for kind in (SocketSource, EventSource)]
    tap = Tap(broker.port, "factory/line1", PER_SECOND, 200)
    kills = set(chance.sample(range(5, CUTS - 5), KILLS))
    pause = threading.Event()
    try:
        for client in clients:
            client.open()
        tap.open()
        done: Counter[str] = Counter()
        while done.total() < CUTS:
            pause.wait(chance.uniform(*WAIT_S))
            if done.total() in kills:
                kills.discard(done.total())
                service.kill()
                pause.wait(chance.uniform(0, 0.3))
                service.start()
            client = chance.choice(clients)
            done[client.name] += client.cut()
        count = tap.close()
        for client in clients:
            until(
                lambda client=client: (
                    bool(client.frames)  # type: ignore[misc]
                    and client.connections > done[client.name]
                    and number_of(client.frames[-1].get("payload", "-1")) >= count - 1
                ),
                f"{client.name} has the last message",
            )
    finally:
        for client in clients:
            client.close()
    for client in clients:
        print(f"{client.name}: {done[client.name]} cuts, {client.connections} connections")
        gaps = [frame for frame in client.frames if frame["type"] == "gap"]
        assert not gaps
        ids = [frame["id"] for frame in client.frames]
        repeated = len(ids) - len(set(ids))
        assert (repeated, ids) == (0, sorted(ids))
        numbers = [number_of(frame["payload"]) for frame in client.frames]
        wrong = [(had, want) for want, had in enumerate(numbers) if had != want][:5]
        assert not wrong, f"(had, wanted): {wrong} of {count}"
        assert len(numbers) == count
    assert [number_of(one["payload"]) for one in history(service, "&topic=factory/%23")] == list(
        range(count)
    )
    print(f"{count} messages")
