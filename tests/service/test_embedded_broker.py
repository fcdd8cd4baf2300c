"""`server.py --with-broker`: a broker of its own for trying out, and only where there is none."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.embedded import is_listening
from tests.mosquitto import EmbeddedStandIn, Mosquitto, free_port
from tests.mqtt_client import mqtt_client
from tests.service.talking import history, wait_until_subscribed
from tests.service_process import ROOT, ServiceProcess

# The port that is used when none is given is 1883, which may be anybody's: here it is a free one.
SCRIPT = """
import dataclasses, sys
sys.path.insert(0, {root!r})
import gateway.config, server
gateway.config.VARIABLES = tuple(
    dataclasses.replace(one, default="{port}") if one.name == "MQTT_BROKER_PORT" else one
    for one in gateway.config.VARIABLES
)
sys.exit(server.main(["--with-broker"]))
"""


class Newcomer(ServiceProcess):
    """`server.py --with-broker` by somebody who has set no broker."""

    def __init__(self, directory: Path, **variables: str) -> None:
        super().__init__(directory, **variables)
        self.default_port = free_port()
        script = directory / "newcomer.py"
        script.write_text(SCRIPT.format(root=str(ROOT), port=self.default_port))
        self.script = str(script)
        if "MQTT_BROKER_HOST" not in variables:
            del self._variables["MQTT_BROKER_HOST"]


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    """The service as a newcomer starts it; not started yet."""
    process = Newcomer(tmp_path)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def test_a_newcomer_gets_a_broker(newcomer: Newcomer) -> None:
    """Where nothing listens a broker is started, everything works, and it ends with the service."""
    newcomer.start()
    wait_until_subscribed(newcomer)
    said = newcomer.log()
    for words in (f"http://localhost:{newcomer.port}", "/ws", str(newcomer.database), "curl"):
        assert words in said
    assert f"127.0.0.1:{newcomer.default_port}  (embedded" in said
    assert is_listening("127.0.0.1", newcomer.default_port)
    for qos in (0, 1, 2):
        order = {"topic": "hello", "payload": f"world {qos}", "qos": qos}
        answer = newcomer.post("/publish", order)
        assert answer.status == 200
        assert answer.json()["data"]["confirmed"] is (qos > 0)
        newcomer.wait_for(lambda qos=qos: len(history(newcomer)) == qos + 1)
    with mqtt_client(newcomer.default_port, five=False) as client:
        client.publish("device", "1", qos=1).wait_for_publish(10)
        client.publish("device", b"\xff" * 1_000_000, qos=1).wait_for_publish(10)
    newcomer.wait_for(lambda: len(history(newcomer)) == 5)
    health = newcomer.get("/health").json()
    assert (health["status"], health["reasons"]) == ("healthy", [])
    assert newcomer.get("/stats").json()["broker"] is None
    assert newcomer.terminate() == 0
    assert not is_listening("127.0.0.1", newcomer.default_port)


def test_a_broker_of_ours_does_not_outlive_a_kill(newcomer: Newcomer) -> None:
    """Killed without a word, the service leaves no broker behind, and starts again as before."""
    newcomer.start()
    wait_until_subscribed(newcomer)
    assert newcomer.post("/publish", {"topic": "a", "payload": "1", "qos": 1}).status == 200
    newcomer.wait_for(lambda: history(newcomer))
    newcomer.kill()
    newcomer.wait_for(lambda: not is_listening("127.0.0.1", newcomer.default_port))
    newcomer.start()
    wait_until_subscribed(newcomer)
    assert [message["payload"] for message in history(newcomer)] == ["1"]


def test_a_broker_that_listens_is_used(newcomer: Newcomer, tmp_path: Path) -> None:
    """Where a broker listens already, that one is used."""
    theirs = EmbeddedStandIn()
    theirs.port = newcomer.default_port
    theirs.start()
    try:
        newcomer.start(MQTT_BROKER_STATS="off")
        wait_until_subscribed(newcomer)
        assert "(embedded" not in newcomer.log()
        with mqtt_client(theirs.port, five=False) as client:
            client.publish("a", "theirs", qos=1).wait_for_publish(10)
        newcomer.wait_for(lambda: history(newcomer))
        assert newcomer.terminate() == 0
        assert is_listening("127.0.0.1", theirs.port), "their broker is not ours to stop"
    finally:
        theirs.stop()


@pytest.mark.parametrize("named", ["MQTT_BROKER_PORT", "MQTT_BROKER_HOST"])
def test_a_broker_that_was_named_is_waited_for(
    newcomer: Newcomer, broker: Mosquitto | EmbeddedStandIn, named: str
) -> None:
    """When the user named a broker and nothing is there, none is started: it is waited for."""
    broker.stop()
    if named == "MQTT_BROKER_PORT":
        newcomer.start(MQTT_BROKER_PORT=str(broker.port), **broker.settings)
    else:
        broker.port = newcomer.default_port
        newcomer.start(MQTT_BROKER_HOST="127.0.0.1", **broker.settings)
    newcomer.wait_for(lambda: "not connected to the broker" in newcomer.log())
    assert newcomer.get("/health").json()["mqtt_connected"] is False
    assert "(embedded" not in newcomer.log()
    assert not is_listening("127.0.0.1", newcomer.default_port)
    assert not is_listening("127.0.0.1", broker.port)
    if isinstance(broker, Mosquitto):
        broker = Mosquitto(newcomer.directory / "late", port=broker.port)
    broker.start()
    try:
        wait_until_subscribed(newcomer)
    finally:
        newcomer.kill()
        broker.stop()


def test_without_being_asked_no_broker_is_started(newcomer: Newcomer) -> None:
    """Plain server.py starts no broker, even where none listens."""
    script = Path(newcomer.script)
    script.write_text(script.read_text().replace('["--with-broker"]', "[]"))
    newcomer.start()
    newcomer.wait_for(lambda: "not connected to the broker" in newcomer.log())
    assert not is_listening("127.0.0.1", newcomer.default_port)
    assert newcomer.process is not None
    newcomer.process.send_signal(signal.SIGINT)
    assert newcomer.process.wait(10) == 0
