"""`make test` leaves no daemons running on the machine of who types it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.service_process import ROOT


def commands_of(tmp_path: Path, *packages: str, systemd: bool, fails: bool = False) -> list[str]:
    """Run the script with stand-ins for the programs that change the machine; return their calls,
    in order."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name in ("apt-get", "systemctl", "sudo"):
        ends = "exit 100" if fails and name == "apt-get" else ""
        act = 'exec "$@"' if name == "sudo" else f'echo "{name} $*" >>{calls}\n{ends}'
        (programs / name).write_text(f"#!/bin/sh\n{act}\n")
        (programs / name).chmod(0o755)
    runs = tmp_path if systemd else tmp_path / "nowhere"
    done = subprocess.run(
        ["sh", ROOT / "tests/apt_install.sh", *packages],
        env={"PATH": f"{programs}:/usr/bin:/bin", "SYSTEMD_RUNS": str(runs)},
        capture_output=True,
        check=False,
    )
    assert (done.returncode == 0) is not fails
    return calls.read_text().splitlines()


def test_a_daemon_is_masked_before_it_comes_and_left_off(tmp_path: Path) -> None:
    """Masked, installed, shown again, and not enabled: in this order; other packages are just
    installed."""
    calls = commands_of(tmp_path, "curl", "mosquitto", systemd=True)
    assert [call.partition(" -")[0] for call in calls] == [
        "systemctl mask",
        "apt-get update",
        "apt-get install",
        "systemctl unmask",
        "systemctl disable",
    ]
    assert all("mosquitto.service" in call for call in calls if "systemctl" in call)
    assert "curl" not in "".join(call for call in calls if "systemctl" in call)


def test_nothing_stays_masked_when_the_installation_fails(tmp_path: Path) -> None:
    """The unit is as it was, whatever becomes of apt."""
    calls = commands_of(tmp_path, "nginx", systemd=True, fails=True)
    assert [call.split()[1] for call in calls if "systemctl" in call] == ["mask", "unmask"]


def test_where_no_systemd_runs_nothing_is_asked_of_it(tmp_path: Path) -> None:
    """In a container there is nobody who would start anything."""
    calls = commands_of(tmp_path, "nginx", "mosquitto", systemd=False)
    assert [call.split()[0] for call in calls] == ["apt-get", "apt-get"]
