"""How many QoS 1 messages a second the service stores, beside what stock paho counts.

`python -m bench.ingest [ROUNDS] [COUNT]`: both in one run, round by round, on a mosquitto of its
own with the same blaster. The rate is COUNT over the time from the first publish to the last
message stored and acknowledged (ours) or counted (paho).
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mosquitto import Mosquitto
from tests.service_process import ServiceProcess

TOPICS = 1_000


def _blast(port: int, count: int) -> float:
    """Start the blaster; return when its first packet leaves."""
    blaster = subprocess.Popen(
        [sys.executable, "-m", "bench.blaster", str(port), str(count), str(TOPICS)],
        stdout=subprocess.PIPE,
    )
    assert blaster.stdout is not None
    blaster.stdout.readline()
    return time.perf_counter()


def measure_paho(directory: Path, count: int) -> tuple[float, float]:
    """Return (messages a second, CPU microseconds a message) of stock paho that only counts."""
    broker = Mosquitto(directory)
    broker.start()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    counter = subprocess.Popen(
        [sys.executable, "-m", "bench.paho_counter", str(broker.port), str(count)],
        stdout=subprocess.PIPE,
    )
    assert counter.stdout is not None
    counter.stdout.readline()
    started = time.perf_counter()
    blaster_started = _blast(broker.port, count)
    counter.stdout.readline()
    took = time.perf_counter() - max(started, blaster_started)
    cpu = _cpu_seconds(counter.pid) if counter.poll() is None else 0.0
    counter.wait(10)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    broker.stop()
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return count / took, 1e6 * (cpu or spent) / count


def measure_service(directory: Path, count: int) -> tuple[float, float]:
    """Return (messages a second, CPU microseconds a message) of the service, stored."""
    broker = Mosquitto(directory / "mosquitto")
    broker.start()
    service = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(broker.port),
        MQTT_SUBSCRIPTIONS="bench/#",
        MQTT_BROKER_STATS="off",
        MAX_HISTORY_SIZE="0",
        LOG_LEVEL="WARNING",
    )
    service.start(ready=True)
    assert service.process is not None
    cpu_before = _cpu_seconds(service.process.pid)
    started = _blast(broker.port, count)
    service.wait_for(lambda: service.get("/health").json()["message_count"] >= count, 120)
    took = time.perf_counter() - started
    cpu = _cpu_seconds(service.process.pid) - cpu_before
    service.terminate()
    broker.stop()
    return count / took, 1e6 * cpu / count


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(rounds: int = 3, count: int = 60_000) -> None:
    """Print one line a round and the medians."""
    ours, reference = [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            reference.append(measure_paho(Path(directory) / "paho", count))
            ours.append(measure_service(Path(directory), count))
        print(
            f"round {number + 1}: paho counts {reference[-1][0]:,.0f}/s"
            f" ({reference[-1][1]:.1f} us), the service stores {ours[-1][0]:,.0f}/s"
            f" ({ours[-1][1]:.1f} us)",
            flush=True,
        )
    rate, cpu = (statistics.median(values) for values in zip(*ours, strict=True))
    paho_rate, paho_cpu = (statistics.median(values) for values in zip(*reference, strict=True))
    print(
        f"median of {rounds}: {rate:,.0f}/s beside {paho_rate:,.0f}/s,"
        f" ratio {rate / paho_rate:.2f}; CPU a message {cpu:.1f} us beside {paho_cpu:.1f} us"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
