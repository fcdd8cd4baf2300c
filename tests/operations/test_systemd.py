"""The unit, its settings, and the installation in a scratch root."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.variables import FROM_FILE, VARIABLES
from tests.service_process import ROOT, ServiceProcess
from tools.environment_file import read_environment_file
from tools.settings_pages import PRODUCTION, configuration_page, environment_file

UNIT = ROOT / "systemd/mqtt-api.service"
SETTINGS = ROOT / "systemd/mqtt-api.env"
MOST_EXPOSURE = 2.0


def test_what_is_made_from_the_table_is_in_step() -> None:
    """The environment file and docs/configuration.md are what `make settings` writes."""
    assert SETTINGS.read_text(encoding="utf-8") == environment_file()
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert page == configuration_page()
    for variable in VARIABLES:
        assert page.count(f"| `{variable.name}` |") == 1


def test_the_environment_file_names_every_variable_once_with_a_sentence() -> None:
    """Each variable stands there, commented out with its default or with its production value."""
    lines = SETTINGS.read_text(encoding="utf-8").splitlines()
    named = [re.match(r"#?([A-Z_]+)=", line) for line in lines]
    assert sorted(found.group(1) for found in named if found) == sorted(
        variable.name for variable in VARIABLES
    )
    for above, line, found in zip(lines, lines[1:], named[1:], strict=False):
        assert not found or above.startswith("# "), line
    assert read_environment_file(SETTINGS) == {
        name: value for name, (value, _) in PRODUCTION.items()
    }


@pytest.mark.needs_systemd
def test_systemd_takes_the_unit_without_a_word(tmp_path: Path) -> None:
    """`systemd-analyze verify` prints nothing: it returns 0 even for a misspelt key."""
    program = tmp_path / "opt/mqtt-api/current/bin/mqtt-api-server"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "mqtt-api.service"
    unit.write_text(UNIT.read_text().replace("=/opt/mqtt-api/current", f"={program.parents[1]}"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.needs_systemd
def test_the_unit_is_hardened_and_the_docs_give_its_score() -> None:
    """The exposure that systemd computes is 2.0 or less, and the one in docs/security.md."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    (score,) = re.findall(r"exposure level for mqtt-api.service: ([\d.]+)", done.stdout)
    assert float(score) <= MOST_EXPOSURE
    assert f"exposure of {score}" in (ROOT / "docs/security.md").read_text(encoding="utf-8")


def test_the_unit_does_what_the_service_understands() -> None:
    """Ready is notified, 78 is not retried, secrets are credentials that the service reads."""
    unit = UNIT.read_text(encoding="utf-8")
    for line in ("Type=notify", "Restart=always", "RestartPreventExitStatus=78", "WatchdogSec=60"):
        assert f"\n{line}\n" in unit
    for name in FROM_FILE:
        credential = re.search(rf"{name}_FILE=%d/([\w-]+)", unit)
        assert credential, name
        source = f"/etc/mqtt-api/{credential.group(1)}"
        assert f"LoadCredential={credential.group(1)}:{source}\n" in unit


def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    service: ServiceProcess, tmp_path: Path
) -> None:
    """The real process says READY=1 once it answers, WATCHDOG=1 while it lives, STOPPING=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(20)
        service.start(
            wait=False, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC=str(300_000)
        )
        assert manager.recv(4096).startswith(b"READY=1\nSTATUS=")
        assert service.get("/health/live").status == 200
        while not manager.recv(4096).startswith(b"WATCHDOG=1\nSTATUS=healthy"):
            pass
        assert service.terminate() == 0
        while manager.recv(4096) != b"STOPPING=1":
            pass
