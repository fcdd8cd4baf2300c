"""The documents tell the truth: what can be checked by a program is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import setuptools

from gateway.config import VARIABLES
from tests.mqtt_client import mqtt_client, publish_all
from tests.service_process import ROOT, ServiceProcess

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def code_blocks(language: str) -> list[str]:
    """Return the README's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def shell_lines() -> list[str]:
    return [line for block in code_blocks("sh") for line in block.splitlines()]


def test_the_configuration_table_is_the_code() -> None:
    """The README names every variable with its default, in the order of the code, and no other."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`)? ?\| (\S.*) \|$", README, re.MULTILINE)
    assert [(name, default) for name, default, _ in rows] == [
        (variable.name, variable.default) for variable in VARIABLES
    ]


def test_every_relative_link_leads_somewhere() -> None:
    """Every link in the README, the changelog and docs/ that is no URL names a file that exists."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://", "#"))
        and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert broken == []


def test_every_decision_the_code_names_exists() -> None:
    """Where a comment points to docs/decisions/, there is such a page."""
    named = {
        name
        for folder in ("gateway", "store", "handlers", "demo")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"docs/decisions/(\d{4}[\w-]+\.md)", file.read_text("utf-8"))
    }
    assert named
    assert sorted(name for name in named if not (ROOT / "docs/decisions" / name).exists()) == []


def test_requirements_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """requirements.txt lists exactly what setup.py requires."""
    monkeypatch.chdir(ROOT)
    with mock.patch.object(setuptools, "setup") as setup:
        code = compile((ROOT / "setup.py").read_text(encoding="utf-8"), "setup.py", "exec")
        exec(code, {"__file__": str(ROOT / "setup.py"), "__name__": "__main__"})
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert sorted(listed) == sorted(setup.call_args.kwargs["install_requires"])


def test_two_commands_set_everything_up() -> None:
    """A newcomer types `make run` or `make test`; every other line is for using the service."""
    using = ("curl ", "sqlite3 -readonly ")
    assert [line for line in shell_lines() if not line.startswith(using)] == [
        "make run",
        "make test",
    ]
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"run", "test", "demo"} <= set(rules)


def test_the_curl_lines_work_as_they_stand(service: ServiceProcess) -> None:
    """Each curl line of the README, but for host and port, is answered with a success."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    service.start(ready=True)
    lines = [line for line in shell_lines() if line.startswith("curl ")]
    assert len(lines) > 10
    for line in lines:
        command = shlex.split(line.replace("http://localhost:8000", service.url))
        done = subprocess.run(
            [*command, "--silent", "--show-error", "--fail-with-body"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        json.loads(done.stdout)
    service.terminate()


def test_the_sqlite3_line_prints_what_was_published(service: ServiceProcess) -> None:
    """The README's sqlite3 line prints readable lines, while the service runs and after it."""
    if shutil.which("sqlite3") is None:
        pytest.skip("sqlite3 is not installed")
    (line,) = [line for line in shell_lines() if line.startswith("sqlite3 ")]
    command = shlex.split(line.replace("data/history.db", str(service.database)))
    service.start(ready=True)
    service.post("/publish", {"topic": "a/b", "payload": "45.2", "qos": 1})
    service.wait_for(lambda: service.get("/messages").json())
    running = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    service.terminate()
    stopped = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert re.fullmatch(r"\S+Z\|a/b\|45\.2\n", running.stdout)
    assert stopped.stdout == running.stdout


def test_the_python_example_shows_messages(
    service: ServiceProcess, broker: object, tmp_path: Path
) -> None:
    """The README's WebSocket program runs as it stands and prints what was published."""
    (example,) = code_blocks("python")
    program = tmp_path / "live.py"
    program.write_text(example.replace("localhost:8000", f"127.0.0.1:{service.port}"))
    service.start(ready=True)
    with mqtt_client(broker.port) as client:
        publish_all(client, [("factory/line1/press1/temperature", "45.2")])
    service.wait_for(lambda: service.get("/messages").json())
    running = subprocess.Popen([sys.executable, "-u", program], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    with running:
        shown = running.stdout.readline()
        running.kill()
    assert shown.split()[1:] == ["factory/line1/press1/temperature", "45.2"]
    service.terminate()
