"""The recipe of docs/security.md makes a broker with TLS and passwords that the service accepts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from server import main
from tests.docs.pages import code_blocks
from tests.mosquitto import Mosquitto, free_port
from tests.service_process import ROOT

PAGE = ROOT / "docs/security.md"
NAME = "broker.plant.example"
PASSWORD = "a-password-of-your-own"

pytestmark = pytest.mark.needs_mosquitto


def block(language: str, with_text: str) -> str:
    """Return the one block of the page that has this text."""
    (found,) = [one for one in code_blocks(PAGE, language) if with_text in one]
    return found


def test_what_the_page_makes_works_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Certificates, password file, access list, broker and settings, word for word; only the
    places, the port and the name are put in, since that name is nobody's here. The doctor finds
    nothing that would keep the service from its job."""
    lines = block("sh", "plant authority")
    subprocess.run(["sh", "-e", "-c", lines], cwd=tmp_path, check=True, capture_output=True)
    port = free_port()
    places = block("text", "listener 8883").replace("/etc/mosquitto/", f"{tmp_path}/")
    (tmp_path / "acl").write_text(block("text", "topic readwrite #"))
    broker = Mosquitto(
        tmp_path / "broker",
        *places.replace("listener 8883", f"listener {port} 127.0.0.1").splitlines(),
        port=port,
    )
    settings = dict(
        line.split("=", 1)
        for line in block("text", "MQTT_TLS_CA").replace(NAME, "localhost").split()
    )
    settings["MQTT_TLS_CA"] = settings["MQTT_TLS_CA"].replace("/etc/mqtt-api", str(tmp_path))
    settings |= {"MQTT_BROKER_PORT": str(port), "MQTT_PASSWORD": PASSWORD}
    broker.start()
    try:
        here = {"HISTORY_DB": str(tmp_path / "history.db"), "API_PORT": str(free_port())}
        status = main(["doctor"], {**settings, **here})
        said = capsys.readouterr().out
        assert status == 0 and "] TLS: TLSv1." in said and "login: as api" in said, said
        assert main(["doctor"], {**settings, **here, "MQTT_PASSWORD": "another"}) == 1
    finally:
        broker.stop()
