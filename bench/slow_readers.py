"""What ten readers that stop reading cost the ten beside them.

`python -m bench.slow_readers [SECONDS]`: 500 messages a second of 1 KB, twenty WebSockets; ten of
them stop reading for SECONDS (30), and then read again until they have everything. Measured: how
long a message takes to the good readers, beside the same with nobody slow; memory; completeness.
"""

from __future__ import annotations

import re
import selectors
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.mosquitto import Mosquitto
from tests.service.talking import BareListener, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess
from tests.streams.reading import Tap, until
from tests.streams.test_slow_readers import Following, fill_caches, resident_kib

READERS = 10
PER_SECOND = 500
SIZE = 1_000
# Both kinds of reader have read for a second before one kind stops.
WARM = PER_SECOND
NUMBER = re.compile(rb'"payload":"(\d+) ')


@dataclass
class Figures:
    """What was measured, in milliseconds and KiB."""

    messages: int = 0
    delays_ms: dict[str, list[float]] = field(default_factory=dict)
    """To the good readers, sorted, in each phase: nobody slow, ten stalled, ten catching up."""
    growth_kib: int = 0
    complete: bool = False
    """Whether all twenty got every message, in order."""
    catching_up_s: float = 0.0

    def percentile_ms(self, phase: str, share: float) -> float:
        """Return the delay that this share of the messages does not exceed."""
        delays = self.delays_ms[phase]
        return delays[min(len(delays) - 1, int(share * len(delays)))]


def measure(seconds: float = 30) -> Figures:
    """Run it once."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        broker = Mosquitto(Path(temporary) / "mosquitto")
        broker.start()
        stack.callback(broker.stop)
        service = ServiceProcess(
            Path(temporary),
            MQTT_BROKER_PORT=str(broker.port),
            MQTT_BROKER_STATS="off",
            MAX_HISTORY_SIZE="0",
            WS_HEARTBEAT_INTERVAL="3600",
            LOG_LEVEL="WARNING",
        )
        stack.callback(service.kill)
        service.start(ready=True)
        wait_until_subscribed(service)
        fill_caches(service, broker.port)
        good = [stack.enter_context(listen_bare(service)) for _ in range(READERS)]
        slow = [
            stack.enter_context(listen_bare(service, receive_buffer=8_192)) for _ in range(READERS)
        ]
        for listener in (*good, *slow):
            listener.next("welcome")
        return _measure(service, broker.port, good, slow, seconds)


def _measure(
    service: ServiceProcess,
    port: int,
    good: list[BareListener],
    slow: list[BareListener],
    seconds: float,
) -> Figures:
    figures = Figures()
    following = Following(good)
    following.open()
    tap = Tap(port, "factory/line1", PER_SECOND, SIZE)
    tap.open()
    got: list[list[int]] = [[] for _ in slow]
    _read_until(slow, got, WARM)
    cuts = [len(following.delays_s)]
    before_kib = resident_kib(service)
    ending = time.monotonic() + seconds
    while time.monotonic() < ending:
        figures.growth_kib = max(figures.growth_kib, resident_kib(service) - before_kib)
        time.sleep(0.1)
    cuts.append(len(following.delays_s))
    # They read again while messages go on: the first half of what they missed is enough for that.
    began = time.monotonic()
    half = WARM + int(PER_SECOND * seconds / 2)
    _read_until(slow, got, half)
    cuts.append(len(following.delays_s))
    figures.messages = tap.close()
    _read_until(slow, got, figures.messages)
    figures.catching_up_s = time.monotonic() - began
    figures.growth_kib = max(figures.growth_kib, resident_kib(service) - before_kib)
    until(lambda: all(len(one) == figures.messages for one in following.numbers), "all arrived")
    following.close()
    expected = list(range(figures.messages))
    figures.complete = all(one == expected for one in (*following.numbers, *got))
    for phase, first, last in zip(
        ("nobody slow", "ten stalled", "ten catching up"), [0, *cuts], cuts, strict=False
    ):
        figures.delays_ms[phase] = sorted(1_000 * one for one in following.delays_s[first:last])
    return figures


def _read_until(listeners: list[BareListener], got: list[list[int]], count: int) -> None:
    """Read until each has so many messages. The cheapest way there is: this is the same process as
    the good readers, and what it costs them would be measured as well."""
    with selectors.DefaultSelector() as selector:
        for listener, numbers in zip(listeners, got, strict=True):
            selector.register(listener.socket, selectors.EVENT_READ, (listener, numbers))
        while selector.get_map():
            for key, _ in selector.select(1):
                listener, numbers = key.data
                assert listener.receive(), "a slow reader was closed"
                for _, content in listener.take_frames():
                    numbers += map(int, NUMBER.findall(content))
                if len(numbers) >= count:
                    selector.unregister(listener.socket)


def report(figures: Figures) -> str:
    """Return the figures as text, the delays as a table."""
    lines = [
        f"{figures.messages:,} messages to {2 * READERS} readers,"
        f" {'each got all' if figures.complete else 'NOT ALL ARRIVED'};"
        f" memory grew by {figures.growth_kib / 1024:.1f} MB;"
        f" caught up in {figures.catching_up_s:.1f} s",
        "",
        "| while | median, ms | p99, ms | most, ms |",
        "|---|---|---|---|",
    ]
    for phase, delays in figures.delays_ms.items():
        if delays:
            p99 = figures.percentile_ms(phase, 0.99)
            lines.append(
                f"| {phase} | {statistics.median(delays):.1f} | {p99:.1f} | {delays[-1]:.1f} |"
            )
    return "\n".join(lines)


def main(seconds: float = 30) -> None:
    """Measure and print."""
    print(report(measure(seconds)))


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
