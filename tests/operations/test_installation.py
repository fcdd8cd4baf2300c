"""The installation for systemd, in a scratch root: the real scripts, the real packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.mosquitto import free_port
from tests.service_process import ROOT, ServiceProcess
from tools.environment_file import read_environment_file


def run(*command: str | Path, status: int = 0, **variables: str) -> str:
    """Run a program from `/`, where no checkout can help it; return what it wrote."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("PIP_")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env={**keep, "PIP_NO_COMPILE": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == status, f"{command}\n{done.stdout}"
    return done.stdout


def copy_of_the_build_context(target: Path) -> None:
    """Copy what .dockerignore lets through: the service is built from no more."""
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    shutil.copytree(ROOT / "systemd", target / "systemd")
    for name in ("docs", "containers", "monitoring", "proxy"):
        shutil.copytree(ROOT / name, target / name)
    for name in ("CHANGELOG.md", "mosquitto.conf", "docker-compose.yml"):
        shutil.copy(ROOT / name, target / name)
    for name in allowed:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, target / name)


class Installed(ServiceProcess):
    """The service as the unit would start it: its own program, settings and secrets."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.database = root / "var/lib/mqtt-api/history.db"

    def start_installed(self) -> None:
        """Start what `ExecStart` names, with what EnvironmentFile and credentials bring."""
        settings = self.root / "etc/mqtt-api"
        with (self.directory / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.root / "opt/mqtt-api/current/bin/mqtt-api-server"],
                cwd="/",
                env={
                    **read_environment_file(settings / "mqtt-api.env"),
                    "STATE_DIRECTORY": str(self.root / "var/lib/mqtt-api"),
                    "MQTT_PASSWORD_FILE": str(settings / "mqtt-password"),
                    "API_KEY_FILE": str(settings / "api-key"),
                },
                stdout=log,
                stderr=log,
            )
        self.wait_for(lambda: self.answers())

    def answers(self) -> bool:
        try:
            return self.get("/health/live").status == 200
        except OSError:
            return False


def test_installed_twice_used_and_taken_away_again(tmp_path: Path) -> None:
    """In a scratch root: a second run changes nothing, a key is needed, the commands know the
    settings, an upgrade keeps the release before, and what uninstall leaves is taken up again."""
    source, root = tmp_path / "source", tmp_path / "root"
    source.mkdir()
    copy_of_the_build_context(source)
    install = (source / "systemd/install.sh",)
    run(*install, ROOT=str(root))
    etc, commands = root / "etc/mqtt-api", root / "usr/local/bin"
    key = (etc / "api-key").read_text().strip()
    assert len(key) > 40 and (etc / "api-key").stat().st_mode & 0o077 == 0
    (etc / "mqtt-password").write_text("plant secret\n")
    with (etc / "mqtt-api.env").open("a") as settings:
        port, nowhere = free_port(), free_port()
        settings.write(f"API_HOST=127.0.0.1\nAPI_PORT={port}\nMQTT_BROKER_PORT={nowhere}\n")
    before = {path: path.read_bytes() for path in etc.iterdir()}
    release = (root / "opt/mqtt-api/current").readlink()

    run(*install, ROOT=str(root))
    assert {path: path.read_bytes() for path in etc.iterdir()} == before
    assert (root / "opt/mqtt-api/current").readlink() == release

    service = Installed(root)
    service.port, service.url = port, f"http://127.0.0.1:{port}"
    service.start_installed()
    try:
        assert service.get("/messages").status == 401
        assert service.get("/messages", {"Authorization": f"Bearer {key}"}).status == 200
        shown = run(commands / "mqtt-api", "health", status=1, MQTT_API_URL=service.url)
        assert '"status":"degraded"' in shown
        run(commands / "mqtt-api-server", "keys", "add", "dashboard", "--read", "factory/#")
        assert "dashboard" in run(commands / "mqtt-api-server", "keys", "list")
        run(commands / "mqtt-api-server", "db", "backup", root / "copy.db")
        assert (root / "copy.db").stat().st_mode & 0o007 == 0, "a copy is nobody else's to read"
        (root / "copy.db").unlink()
        assert service.terminate() == 0
    finally:
        service.kill()

    (source / "server.py").write_text((source / "server.py").read_text() + "# a change\n")
    wheels = root / "opt/mqtt-api/current"
    environment = source / "systemd/environment.sh"  # an upgrade without its minutes of pip
    environment.write_text(f'[ "$2" = program ] || cp -R {wheels.resolve()} "$1"\n')
    run(*install, ROOT=str(root))
    assert (root / "opt/mqtt-api/previous").readlink() == release
    assert (root / "opt/mqtt-api/current").readlink() != release

    run(source / "systemd/uninstall.sh", ROOT=str(root))
    left = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    state = {"var/lib/mqtt-api/history.db", "var/lib/mqtt-api/keys.json"}
    assert state <= left
    assert {one for one in left if not one.startswith(("etc/mqtt-api/", "var/lib/"))} == {
        "service.log"
    }
