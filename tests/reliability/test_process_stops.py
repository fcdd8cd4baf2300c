"""An orderly stop under load, again and again: soon, with status 0, and with nothing lost."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import pytest

from tests.reliability.findings import assert_once_in_order, wait_until_stored
from tests.reliability.publisher import Publisher
from tests.reliability.scale import Scale
from tests.service.talking import CLOSE, TEXT, BareListener, listen_bare
from tests.service_process import ServiceProcess

WITHIN_S = 10
SETTINGS = {
    "MQTT_CLEAN_SESSION": "false",
    "MAX_HISTORY_SIZE": "0",
    "RATE_LIMIT_ENABLED": "false",
    "CORS_ORIGINS": "",  # no warning at the start, so that none at the end is missed
}


class Caller(threading.Thread):
    """Publishes over REST until the service is gone; `confirmed` is what was answered with 200."""

    def __init__(self, service: ServiceProcess, name: str) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._topic = name
        self.confirmed: list[str] = []
        self.odd: list[object] = []

    def run(self) -> None:
        """Publish one after the other."""
        for number in range(1_000_000):
            order = {"topic": self._topic, "payload": f"{self._topic} {number}", "qos": 1}
            try:
                answer = self._service.post("/publish", order)
            except OSError:
                return  # the service is gone: this one was not confirmed
            if answer.status != 200:
                if answer.status not in (502, 503, 504):
                    self.odd.append(answer.content)
                return
            self.confirmed.append(str(order["payload"]))


def read_to_the_end(listener: BareListener) -> list[tuple[int, bytes]]:
    """Return all frames until the connection is closed."""
    found = []
    try:
        while True:
            found.append(listener.frame())
    except (EOFError, ConnectionError):
        return found


def rows(service: ServiceProcess, rest: bool) -> list[str]:
    """Return the payloads in the database file, of the callers or of the device."""
    with closing(sqlite3.connect(f"file:{service.database}?mode=ro", uri=True)) as connection:
        found = connection.execute(
            "SELECT payload FROM history WHERE (topic LIKE 'rest%') = ? ORDER BY id", (rest,)
        )
        return [payload for (payload,) in found]


def stop_once(service: ServiceProcess, number: signal.Signals, life: int) -> list[str]:
    """Stop under load and check the end; return what callers were told is safe."""
    assert service.process is not None
    with listen_bare(service) as reader, listen_bare(service, receive_buffer=4_096) as stalled:
        stalled.next("welcome")  # and never reads again
        frames: list[tuple[int, bytes]] = []
        reading = threading.Thread(target=lambda: frames.extend(read_to_the_end(reader)))
        reading.start()
        callers = [Caller(service, f"rest{life}/{one}") for one in range(2)]
        for caller in callers:
            caller.start()
        service.wait_for(lambda: all(len(caller.confirmed) > 5 for caller in callers))
        began = time.monotonic()
        service.process.send_signal(number)
        assert service.process.wait(WITHIN_S) == 0
        assert time.monotonic() - began < WITHIN_S
        for thread in (reading, *callers):
            thread.join(30)
    assert [content[:2] for opcode, content in frames if opcode == CLOSE] == [b"\x03\xe9"]  # 1001
    shown = [content for opcode, content in frames if opcode == TEXT and b'"message",' in content]
    assert len(rows(service, False)) + len(rows(service, True)) >= len(shown) > 0
    assert not [odd for caller in callers for odd in caller.odd]
    return [payload for caller in callers for payload in caller.confirmed]


@pytest.mark.needs_mosquitto
def test_stopped_under_load(
    service: ServiceProcess, broker: Any, scale: Scale, chance: random.Random
) -> None:
    """Each stop ends with 0 within 10 s and tells readers 1001; all that was confirmed is there.

    What the broker confirmed to a device is in the history once and in order, and each publish
    that REST answered with 200 is there once.
    """
    confirmed: list[str] = []
    service.start(ready=True, **SETTINGS)
    with Publisher(broker.port, 1_000) as publisher:
        for life in range(scale.stops):
            if life:
                service.start(ready=True)
            count = service.get("/health").json()["message_count"] + chance.randrange(1_500)
            service.wait_for(
                lambda count=count: service.get("/health").json()["message_count"] > count
            )
            number = signal.SIGINT if life % 2 else signal.SIGTERM
            confirmed += stop_once(service, number, life)
        service.start(ready=True)
        sent = publisher.finish()
    wait_until_stored(service, sent + len(confirmed))
    assert_once_in_order([int(payload) for payload in rows(service, False)], sent)
    over_rest = rows(service, True)
    assert len(over_rest) == len(set(over_rest))
    assert not set(confirmed) - set(over_rest)
    assert service.terminate() == 0
    # Asked whether it is ready before it is, the service says no: that is our own asking.
    warnings = [line for line in service.log().splitlines() if "WARNING" in line]
    assert not [line for line in warnings if "GET /health/ready 503" not in line], service.log()
    print(f"{scale.stops} stops, {sent} messages and {len(confirmed)} publishes over REST")
