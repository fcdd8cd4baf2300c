"""How the dashboard holds up: frames, memory and answers while 1,000 messages a second come in.

Run as `python -m bench.dashboard [SECONDS]`; it needs chromium. One service, one broker, one page:
on the topic tree with everything open, then on the live log; a publisher of its own process.
Software rendering, as on a machine without a graphics card.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.browser import chromium
from tests.mosquitto import make_broker
from tests.service_process import ServiceProcess

TOPICS = 5_000
A_SECOND = 1_000
# The page may settle before it is measured: topics are loaded, code is compiled.
WARM_S = 5
EVERY_S = 5
# Counts frames, and how long a task kept the page from answering.
COUNTING = """() => {
  window.frames_ = 0; window.longest_ = 0; window.last_ = performance.now();
  const count = (now) => {
    window.frames_ += 1;
    window.longest_ = Math.max(window.longest_, now - window.last_);
    window.last_ = now;
    requestAnimationFrame(count);
  };
  requestAnimationFrame(count);
}"""
TAKE = """() => {
  const found = [window.frames_, window.longest_];
  window.frames_ = 0; window.longest_ = 0;
  return found;
}"""


def publish(port: int, seconds: float) -> None:
    """Publish steadily: TOPICS topics in turn, A_SECOND messages a second, in ten portions."""
    from tests.mqtt_client import mqtt_client

    with mqtt_client(port, five=False) as client:
        began, number = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            while number < passed * A_SECOND:
                topic = f"plant/area{number % 10}/line{number % 50}/m{number % TOPICS:04}/value"
                client.publish(topic, f"{20 + number % 977 / 100:.2f}")
                number += 1
            time.sleep(0.1)
        print(number, flush=True)


def measure(page: Any, session: Any, seconds: float) -> list[dict[str, float]]:
    """Return frames, heap and answers for each EVERY_S of the time."""
    rows = []
    page.evaluate(TAKE)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(EVERY_S)
        asked = time.monotonic()
        frames, longest_ms = page.evaluate(TAKE)
        answer_ms = 1_000 * (time.monotonic() - asked)
        session.send("HeapProfiler.collectGarbage")
        metrics = {
            one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]
        }
        rows.append(
            {
                "frames_s": frames / EVERY_S,
                "longest_ms": longest_ms,
                "answer_ms": answer_ms,
                "heap_mib": metrics["JSHeapUsedSize"] / 2**20,
                "nodes": metrics["Nodes"],
            }
        )
        print("  ".join(f"{name} {value:,.1f}" for name, value in rows[-1].items()), flush=True)
    return rows


def main(seconds: float = 60) -> None:
    """Print a line for each EVERY_S, and the summary."""
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        broker = make_broker(Path(directory) / "broker")
        broker.start()
        service = ServiceProcess(
            Path(directory),
            MQTT_BROKER_PORT=str(broker.port),
            MAX_HISTORY_SIZE="0",
            LOG_LEVEL="WARNING",
            **broker.settings,
        )
        service.start(ready=True)
        command = [sys.executable, "-m", "bench.dashboard", "publish", str(broker.port)]
        with subprocess.Popen([*command, str(1.5 * seconds + 4 * WARM_S + 20)]) as publisher:
            service.wait_for(lambda: len(service.get("/topics").json()) >= TOPICS, 60)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{service.url}/dashboard")
            page.locator(".tree .row").first.wait_for()
            page.get_by_role("button", name="Expand").click()
            page.evaluate(COUNTING)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            page.wait_for_timeout(1_000 * WARM_S)
            tree = measure(page, session, seconds)
            shown = page.locator(".status .flow").inner_text()
            page.evaluate("() => { location.hash = '/live' }")
            live = measure(page, session, seconds / 3)
            publisher.kill()
        service.kill()
        broker.stop()
    print(f"{shown} shown; {summary('tree', tree)}; {summary('live log', live)}")


def summary(view: str, rows: list[dict[str, float]]) -> str:
    """Return one view's figures in words."""
    heap = [row["heap_mib"] for row in rows]
    half = len(heap) // 2
    return (
        f"{view}: frames/s median {statistics.median(row['frames_s'] for row in rows):.0f},"
        f" least {min(row['frames_s'] for row in rows):.0f};"
        f" longest pause {max(row['longest_ms'] for row in rows):.0f} ms;"
        f" slowest answer {max(row['answer_ms'] for row in rows):.0f} ms;"
        f" heap after collection {statistics.mean(heap[:half]):.1f} MiB in the first half,"
        f" {statistics.mean(heap[half:]):.1f} MiB in the second"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["publish"]:
        publish(int(sys.argv[2]), float(sys.argv[3]))
    else:
        main(*map(float, sys.argv[1:]))
