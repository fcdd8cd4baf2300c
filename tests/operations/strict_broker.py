"""A mosquitto as a plant has it: TLS alone, a password, an access list."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.guarded.certificates import Authority
from tests.mosquitto import Mosquitto, free_port

RULES = "user api\ntopic readwrite #\nuser blind\ntopic write #\nuser narrow\ntopic read #\n"


@dataclass(frozen=True)
class StrictBroker:
    """The broker, the authority that signed its certificate, and the settings that are right."""

    broker: Mosquitto
    authority: Authority

    @property
    def settings(self) -> dict[str, str]:
        """What the service must be told."""
        return {
            "MQTT_BROKER_HOST": "localhost",
            "MQTT_BROKER_PORT": str(self.broker.port),
            "MQTT_TLS": "true",
            "MQTT_TLS_CA": str(self.authority.file),
            "MQTT_PASSWORD": "right",
        }


def strict_broker(directory: Path, *, hours_left: float = 1) -> StrictBroker:
    """Return one that is not started yet: users `api`, `blind` who may not read, and `narrow` who
    may not write, all with the password `right`."""
    authority = Authority(directory, "plant")
    certificate, key = authority.issue("localhost", "127.0.0.1", hours_left=hours_left)
    passwords = directory / "passwords"
    for number, user in enumerate(("api", "blind", "narrow")):
        new = [] if number else ["-c"]
        subprocess.run(["mosquitto_passwd", "-b", *new, passwords, user, "right"], check=True)
    (directory / "acl").write_text(RULES)
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
    return StrictBroker(broker, authority)
