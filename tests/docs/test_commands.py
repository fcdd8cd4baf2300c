"""Every line to paste, and every Python program, works as it stands in the README and in docs/."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import code_blocks, pages_with, shell_lines
from tests.docs.plant import KEY, TEMPERATURE
from tests.service_process import ROOT, ServiceProcess

# The program of docs/http.md that answers requests; it runs beside the service.
RESPONDER = "def answer(client, data, question)"
# The two commands of the README; whoever runs these tests has run one of them.
SETS_UP = ("make ",)


@contextmanager
def running(program: str, directory: Path, service: ServiceProcess, broker: Any) -> Iterator[Any]:
    """Run a Python example against this service and this broker; yield its process."""
    text = program.replace("localhost:8000", f"127.0.0.1:{service.port}")
    file = directory / "example.py"
    file.write_text(text.replace('"localhost", 1883', f'"127.0.0.1", {broker.port}'))
    with subprocess.Popen(
        [sys.executable, "-u", file], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_line(line: str, service: ServiceProcess) -> None:
    """Run one line in a directory of its own; AssertionError with what it said."""
    command = (
        line.replace("http://localhost:8000", service.url)
        .replace("data/history.db", str(service.database))
        .replace(".venv/bin/python server.py", f"{sys.executable} {ROOT}/server.py")
    )
    if line.startswith("curl "):
        command += " --silent --show-error --fail-with-body --max-time 20"
    directory = service.directory / "pasted"
    directory.mkdir(exist_ok=True)
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "API_KEY": KEY, "HISTORY_DB": str(service.database)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    if line.startswith("curl ") and " -o " not in line:
        assert done.stdout, f"{line}\nbrought nothing"
    if line.startswith("sqlite3 -readonly ") and ".backup" not in line:
        assert done.stdout, f"{line}\nbrought nothing"


@pytest.mark.needs_curl
@pytest.mark.needs_sqlite3
@pytest.mark.parametrize("name", pages_with("sh"))
def test_every_line_works_as_it_stands(
    name: str, service: ServiceProcess, broker: Any, talking: None
) -> None:
    """Each line, in the order of the page, ends with a success and brings something.

    Only host, port and paths are put in. docs/security.md is about a service that wants keys.
    """
    guarded = name == "docs/security.md"
    service.start(
        API_KEY=KEY,
        MQTT_SUBSCRIPTIONS="#",
        **({"API_KEY_REQUIRED": "true"} if guarded else {}),
    )
    service.wait_for(lambda: service.get("/health").json()["message_count"] > 3)
    lines = [line for line in shell_lines(ROOT / name) if not line.startswith(SETS_UP)]
    if broker.settings:  # the embedded broker knows no response topics
        lines = [line for line in lines if "/request" not in line]
        lines = [line for line in lines if not line.startswith("mosquitto_")]  # not installed
    (machine,) = [one for one in code_blocks(ROOT / "docs/http.md", "python") if RESPONDER in one]
    with running(machine, service.directory, service, broker):
        if any("/request" in line for line in lines):
            _wait_for_machine(service)
        for line in lines:
            run_line(line, service)
    service.terminate()


def _wait_for_machine(service: ServiceProcess) -> None:
    question = {"topic": "machines/press1/ask", "payload": "there?", "timeout": 0.3}
    service.wait_for(lambda: service.post("/request", question).status == 200)


def test_the_python_programs_show_messages(
    service: ServiceProcess, broker: Any, talking: None
) -> None:
    """Every Python program on every page prints what the plant says."""
    service.start(ready=True)
    programs = [
        block
        for name in pages_with("python")
        for block in code_blocks(ROOT / name, "python")
        if RESPONDER not in block and "localhost:8000" in block
    ]
    assert len(programs) >= 3
    service.wait_for(lambda: service.get("/health").json()["message_count"] > 3)
    for program in programs:
        with running(program, service.directory, service, broker) as process:
            first = process.stdout.readline() + process.stdout.readline()
        assert TEMPERATURE in first, f"{program}\n{first}"
    service.terminate()


@pytest.mark.needs_sqlite3
def test_the_lines_for_sqlite3_work_while_it_runs_and_after_it(
    service: ServiceProcess, talking: None
) -> None:
    """The README's sqlite3 line prints the same form with and without a running service."""
    lines = [line for line in shell_lines(ROOT / "README.md") if line.startswith("sqlite3 ")]
    service.start(ready=True)
    service.wait_for(lambda: service.get("/health").json()["message_count"] > 3)
    for line in lines:
        run_line(line, service)
    service.terminate()
    for line in lines:
        run_line(line, service)
