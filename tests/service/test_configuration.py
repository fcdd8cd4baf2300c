"""A service that cannot work as configured says so in one sentence and an exit status."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mosquitto import free_port
from tests.service_process import ROOT, ServiceProcess

CANNOT_WORK = 78
HELD_BY_ANOTHER = 75


def run(directory: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run server.py to its end."""
    environment = {
        "PATH": os.environ["PATH"],
        "API_HOST": "127.0.0.1",
        "API_PORT": str(free_port()),
        "MQTT_BROKER_HOST": "127.0.0.1",
        "MQTT_BROKER_PORT": str(free_port()),
        "HISTORY_DB": str(directory / "history.db"),
        "CORS_ORIGINS": "",  # the default * is warned of at each start
        **variables,
    }
    return subprocess.run(
        [sys.executable, "server.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def one_sentence(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Check exit status and that standard error is one line; return it."""
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("MQTT_BROKER_HOST", " ", "not empty"),
        ("MQTT_BROKER_PORT", "0", "from 1 to 65535"),
        ("MQTT_BROKER_PORT", "1883x", "whole number"),
        ("MQTT_KEEPALIVE", "soon", "whole number"),
        ("MQTT_CLEAN_SESSION", "maybe", "true or false"),
        ("MQTT_PROTOCOL", "4", "3.1.1"),
        ("MQTT_SUBSCRIPTIONS", "a/#/b", "filter"),
        ("MQTT_SUBSCRIPTIONS", "$share/g/a", "filter"),
        ("MQTT_STATUS_TOPIC", "a/+", "topic"),
        ("MQTT_BROKER_STATS", "on", "auto"),
        ("API_PORT", "65536", "from 0 to 65535"),
        ("API_WORKERS", "2", "one process"),
        ("HISTORY_SYNCHRONOUS", "off", "full"),
        ("HISTORY_COMMIT_INTERVAL_MS", "-1", "from 0"),
        ("MAX_HISTORY_SIZE", "1e3", "whole number"),
        ("MESSAGE_RETENTION_HOURS", "nan", "number"),
        ("WS_HEARTBEAT_INTERVAL", "0", "number"),
        ("WS_MAX_CONNECTIONS", "0", "from 1"),
        ("PUBLISH_TIMEOUT", "inf", "number"),
        ("LOG_LEVEL", "LOUD", "WARNING"),
    ],
)
def test_a_wrong_value_ends_the_start(
    tmp_path: Path, variable: str, value: str, allowed: str
) -> None:
    """One sentence names the variable, the value and what is allowed; the status is 78."""
    line = one_sentence(run(tmp_path, **{variable: value}), CANNOT_WORK)
    assert line.startswith(variable)
    assert repr(value) in line
    assert allowed in line
    assert not list(tmp_path.iterdir()), "nothing may be touched"


def test_a_key_is_required_and_there_is_none(tmp_path: Path) -> None:
    """API_KEY_REQUIRED without a key ends the start."""
    line = one_sentence(run(tmp_path, API_KEY_REQUIRED="true"), CANNOT_WORK)
    assert "API_KEY" in line


def test_a_secret_file_that_is_not_there(tmp_path: Path) -> None:
    """MQTT_PASSWORD_FILE must be readable; the sentence names it."""
    line = one_sentence(run(tmp_path, MQTT_PASSWORD_FILE="/nowhere/at/all"), CANNOT_WORK)
    assert line.startswith("MQTT_PASSWORD_FILE")
    assert "/nowhere/at/all" in line


@pytest.mark.parametrize("arguments", [(), ("--check-config",)])
def test_tls_files_that_cannot_be_used(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Certificates that cannot be read end the start and the check alike."""
    done = run(tmp_path, *arguments, MQTT_TLS="true", MQTT_TLS_CA="/nowhere/ca.pem")
    assert "MQTT_TLS_CA" in one_sentence(done, CANNOT_WORK)


def test_check_config_only_checks(tmp_path: Path) -> None:
    """--check-config is 0 for a good configuration, 78 for a wrong one, and touches nothing."""
    done = run(tmp_path, "--check-config")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "the configuration is fine"
    line = one_sentence(run(tmp_path, "--check-config", API_PORT="x"), CANNOT_WORK)
    assert line.startswith("API_PORT")
    assert not list(tmp_path.iterdir())


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    """A database of a newer version is refused with status 78 and stays as it is."""
    file = tmp_path / "history.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE future (x)")
    connection.execute("PRAGMA user_version = 999")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    line = one_sentence(run(tmp_path), CANNOT_WORK)
    assert "999" in line
    assert "newer" in line
    assert file.read_bytes() == before


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    """A directory in the place of the database, or a file in the place of its directory, is 78."""
    (tmp_path / "history.db").mkdir()
    assert str(tmp_path) in one_sentence(run(tmp_path), CANNOT_WORK)
    (tmp_path / "file").touch()
    done = run(tmp_path, HISTORY_DB=str(tmp_path / "file" / "history.db"))
    assert str(tmp_path / "file") in one_sentence(done, CANNOT_WORK)


def test_a_database_belongs_to_one_process(service: ServiceProcess, tmp_path: Path) -> None:
    """A second process on the same database ends with 75, and the first goes on."""
    service.start(ready=True)
    line = one_sentence(run(tmp_path, HISTORY_DB=str(service.database)), HELD_BY_ANOTHER)
    assert str(service.database) in line
    assert service.post("/publish", {"topic": "a", "payload": "x", "qos": 1}).status == 200
    service.wait_for(lambda: service.get("/messages").json())


def test_a_database_locked_by_a_stranger(tmp_path: Path) -> None:
    """When an outside program holds the write lock at the start, the status is 75."""
    service = ServiceProcess(tmp_path, MQTT_BROKER_PORT=str(free_port()))
    service.start()
    assert service.terminate() == 0
    stranger = sqlite3.connect(service.database, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    try:
        line = one_sentence(run(tmp_path), HELD_BY_ANOTHER)
        assert str(service.database) in line
    finally:
        stranger.close()
    service.start()
    assert service.terminate() == 0


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A port that another program listens on ends the start with 75 and leaves no database."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_sentence(run(tmp_path, API_PORT=str(port)), HELD_BY_ANOTHER)
    assert f"127.0.0.1:{port}" in line
    assert "API_PORT" in line
    assert not list(tmp_path.iterdir())


def test_secrets_are_never_shown(service: ServiceProcess, tmp_path: Path) -> None:
    """Neither the log nor any answer has the password or the key, whatever goes wrong."""
    (tmp_path / "password").write_text("swordfish\n")
    service.start(
        ready=True,
        MQTT_PASSWORD_FILE=str(tmp_path / "password"),
        API_KEY="open-sesame",
        LOG_LEVEL="DEBUG",
    )
    answers = [service.get(path).content for path in ("/", "/health", "/stats", "/openapi.json")]
    assert service.terminate() == 0
    for secret in ("swordfish", "open-sesame"):
        assert secret not in service.log()
        assert not [answer for answer in answers if secret.encode() in answer]
