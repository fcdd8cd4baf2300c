"""The guide tells the truth: its programs and its shell lines run as they stand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client import MQTTAPIClient
from tests.service_process import ROOT, ServiceProcess

GUIDE = (ROOT / "docs/client.md").read_text(encoding="utf-8")
PACKAGE = (ROOT / "client/README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", GUIDE + PACKAGE, re.MULTILINE | re.DOTALL)
LINES = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)[0].splitlines()
# These go on until somebody stops them: after they have shown something, the test does.
ENDLESS = ("stream(", ".listen()", "mqtt-api tail")


def environment(service: ServiceProcess) -> dict[str, str]:
    folder = Path(sys.executable).parent
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
        "PYTHONUNBUFFERED": "1",
        "MQTT_API_URL": service.url,
    }


def run(command: list[str], text: str, service: ServiceProcess, directory: Path) -> str:
    """Return what a program shows; one without end is stopped after its first line."""
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment(service),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        if any(sign in text for sign in ENDLESS):
            shown = running.stdout.readline()
            os.killpg(running.pid, signal.SIGKILL)  # a shell has a child
            assert shown, running.communicate()[1]
            return shown
        shown, complaints = running.communicate(timeout=30)
        assert (running.returncode, complaints) == (0, ""), text
        return shown


@pytest.fixture(scope="module")
def factory(shared: ServiceProcess) -> ServiceProcess:
    """A service that knows the topics of the guide."""
    with MQTTAPIClient(shared.url) as client:
        client.publish("factory/line1/press1/temperature", 45.2, qos=1)
        client.publish("factory/line1/press1/power", {"value": 11.2, "unit": "kW"}, qos=1)
        shared.wait_for(lambda: len(client.get_topics("factory/#")) == 2)
    return shared


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_each_program_of_the_guide_runs(
    factory: ServiceProcess, tmp_path: Path, program: str
) -> None:
    """But for host and port it runs unchanged, and shows something where it prints."""
    port = str(factory.port)
    there = program.replace("localhost:8000", f"127.0.0.1:{port}").replace(
        "MQTTWebSocketClient(message_handler",
        f'MQTTWebSocketClient("ws://127.0.0.1:{port}/ws", message_handler',
    )
    shown = run([sys.executable, "-c", there], program, factory, tmp_path)
    assert bool(shown) == ("print" in program)


def test_the_shell_lines_of_the_guide_run(factory: ServiceProcess, tmp_path: Path) -> None:
    """One after the other, as they stand, in one folder."""
    module = f'mqtt-api() {{ "{sys.executable}" -m client "$@"; }}; '
    assert len(LINES) > 12
    for line in LINES:
        shown = run(["bash", "-c", f"set -o pipefail; {module}{line}"], line, factory, tmp_path)
        assert shown, line
