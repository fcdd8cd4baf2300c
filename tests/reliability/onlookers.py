"""Those who look on while something fails: a live reader, and one who keeps asking."""

from __future__ import annotations

import math
import threading
import time

from tests.service_process import ServiceProcess
from tests.streams.reading import EventStream

ASK_EVERY_S = 0.05


class LiveReader(threading.Thread):
    """Reads /events from the head on until its end, and keeps what it saw."""

    def __init__(self, service: ServiceProcess) -> None:
        super().__init__(daemon=True)
        self._stream = EventStream(service.port)
        self.seen: list[tuple[int | None, int]] = []
        """(id or None, number) of each message."""
        self.states: list[str] = []
        """What each status frame said of the history."""

    def __enter__(self) -> LiveReader:
        assert self._stream.next("welcome")
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()
        self.join(10)

    def run(self) -> None:
        """Read until the stream ends or is closed."""
        try:
            while True:
                event = self._stream.event()
                if event.kind == "message":
                    self.seen.append((event.data["id"], int(event.data["payload"])))
                elif event.kind == "status":
                    self.states.append(event.data["history"])
        except (EOFError, OSError, ValueError):
            pass

    @property
    def without_id(self) -> int:
        """How many messages were shown before they could be stored."""
        return sum(message_id is None for message_id, _ in list(self.seen))


class Asker(threading.Thread):
    """Asks over HTTP again and again, and keeps how long each answer took."""

    def __init__(self, service: ServiceProcess, *paths: str) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._paths = paths
        self._ended = threading.Event()
        self.times_s: list[float] = []
        self.bad: list[int] = []
        """Statuses other than 200."""

    def __enter__(self) -> Asker:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self.join(30)

    def run(self) -> None:
        """Ask until the end."""
        while not self._ended.wait(ASK_EVERY_S):
            for path in self._paths:
                began = time.monotonic()
                status = self._service.get(path).status
                self.times_s.append(time.monotonic() - began)
                if status != 200:
                    self.bad.append(status)

    @property
    def p99_ms(self) -> float:
        """The time within which 99 of 100 answers came."""
        ordered = sorted(self.times_s)
        return round(1_000 * ordered[max(0, math.ceil(0.99 * len(ordered)) - 1)], 1)
