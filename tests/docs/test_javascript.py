"""Every JavaScript example shows what the plant says, in a real browser, on a page of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import browse, chromium
from tests.docs.pages import code_blocks, pages_with
from tests.docs.plant import KEY, TEMPERATURE
from tests.service_process import ROOT, ServiceProcess

EXAMPLES = [
    pytest.param(block, id=f"{name} {number}")
    for name in pages_with("javascript")
    for number, block in enumerate(code_blocks(ROOT / name, "javascript"))
]
# An example that ends with values for a chart shows none of them itself.
SHOW_THEM = "\nconsole.log(JSON.stringify({points, line, band}));"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all examples."""
    with chromium() as started:
        yield started


@pytest.mark.needs_chromium
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_shows_messages(
    example: str, browser: Any, service: ServiceProcess, talking: None
) -> None:
    """As it stands, but for host and port: with a key where it has one, it shows a value."""
    guarded = "apiKey" in example
    service.start(API_KEY=KEY, API_KEY_REQUIRED=str(guarded).lower(), MQTT_SUBSCRIPTIONS="#")
    service.wait_for(lambda: service.get("/health").json()["message_count"] > 3)
    program = example.replace("localhost:8000", f"127.0.0.1:{service.port}")
    program = f"const apiKey = {json.dumps(KEY)};\n{program}"
    if "console.log" not in program:
        program += SHOW_THEM
    with browse(browser, service.url) as seen:
        seen.page.goto(f"{service.url}/docs")
        with seen.page.expect_console_message(
            lambda said: TEMPERATURE in said.text or '"avg"' in said.text or "45.2" in said.text
        ):
            seen.page.evaluate(f"() => {{ (async () => {{ {program}\n }})(); }}")
    service.terminate()
