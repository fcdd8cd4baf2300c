"""`server.py doctor` names what is wrong, and what to do, against a broker that lets few in."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server import main
from tests.guarded.certificates import Authority
from tests.mosquitto import Mosquitto, free_port
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.needs_mosquitto
Doctor = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mosquitto, Path]]:
    """A mosquitto that speaks TLS alone, asks for a password, and has an access list; and the
    file of the authority that signed its certificate."""
    directory = tmp_path_factory.mktemp("strict")
    authority = Authority(directory, "plant")
    certificate, key = authority.issue("localhost", "127.0.0.1")
    passwords = directory / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "api", "right"], check=True)
    (directory / "acl").write_text("user api\ntopic readwrite #\n")
    port = free_port()
    broker = Mosquitto(
        directory / "broker",
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {passwords}",
        f"acl_file {directory}/acl",
        f"certfile {certificate}",
        f"keyfile {key}",
        port=port,
    )
    broker.start()
    yield broker, authority.file
    broker.stop()


@pytest.fixture
def doctor(
    strict: tuple[Mosquitto, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    """Examine with settings that are right, but for those given; return status and what it said."""
    broker, authority = strict
    right = {
        "MQTT_BROKER_HOST": "localhost",
        "MQTT_BROKER_PORT": str(broker.port),
        "MQTT_TLS": "true",
        "MQTT_TLS_CA": str(authority),
        "MQTT_PASSWORD": "right",
        "API_HOST": "127.0.0.1",
        "API_PORT": str(free_port()),
        "HISTORY_DB": str(tmp_path / "history.db"),
    }

    def run(**wrong: str) -> tuple[int, str]:
        status = main(["doctor"], {**right, **wrong})
        return status, capsys.readouterr().out

    return run


def test_all_is_well(doctor: Doctor) -> None:
    """Each thing has its line, none is a failure, and the status is 0."""
    status, said = doctor()
    assert status == 0 and "FAIL" not in said, said
    for line in ("] disk:", "] database:", "] clock:", "] port:", "broker's port", "TLS: TLSv1."):
        assert line in said
    assert "login: as api, MQTT 5" in said and "subscription: # is granted" in said
    assert "renew the broker's certificate" in said  # this one lives for an hour


@pytest.mark.parametrize(
    ("wrong", "line", "advice"),
    [
        (
            {"MQTT_BROKER_HOST": "nowhere.invalid"},
            "nowhere.invalid is not known",
            "MQTT_BROKER_HOST",
        ),
        ({"MQTT_BROKER_PORT": "1"}, ":1: Connection refused", "MQTT_BROKER_PORT"),
        ({"MQTT_TLS_CA": ""}, "certificate is not accepted", "MQTT_TLS_CA"),
        (
            {"MQTT_PASSWORD": "wrong"},
            "login: as api: the broker says: Not authorized",
            "mosquitto_passwd",
        ),
        ({"MQTT_TLS": "false", "MQTT_TLS_CA": ""}, "does not answer", "MQTT_TLS=true"),
        ({"MQTT_PASSWORD": "wrong", "MQTT_PROTOCOL": "3.1.1"}, "broker says", "mosquitto_passwd"),
        ({"API_HOST": "192.0.2.1"}, "192.0.2.1", "API_HOST"),
        ({"HISTORY_DB": "/dev/null/x.db"}, "/dev/null may not be written", "HISTORY_DB"),
    ],
)
def test_each_fault_is_named_with_what_to_do(
    doctor: Doctor, wrong: dict[str, str], line: str, advice: str
) -> None:
    """One line says what is wrong, the next names the setting; the status is 1."""
    status, said = doctor(**wrong)
    assert status == 1
    failed = said[said.index("[FAIL]") :]
    assert line in failed and advice in failed, said


def test_beside_a_running_service(doctor: Doctor, service: ServiceProcess) -> None:
    """The port is ours and the service is asked; a stranger on the port is told from it."""
    service.start(ready=True)
    status, said = doctor(API_PORT=str(service.port))
    assert status == 0 and f"service: runs on 127.0.0.1:{service.port}, healthy" in said
    service.terminate()


def test_a_stranger_on_the_port(doctor: Doctor, strict: tuple[Mosquitto, Path]) -> None:
    """Another program listens where we would."""
    status, said = doctor(API_PORT=str(strict[0].port))
    assert status == 1 and "is taken by another program" in said and "ss -ltnp" in said
