"""The broker configuration that we ship is one that mosquitto takes."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import MQTTMessage

from tests.mosquitto import free_port, mosquitto_path, wait_until_listening
from tests.mqtt_client import mqtt_client, publish_all
from tests.service_process import ROOT

SHIPPED = (ROOT / "mosquitto.conf").read_text(encoding="utf-8")


def settings() -> dict[str, str]:
    """Return the settings of the file by name."""
    lines = [line for line in SHIPPED.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def test_every_line_is_explained() -> None:
    """Right above each setting stands a comment."""
    lines = SHIPPED.splitlines()
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if line and not line.startswith("#") and not above.startswith("# ")
    ]
    assert bare == []


def test_the_queue_is_long_but_bounded() -> None:
    """A client that is away loses nothing soon, and cannot take all the memory (never 0)."""
    assert int(settings()["max_queued_messages"]) >= 100_000


@contextmanager
def running(file: Path, port: int) -> Iterator[None]:
    """Run mosquitto with the file; it ends with SIGKILL, so what it has not saved is gone."""
    path = mosquitto_path()
    assert path is not None
    with (
        (file.parent / "mosquitto.log").open("ab") as log,
        subprocess.Popen([path, "-c", str(file)], stdout=log, stderr=log) as process,
    ):
        try:
            wait_until_listening(port)
            yield
        finally:
            process.kill()


@pytest.mark.needs_mosquitto
def test_mosquitto_starts_with_it_and_keeps_what_it_saved(tmp_path: Path) -> None:
    """mosquitto takes the file, and a payload of 1 MiB; what it confirmed survives SIGKILL, but
    for fewer changes than autosave_interval."""
    port = free_port()
    text = re.sub(r"^listener .*$", f"listener {port} 127.0.0.1", SHIPPED, flags=re.MULTILINE)
    text = re.sub(
        r"^persistence_location .*$", f"persistence_location {tmp_path}/", text, flags=re.MULTILINE
    )
    file = tmp_path / "mosquitto.conf"
    file.write_text(f"{text}\nuser root\n")
    assert settings()["autosave_on_changes"] == "true"
    interval = int(settings()["autosave_interval"])
    with running(file, port), mqtt_client(port) as client:
        publish_all(client, [("large", b"x" * 1024 * 1024)])
        kept = [client.publish(f"kept/{number}", "yes", 1, True) for number in range(2 * interval)]
        for one in kept:
            one.wait_for_publish(10)
        # The broker saves between two packets, so it has saved when it has answered a later one.
        publish_all(client, [("later", "1"), ("later", "2")])
    came: list[str] = []
    most_came = threading.Event()

    def on_message(_client: object, _data: object, message: MQTTMessage) -> None:
        came.append(message.topic)
        if len(came) > len(kept) - interval:
            most_came.set()

    with running(file, port), mqtt_client(port) as client:
        client.on_message = on_message
        client.subscribe("kept/#", 1)
        assert most_came.wait(10), f"{len(came)} of {len(kept)} were kept"
    said = (tmp_path / "mosquitto.log").read_text()
    assert "Error" not in said and "Unknown" not in said, said
