"""TLS for callers and to the broker, with certificates made here."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.guarded.certificates import Authority
from tests.mosquitto import Mosquitto
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that everybody here trusts."""
    return Authority(tmp_path_factory.mktemp("authority"), "our-authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "strange-authority")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A service that each test configures; it must not log a traceback."""
    process = ServiceProcess(tmp_path)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


def trusting(authority: Authority) -> ssl.SSLContext:
    """Return how a caller checks who answers."""
    return ssl.create_default_context(cafile=str(authority.file))


def https(service: ServiceProcess, path: str, context: ssl.SSLContext, method: str = "GET",
          body: Any = None) -> tuple[int, Any]:  # fmt: skip
    """Ask over HTTPS; return the status and the answer."""
    connection = http.client.HTTPSConnection("127.0.0.1", service.port, timeout=10, context=context)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def only(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context with this one version of TLS, however old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


# -- callers ------------------------------------------------------------------------------------


async def test_https_and_wss(
    service: ServiceProcess, authority: Authority, broker: Mosquitto
) -> None:
    """With API_TLS_CERT and API_TLS_KEY everything is served over TLS 1.2 or later, and nothing
    without TLS or over an older one."""
    certificate, key = authority.issue("localhost", "127.0.0.1")
    service.start(
        API_TLS_CERT=str(certificate),
        API_TLS_KEY=str(key),
        MQTT_BROKER_PORT=str(broker.port),
        CORS_ORIGINS="",
        **broker.settings,
    )
    context = trusting(authority)
    service.wait_for(lambda: https(service, "/health/ready", context)[0] == 200)
    service.wait_for(
        lambda: https(service, "/subscribe", context, "POST", {"topic": "#"})[0] == 200
    )
    request = HTTPRequest(
        f"wss://127.0.0.1:{service.port}/ws", ssl_options=context, connect_timeout=10
    )
    listener = await websocket_connect(request)
    assert json.loads(await listener.read_message() or "{}")["type"] == "welcome"
    order = {"action": "publish", "topic": "tls/a", "payload": "sealed", "qos": 1}
    await listener.write_message(json.dumps(order))
    kinds = set()
    while kinds != {"result", "message"}:
        frame = json.loads(await listener.read_message() or "{}")
        assert frame["type"] in ("message", "status") or frame["ok"]
        kinds |= {frame["type"]} - {"status"}
    listener.close()

    for version, served in (
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(str(authority.file))
        if version is ssl.TLSVersion.TLSv1_3:
            old.minimum_version = version
        else:
            only(version, old)
        if served:
            assert https(service, "/health", old)[0] == 200
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                https(service, "/health", old)
    with pytest.raises(ssl.SSLCertVerificationError):
        https(service, "/health", ssl.create_default_context())
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionError:
            answer = b""
        assert not answer.startswith(b"HTTP/1.1 200")
    assert https(service, "/health", context)[1]["status"] == "healthy"


def test_a_silent_tls_caller_is_closed(service: ServiceProcess, authority: Authority) -> None:
    """Who connects and never finishes the TLS handshake is not kept either."""
    certificate, key = authority.issue("localhost", "127.0.0.1")
    service.start(API_TLS_CERT=str(certificate), API_TLS_KEY=str(key))
    with socket.create_connection(("127.0.0.1", service.port), timeout=16) as silent:
        begun = time.monotonic()
        silent.sendall(b"\x16\x03\x01\x02\x00")
        assert silent.recv(10) == b""
        assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"API_TLS_CERT": "{none}"}, "API_TLS_CERT"),
        ({"API_TLS_CERT": "{crt}", "API_TLS_KEY": "{other}"}, "API_TLS_KEY"),
        ({"API_TLS_CERT": "{crt}"}, "API_TLS_KEY"),
        ({"API_TLS_CERT": "{text}", "API_TLS_KEY": "{key}"}, "API_TLS_CERT"),
        ({"API_TLS_KEY": "{key}"}, "API_TLS_CERT"),
        ({"MQTT_TLS": "true", "MQTT_TLS_CA": "{none}"}, "MQTT_TLS_CA"),
        ({"MQTT_TLS": "true", "MQTT_TLS_CERT": "{crt}", "MQTT_TLS_KEY": "{other}"}, "MQTT_TLS"),
        ({"MQTT_TLS": "perhaps"}, "MQTT_TLS"),
        ({"MQTT_TLS": "true", "MQTT_TLS_KEY": "{key}"}, "MQTT_TLS_CERT"),
        ({"MQTT_TLS_CA": "{crt}"}, "MQTT_TLS_CA is set, but MQTT_TLS is not true"),
        ({"MQTT_TLS": "false", "MQTT_TLS_CERT": "{crt}", "MQTT_TLS_KEY": "{key}"}, "MQTT_TLS is"),
        ({"MQTT_TLS_KEY": "{key}"}, "MQTT_TLS_KEY is set, but MQTT_TLS is not true"),
    ],
)
def test_files_that_cannot_be_used_are_refused_at_the_start(
    authority: Authority, tmp_path: Path, variables: dict[str, str], named: str
) -> None:
    """A certificate or key that is missing or does not fit is a sentence and 78, not a surprise
    at the first caller."""
    certificate, key = authority.issue("one")
    (tmp_path / "text").write_text("no certificate")
    places = {
        "{crt}": str(certificate),
        "{key}": str(key),
        "{other}": str(authority.issue("two")[1]),
        "{none}": str(tmp_path / "none"),
        "{text}": str(tmp_path / "text"),
    }
    given = {name: places.get(text, text) for name, text in variables.items()}
    checked = ServiceProcess(tmp_path, "--check-config", **given)
    checked.start(wait=False)
    assert checked.process is not None
    assert checked.process.wait(20) == 78
    assert named in checked.log()
    assert "Traceback" not in checked.log()
    assert len(checked.log().strip().splitlines()) == 1


# -- the broker -----------------------------------------------------------------------------------


@pytest.fixture
def locked_broker(authority: Authority, tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto that speaks TLS alone and asks for a certificate of our authority."""
    certificate, key = authority.issue("broker", "127.0.0.1")
    started = Mosquitto(
        tmp_path / "mosquitto",
        "listener {port} 127.0.0.1",
        f"cafile {authority.file}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
        "use_identity_as_username true",
        "allow_anonymous false",
    )
    started.start()
    yield started
    started.stop()


def to_broker(port: int, authority: Authority, files: tuple[Path, Path] | None) -> dict[str, str]:
    """Return the variables for a broker with TLS."""
    given = {"MQTT_BROKER_PORT": str(port), "MQTT_TLS": "true", "MQTT_TLS_CA": str(authority.file)}
    if files:
        given |= {"MQTT_TLS_CERT": str(files[0]), "MQTT_TLS_KEY": str(files[1])}
    return given


@pytest.mark.needs_mosquitto
def test_the_broker_may_ask_for_a_certificate(
    service: ServiceProcess, authority: Authority, locked_broker: Mosquitto
) -> None:
    """With our certificate the broker takes us, and messages go there and back."""
    files = authority.issue("gateway", client=True)
    service.start(ready=True, **to_broker(locked_broker.port, authority, files))
    service.wait_for(lambda: service.post("/subscribe", {"topic": "#"}).status == 200)
    order = {"topic": "tls/there", "payload": "and back", "qos": 1}
    assert service.post("/publish", order).json()["data"]["confirmed"]
    service.wait_for(lambda: service.get("/topics/tls/there").status == 200)
    assert "u'gateway'" in locked_broker.log(), "the certificate named nobody"


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("lack", ["no certificate", "a strange certificate", "a strange authority"])
def test_a_broker_that_cannot_be_trusted_is_not_talked_to(
    service: ServiceProcess,
    authority: Authority,
    stranger: Authority,
    locked_broker: Mosquitto,
    lack: str,
) -> None:
    """Where a certificate is missing or not of the right authority, /health says degraded with a
    sentence, nothing is published, and the service goes on."""
    files = {
        "no certificate": None,
        "a strange certificate": stranger.issue("gateway", client=True),
        "a strange authority": authority.issue("gateway", client=True),
    }[lack]
    trusted = stranger if lack == "a strange authority" else authority
    service.start(**to_broker(locked_broker.port, trusted, files))
    service.wait_for(lambda: " ".join(reasons(service)).count(" ") > 5)
    health = service.get("/health").json()
    assert (health["status"], health["mqtt_connected"]) == ("degraded", False)
    if lack == "a strange authority":
        service.wait_for(lambda: "certificate" in " ".join(reasons(service)))
    assert service.post("/publish", {"topic": "a", "payload": 1}).status == 503
    assert service.get("/health/ready").status == 503
    assert service.get("/messages").status == 200


def reasons(service: ServiceProcess) -> list[str]:
    """Return what /health complains of."""
    found: list[str] = service.get("/health").json()["reasons"]
    return found


def test_the_name_of_the_broker_is_checked(service: ServiceProcess, authority: Authority) -> None:
    """A certificate of the right authority for another machine is not taken."""
    with PretendedBroker(authority.issue("elsewhere"), ssl.TLSVersion.TLSv1_2) as seen:
        service.start(**to_broker(seen.port, authority, None))
        service.wait_for(lambda: "certificate" in " ".join(reasons(service)))
        assert not seen.spoken


@pytest.mark.parametrize(
    ("version", "talks"), [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)]
)
def test_older_tls_is_not_spoken_to_a_broker(
    service: ServiceProcess, authority: Authority, version: ssl.TLSVersion, talks: bool
) -> None:
    """A broker that speaks nothing later than TLS 1.1 is not talked to; 1.2 is enough."""
    with PretendedBroker(authority.issue("old", "127.0.0.1"), version) as seen:
        service.start(**to_broker(seen.port, authority, None))
        service.wait_for(lambda: seen.tried > 0)
        service.wait_for(lambda: seen.spoken if talks else seen.failed)
        assert seen.spoken is talks
        assert service.get("/health").json()["status"] == "degraded"


class PretendedBroker:
    """A server that shakes hands by TLS and notes whether anything was said after that."""

    def __init__(self, files: tuple[Path, Path], version: ssl.TLSVersion) -> None:
        self.tried, self.failed, self.spoken = 0, False, False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, files))
        self._context = only(version, context)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._listening.settimeout(0.1)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            connection.settimeout(3)
            self.tried += 1
            try:
                with self._context.wrap_socket(connection, server_side=True) as talking:
                    self.spoken = bool(talking.recv(10)) or self.spoken
            except OSError:
                self.failed = True
            finally:
                connection.close()

    def __enter__(self) -> PretendedBroker:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._listening.close()
