"""`server.py doctor` names what is wrong, and what to do, against a broker that lets few in."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from server import main
from tests.mosquitto import Mosquitto, free_port
from tests.operations.strict_broker import StrictBroker
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.needs_mosquitto
Doctor = Callable[..., tuple[int, str]]


@pytest.fixture
def doctor(strict: StrictBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Examine with settings that are right, but for those given; return status and what it said."""
    right = {
        **strict.settings,
        "API_HOST": "127.0.0.1",
        "API_PORT": str(free_port()),
        "HISTORY_DB": str(tmp_path / "history.db"),
    }

    def run(**wrong: str) -> tuple[int, str]:
        status = main(["doctor"], {**right, **wrong})
        return status, capsys.readouterr().out

    return run


@contextmanager
def retained(strict: StrictBroker) -> Iterator[None]:
    """Have one message retained at the broker."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.tls_set(ca_certs=str(strict.authority.file))
    client.username_pw_set("api", "right")
    client.connect("localhost", strict.broker.port)
    client.loop_start()
    client.publish("kept/one", "1", 1, True).wait_for_publish(10)
    yield
    client.publish("kept/one", "", 1, True).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_all_is_well(doctor: Doctor) -> None:
    """Each thing has its line, none is a failure, and the status is 0."""
    status, said = doctor()
    assert status == 0 and "FAIL" not in said, said
    for line in ("] disk:", "] database:", "] clock:", "] port:", "broker's port", "TLS: TLSv1."):
        assert line in said
    assert "login: as api, MQTT 5" in said and "subscription: # is granted" in said
    assert f"[ ok ] publishing: mqtt-api/mqtt-api-{socket.gethostname()}/doctor is granted" in said
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
        ({"MQTT_PASSWORD": ""}, "login: as api, with an empty password: ", "MQTT_PASSWORD"),
        ({"HISTORY_DB": "/etc/hostname"}, "is no database, or a damaged one", "db restore"),
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


def test_a_stranger_on_the_port(doctor: Doctor, strict: StrictBroker) -> None:
    """Another program listens where we would."""
    status, said = doctor(API_PORT=str(strict.broker.port))
    assert status == 1 and "is taken by another program" in said and "ss -ltnp" in said


def test_an_access_list_that_lets_nothing_through_is_told_from_one_that_does(
    doctor: Doctor, strict: StrictBroker
) -> None:
    """mosquitto grants a subscription and holds its messages back: only what comes shows it."""
    with retained(strict):
        assert "subscription: # is granted, and messages come" in doctor()[1]
        status, said = doctor(MQTT_USERNAME="blind")
    assert status == 0
    assert "[warn] subscription: # is granted; nothing came" in said and "`topic read #`" in said


def test_who_may_not_publish_is_told(doctor: Doctor) -> None:
    """MQTT 5 names the refusal. It is no failure: what the service records, it records."""
    status, said = doctor(MQTT_USERNAME="narrow", MQTT_CLIENT_ID="gw")
    assert status == 0
    assert "[warn] publishing: mqtt-api/gw/doctor: Not authorized\n" in said, said
    assert "`topic write mqtt-api/gw/doctor` for this user" in said


@pytest.mark.parametrize("user", ["api", "narrow"])
def test_mqtt_3_1_1_cannot_say_who_may_publish(doctor: Doctor, user: str) -> None:
    """Its brokers confirm what they drop: the doctor vouches for nothing there."""
    status, said = doctor(MQTT_USERNAME=user, MQTT_PROTOCOL="3.1.1", MQTT_CLIENT_ID="gw")
    assert status == 0
    assert "[warn] publishing: mqtt-api/gw/doctor: confirmed, which MQTT 3.1.1 says" in said, said


def test_the_trial_message_is_not_retained(doctor: Doctor, strict: StrictBroker) -> None:
    """Nothing stays at the broker: who looks later finds nothing retained there."""
    with retained(strict):
        doctor(MQTT_CLIENT_ID="gw")
        said = doctor(MQTT_SUBSCRIPTIONS="mqtt-api/gw/doctor")[1]
    assert "subscription: mqtt-api/gw/doctor is granted; nothing came" in said


def test_tls_at_a_port_without_it(doctor: Doctor, broker: Mosquitto) -> None:
    """The port answers, but not in TLS: the advice names the port."""
    status, said = doctor(MQTT_BROKER_PORT=str(broker.port))
    assert status == 1 and "[FAIL] TLS: " in said and "MQTT_BROKER_PORT" in said
    assert "_ssl.c" not in said
