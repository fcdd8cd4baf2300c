"""Pictures of the dashboard for docs/screenshots, taken of the demonstration.

Run by `make screenshots`. With an address as argument it takes them of a service that runs
already: `python -m tests.dashboard.screenshots http://localhost:8000`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.browser import chromium
from tests.mosquitto import free_port, make_broker, wait_until_listening
from tests.service_process import ROOT

FOLDER = ROOT / "docs/screenshots"
# So long the factory talks before the pictures: a chart of five minutes wants to be filled.
TALK_S = 300
POWER = "factory/line1/press1/power"
VIEWS = {
    "topics": "#/topics",
    "topic": f"#/topic?t={POWER}&range=5m&with=factory/line1/oven1/power%23$.value",
    "live": "#/live?filter=factory/%23&filter=alerts/%23",
    "publish": f"#/publish?topic={POWER}",
    "health": "#/health",
}
# What each view waits for, so that no picture is half empty.
SHOWN = {
    "topics": ".tree .row.fresh",
    "topic": ".plot canvas",
    "live": ".log .row:nth-child(16)",
    "publish": ".entry",
    "health": ".card[data-card=rate] .note:not(:empty)",
}
SIZES = {"desktop": (1440, 900, 1), "phone": (390, 844, 2)}
SHOTS = [
    *((view, "desktop", scheme) for view in VIEWS for scheme in ("light", "dark")),
    *((view, "phone", scheme) for view in ("topics", "topic") for scheme in ("light", "dark")),
]


@contextmanager
def demonstration() -> Iterator[str]:
    """Run `python -m demo` on free ports, let it talk, and yield its address."""
    with tempfile.TemporaryDirectory() as directory:
        broker = make_broker(Path(directory) / "broker")
        broker.start()
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "API_PORT": str(port),
            "API_HOST": "127.0.0.1",
            "MQTT_BROKER_HOST": "127.0.0.1",
            "MQTT_BROKER_PORT": str(broker.port),
            "MQTT_CLIENT_ID": "mqtt-api-demo",
            "HISTORY_DB": str(Path(directory) / "history.db"),
            "MAX_HISTORY_SIZE": "100000",
            **broker.settings,
        }
        demo = subprocess.Popen([sys.executable, "-m", "demo"], cwd=ROOT, env=environment)
        try:
            wait_until_listening(port)
            time.sleep(TALK_S)
            yield f"http://127.0.0.1:{port}"
        finally:
            demo.terminate()
            demo.wait(20)
            broker.stop()


def take(browser: Any, url: str, view: str, size: str, scheme: str) -> None:
    """Take one picture."""
    width, height, scale = SIZES[size]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme=scheme,
    )
    page.goto(f"{url}/dashboard{VIEWS[view]}")
    if view == "publish":
        page.locator("#publish-payload").fill('{"value": 11.5, "unit": "kW"}')
        page.locator(".segment[data-value=json]").click()
        page.get_by_role("button", name="Publish", exact=True).click()
    page.locator(SHOWN[view]).first.wait_for(state="attached")
    if view == "topic":
        page.locator(".chip:nth-child(2) .now").wait_for()
        page.wait_for_function("() => !document.body.innerText.includes('Loading…')")
    if view == "health":  # a course of some length
        page.wait_for_function(
            "() => document.querySelector('.sparkline polyline').points.length > 20", timeout=90_000
        )
    page.screenshot(path=FOLDER / f"{view}-{size}-{scheme}.png")
    page.close()


def main(*addresses: str) -> None:
    """Take all pictures of each service, or of a demonstration of our own."""
    FOLDER.mkdir(exist_ok=True)
    if not addresses:
        print(f"The demonstration talks for {TALK_S} s first.", flush=True)
        with demonstration() as url:
            main(url)
        return
    with chromium() as browser:
        for view, size, scheme in SHOTS:
            take(browser, addresses[0], view, size, scheme)
            print(f"docs/screenshots/{view}-{size}-{scheme}.png", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
