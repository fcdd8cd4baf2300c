"""What goes wrong on the first day, and what /health, the log and the start say of it.

Each fault is one sentence in words, which names the variable or the file to look at. Nothing of
OpenSSL, SQLite or Python shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import main
from tests.guarded.certificates import Authority
from tests.mosquitto import Mosquitto, free_port
from tests.operations.strict_broker import StrictBroker, strict_broker
from tests.service_process import ServiceProcess

# Of OpenSSL and its file names, of Python, of SQLite.
INTERNAL = re.compile(r"_ssl\.c|\[SSL|\[X509|\[Errno|Error\b|Traceback|malformed|disk image")
needs_mosquitto = pytest.mark.needs_mosquitto


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[ServiceProcess]:
    """The service, without the broker of the other tests; not started yet."""
    process = ServiceProcess(tmp_path, API_HOST="127.0.0.1")
    yield process
    process.kill()


def reason(gateway: ServiceProcess, settings: dict[str, str]) -> str:
    """Start it, and return the first reason for which it is not healthy."""
    gateway.start(**settings)
    try:
        gateway.wait_for(
            lambda: "not connected yet" not in str(gateway.get("/health").json()["reasons"])
        )
        (found,) = gateway.get("/health").json()["reasons"]
        return str(found)
    finally:
        gateway.kill()


@needs_mosquitto
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"MQTT_PASSWORD": "wrong"},
            "the broker refused the connection: Not authorized; are MQTT_USERNAME and",
        ),
        ({"MQTT_PASSWORD": "wrong", "MQTT_PROTOCOL": "3.1.1"}, "are MQTT_USERNAME and"),
        ({"MQTT_TLS_CA": ""}, "the broker's certificate is not accepted: .*; MQTT_TLS_CA must be"),
        ({"MQTT_BROKER_HOST": "127.0.0.2"}, "Connection refused"),
        ({"MQTT_BROKER_HOST": "nowhere.invalid"}, "Name or service not known"),
    ],
    ids=["password", "password, 3.1.1", "authority", "address", "name"],
)
def test_health_says_in_words_why_there_is_no_connection(
    gateway: ServiceProcess, strict: StrictBroker, wrong: dict[str, str], words: str
) -> None:
    """The reason names the variable, and the log says the same."""
    said = reason(gateway, {**strict.settings, **wrong})
    assert re.search(f"^not connected to the MQTT broker: .*{words}", said), said
    assert not INTERNAL.search(said)
    assert said.partition(": ")[2] in gateway.log()


@needs_mosquitto
def test_an_expired_certificate_and_another_name_are_told_apart(
    gateway: ServiceProcess, tmp_path: Path
) -> None:
    """One wants a new certificate or the right time, the other the right MQTT_BROKER_HOST."""
    expired = strict_broker(tmp_path, hours_left=-1)
    expired.broker.start()
    try:
        assert "certificate has expired; renew it" in reason(gateway, expired.settings)
    finally:
        expired.broker.stop()
    other = tmp_path / "other"
    other.mkdir()
    misnamed = strict_broker(other)
    certificate, key = misnamed.authority.issue("elsewhere")
    for made, name in ((certificate, "localhost.crt"), (key, "localhost.key")):
        made.rename(other / name)
    misnamed.broker.start()
    try:
        assert "MQTT_BROKER_HOST must be a name" in reason(gateway, misnamed.settings)
    finally:
        misnamed.broker.stop()


@needs_mosquitto
def test_a_status_that_may_not_be_written_is_in_the_log(
    gateway: ServiceProcess, strict: StrictBroker
) -> None:
    """A user that may only read is connected; the log names the topic's variable, once."""
    narrow = {"MQTT_USERNAME": "narrow", "MQTT_STATUS_TOPIC": "narrow/status"}
    gateway.start(ready=True, **{**strict.settings, **narrow})
    gateway.wait_for(lambda: "refused our status (MQTT_STATUS_TOPIC)" in gateway.log())
    gateway.kill()


@needs_mosquitto
def test_a_subscription_that_the_broker_refuses_is_named(
    gateway: ServiceProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the broker itself says no (here by mosquitto's plugin, not by an access list, which
    says nothing), /health and the doctor name the filter, and a metric counts it."""
    access = {"publishClientSend": True, "publishClientReceive": True, "unsubscribe": True}
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps({"defaultACLAccess": {**access, "subscribe": False}}))
    (plugin,) = Path("/usr/lib").glob("*/mosquitto_dynamic_security.so")
    broker = Mosquitto(
        tmp_path / "broker",
        "listener {port} 127.0.0.1",
        "allow_anonymous true",
        f"plugin {plugin}",
        f"plugin_opt_config_file {rules}",
    )
    broker.start()
    settings = {"MQTT_BROKER_PORT": str(broker.port), "MQTT_USERNAME": ""}
    try:
        gateway.start(**settings)
        words = "the subscription to # is not held: the broker refused the subscription: Not auth"
        gateway.wait_for(lambda: words in str(gateway.get("/health").json()["reasons"]))
        assert "mqtt_api_subscriptions_refused 1.0" in gateway.get("/metrics").content.decode()
        assert main(["doctor"], {**settings, "HISTORY_DB": str(tmp_path / "x")}) == 1
        assert "[FAIL] subscription: #: Not authorized" in capsys.readouterr().out
    finally:
        gateway.kill()
        broker.stop()


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"LOG_FILE": "/dev/null/x"}, 78, "LOG_FILE is '/dev/null/x', but must be a file"),
        ({"MQTT_PASSWORD_FILE": "/nowhere"}, 78, r"MQTT_PASSWORD_FILE .*\(No such file"),
        ({"HISTORY_DB": "{here}"}, 78, "HISTORY_DB is the directory"),
        ({"MQTT_TLS": "true", "MQTT_TLS_CA": "/nowhere"}, 78, "MQTT_TLS_CA is '/nowhere', but"),
        ({"MQTT_TLS": "true", "MQTT_TLS_CA": "{text}"}, 78, "MQTT_TLS_CA is .* in PEM form"),
        (
            {"MQTT_TLS": "true", "MQTT_TLS_CERT": "{text}", "MQTT_TLS_KEY": "/nowhere"},
            78,
            "MQTT_TLS_KEY is '/nowhere', but must be a file that can be read",
        ),
        ({"API_TLS_CERT": "{crt}", "API_TLS_KEY": "{other}"}, 78, "API_TLS_KEY is .* the key of"),
        ({"API_HOST": "192.0.2.1"}, 75, "cannot listen on .*; API_HOST must be an address"),
        ({"API_PORT": "{taken}"}, 75, "cannot listen on .*; does the service run already"),
    ],
)
def test_a_start_that_fails_says_why_in_one_sentence(
    gateway: ServiceProcess,
    service: ServiceProcess,
    tmp_path: Path,
    wrong: dict[str, str],
    status: int,
    words: str,
) -> None:
    """One line on standard error, with the variable, and the status that systemd goes by."""
    authority = Authority(tmp_path, "any")
    (tmp_path / "text").write_text("no certificate")
    places = {
        "{here}": str(tmp_path),
        "{text}": str(tmp_path / "text"),
        "{crt}": str(authority.issue("one")[0]),
        "{other}": str(authority.issue("two")[1]),
        "{taken}": str(service.port),
    }
    if "{taken}" in wrong.values():
        service.start()
    gateway.start(wait=False, **{name: places.get(text, text) for name, text in wrong.items()})
    assert gateway.process is not None
    try:
        assert gateway.process.wait(20) == status
    finally:
        gateway.kill()
    said = gateway.log()
    (line,) = [line for line in said.splitlines() if re.search(words, line)] or [said]
    assert re.search(words, line) and not INTERNAL.search(line), line
    assert "Traceback" not in said


def test_a_slip_of_the_pen_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that looks like a variable and is none is named by the check and the doctor; what the
    client reads, and what belongs to others, is not."""
    slips = {
        "MQTT_BROKER_PROT": "1884",
        "MQTT_API_URL": "http://x",
        "PATH": "/bin",
        "API_KEYS_FILES": "x",
    }
    settings = {**slips, "HISTORY_DB": str(tmp_path / "x"), "MQTT_BROKER_PORT": str(free_port())}
    assert main(["--check-config"], settings) == 0
    assert capsys.readouterr().err.splitlines() == [
        "API_KEYS_FILES is no variable of this service: is API_KEYS_FILE meant?",
        "MQTT_BROKER_PROT is no variable of this service: is MQTT_BROKER_PORT meant?",
    ]
    main(["doctor"], settings)
    assert "[warn] settings: MQTT_BROKER_PROT is no" in capsys.readouterr().out
