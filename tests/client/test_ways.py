"""The ways to a service: folders, TLS with a plant's own authority, and proxies."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest

from client import (
    AsyncMQTTAPIClient,
    ConnectionFailed,
    MQTTAPIClient,
    MQTTAPIError,
    MQTTWebSocketClient,
    RetryPolicy,
)
from client.call import check_url
from client.sockets import socket_url
from tests.guarded.certificates import Authority
from tests.service_process import ServiceProcess

ONCE = RetryPolicy(attempts=1)
TRANSPORTS: tuple[Literal["websocket", "sse"], ...] = ("websocket", "sse")


def test_urls_of_every_kind() -> None:
    """A folder, IPv6, capitals and a closing slash are fine; what is no URL is a sentence."""
    for given, base, stream in [
        ("http://host/a/b/", "http://host/a/b", "ws://host/a/b/ws"),
        ("https://[::1]:8443", "https://[::1]:8443", "wss://[::1]:8443/ws"),
        (" HTTP://Host ", "HTTP://Host", "ws://Host/ws"),
    ]:
        assert check_url(given, "http", "https") == base and socket_url(base) == stream
    for wrong in ("host:8000", "ftp://host", "http://", "http://host:99999", "http://[::1", ""):
        with pytest.raises(MQTTAPIError, match="it looks like http://host:port"):
            MQTTAPIClient(wrong)
    with pytest.raises(MQTTAPIError, match="has a query"):
        MQTTAPIClient("http://host/?topic=a")


def test_a_password_in_a_url_is_in_no_error() -> None:
    """Whoever needs one for a proxy in front of the service does not find it in the logs."""
    for url in ("http://me:s3cret@127.0.0.1:9", "http://me:s3cret@host:1/?x"):
        with (
            pytest.raises(MQTTAPIError, match=r"http://me:\*\*\*@") as raised,
            MQTTAPIClient(url, retry=ONCE) as client,
        ):
            client.health_check()
        assert "s3cret" not in str(raised.value)


async def test_an_authority_of_the_plant_is_trusted_when_it_is_named(
    service: ServiceProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `verify` or SSL_CERT_FILE, for calls and both kinds of stream; else nobody answers."""
    authority = Authority(tmp_path, "plant")
    certificate, key = authority.issue("localhost", "127.0.0.1")
    service.start(wait=True, API_TLS_CERT=str(certificate), API_TLS_KEY=str(key))
    url, ws_url = (f"{scheme}://127.0.0.1:{service.port}" for scheme in ("https", "wss"))

    def use(trust: Path | None) -> None:
        with MQTTAPIClient(url, verify=trust, retry=ONCE) as client:
            assert client.live()["status"] == "live"
            for transport in TRANSPORTS:
                with client.stream(transport=transport) as stream:
                    reading = threading.Thread(target=lambda one=stream: list(one))
                    reading.start()
                    service.wait_for(lambda one=stream: one.position is not None)
                    stream.close()
                    reading.join(10)

    use(authority.file)
    async with AsyncMQTTAPIClient(url, verify=authority.file) as client:
        assert (await client.live())["status"] == "live"
    async with MQTTWebSocketClient(f"{ws_url}/ws", verify=authority.file) as socket_client:
        assert socket_client.websocket is not None
    with pytest.raises(ConnectionFailed, match="certificate verify failed"):
        use(None)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    use(None)
    for wrong, words in {key.parent / "none": "No such file", Path(__file__): "no PEM"}.items():
        with pytest.raises(MQTTAPIError, match=words):
            MQTTAPIClient(url, verify=wrong)


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that hears what it is asked for, and hangs up."""
    heard: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                while True:
                    caller, _ = listening.accept()
                    with caller:
                        heard.append(caller.recv(65_536).split(b" HTTP/")[0].decode())
            except OSError:
                return  # the end of the test

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_proxies_of_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """For calls and both kinds of stream, but not for hosts in NO_PROXY."""
    with proxy() as (url, heard):
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("http_proxy", url)
        with MQTTAPIClient("http://gateway.test:81", retry=ONCE) as client:
            for attempt in (
                client.live,
                lambda: next(client.stream(transport="sse")),
                lambda: next(client.stream()),
            ):
                with pytest.raises(MQTTAPIError):
                    attempt()
        assert heard == [
            "GET http://gateway.test:81/health/live",
            "GET http://gateway.test:81/events?topic=%23",
            "CONNECT gateway.test:81",
        ]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with MQTTAPIClient("http://127.0.0.1:9", retry=ONCE) as client:
            with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:9 cannot be reached"):
                client.live()
            with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:9/ws cannot be reached"):
                next(client.stream())
        assert len(heard) == 3
