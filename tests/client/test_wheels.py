"""The client as it is installed: a wheel of its own, typed, and at peace with the service's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.service_process import ROOT, ServiceProcess

NOT_SOURCE = shutil.ignore_patterns(
    ".*", "build", "dist", "data", "*.egg-info", "__pycache__", "tests", "docs", "bench"
)


def run(*command: str | Path, status: int = 0, **variables: str) -> str:
    """Run a program from `/`, where no checkout can help it; return what it wrote."""
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("PIP_")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env={**keep, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, f"{command}\n{done.stdout}"
    return done.stdout


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_client_alone_and_both_wheels_together(shared: ServiceProcess, tmp_path: Path) -> None:
    """In a fresh environment, from `/`: the library, its types, the command, and the service."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    bin_ = tmp_path / "venv/bin"
    there = ("--python", bin_ / "python", "-q", "--disable-pip-version-check")
    pip = (sys.executable, "-m", "pip", *there)
    install = (*pip, "install", "--no-compile")
    shutil.copytree(ROOT, tmp_path / "source", ignore=NOT_SOURCE)
    run(*install, "setuptools>=77,<82")
    for source in (tmp_path / "source/client", tmp_path / "source"):
        run(*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, source)
    (client,) = tmp_path.glob("ghostmesh_mqtt_api_client-*.whl")
    (service,) = tmp_path.glob("ghostmesh_mqtt_api-*.whl")
    assert {"client/py.typed", "client/cli/app.py"} <= names_in(client)
    assert {name.split("/")[0].partition("-")[0] for name in names_in(client)} == {
        "client",
        "ghostmesh_mqtt_api_client",
    }
    assert not [name for name in names_in(service) if name.startswith("client")]
    page = [one for one in (ROOT / "dashboard").rglob("*") if one.is_file()]
    page = [one for one in page if one.suffix in (".html", ".js", ".css", ".svg")]
    assert {str(one.relative_to(ROOT)) for one in page} <= names_in(service)

    # Alone: the library and its types; the command says what it lacks.
    run(*install, client)
    listed = run(*pip, "list").lower()
    assert "tornado" not in listed and "paho" not in listed and "click" not in listed
    shutil.copy(ROOT / "tests/client/consumer.py", tmp_path)
    run(
        *(sys.executable, "-m", "mypy", "--strict", "--python-executable", bin_ / "python"),
        *("--cache-dir", tmp_path / "cache", tmp_path / "consumer.py"),
    )
    program = "import client, sys; c = client.MQTTAPIClient(sys.argv[1]); print(c.health_check())"
    shown = run(bin_ / "python", "-W", "error", "-c", f"{program}; c.close()", shared.url)
    assert "'status': 'healthy'" in shown
    assert "ghostmesh-mqtt-api-client[cli]" in run(bin_ / "mqtt-api", "health", status=1)

    # Together: the command and the service beside each other.
    run(*install, f"{client}[cli]", service)
    assert '"status":"healthy"' in run(bin_ / "mqtt-api", "health", MQTT_API_URL=shared.url)
    assert "fine" in run(bin_ / "mqtt-api-server", "--check-config")
    assert run(bin_ / "python", "-c", "import client, handlers, store, gateway, server") == ""
