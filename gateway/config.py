"""The configuration: the frozen value made of the variables.

Answers for: reading a mapping of texts, checking it, and saying in one sentence what is wrong.
Does not: read the environment itself.
"""

from __future__ import annotations

import difflib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.variables import FROM_FILE, VARIABLES

# How like one of ours a name must be to be taken for a slip of the pen: one letter or two.
LIKENESS = 0.8
# What the command `mqtt-api` reads, in the same environment.
OF_THE_CLIENT = {"MQTT_API_URL", "MQTT_API_KEY", "MQTT_API_CA_FILE"}


class ConfigError(ValueError):
    """A variable has a value that is not allowed; the sentence names all three."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the service was told, checked. One field a variable, plus two that follow from them.

    `broker_is_given` says that the user named a broker, so that no other is to be used instead.
    """

    mqtt_broker_host: str
    mqtt_broker_port: int
    mqtt_username: str
    mqtt_password: str
    mqtt_keepalive: int
    mqtt_clean_session: bool
    mqtt_client_id: str
    mqtt_protocol: str
    mqtt_subscriptions: tuple[tuple[str, int], ...]
    mqtt_tls: bool
    mqtt_tls_ca: str
    mqtt_tls_cert: str
    mqtt_tls_key: str
    mqtt_status_topic: str
    mqtt_broker_stats: str
    api_host: str
    api_port: int
    api_root_path: str
    api_workers: int
    api_reload: bool
    history_db: str
    history_synchronous: str
    history_commit_interval_ms: int
    max_history_size: int
    message_retention_hours: float
    max_history_bytes: int
    ws_heartbeat_interval: float
    ws_max_connections: int
    ws_max_buffer_bytes: int
    max_payload_bytes: int
    max_pending_requests: int
    publish_timeout: float
    query_timeout: float
    cors_origins: tuple[str, ...]
    api_key_required: bool
    api_key: str
    api_keys_file: str
    allowed_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    api_tls_cert: str
    api_tls_key: str
    rate_limit_enabled: bool
    rate_limit_requests: int
    rate_limit_window: float
    log_level: str
    log_format: str
    log_file: str
    broker_is_given: bool

    @classmethod
    def from_mapping(cls, given: Mapping[str, str]) -> Config:
        """Read the variables; ConfigError names the variable, the value and what is allowed."""
        given = {**given, **_from_files(given)}
        values: dict[str, Any] = {}
        for variable in VARIABLES:
            text = given.get(variable.name, variable.default)
            try:
                values[variable.name.lower()] = variable.parse(text)
            except ValueError as error:
                shown = "(secret)" if variable.secret else repr(text)
                raise ConfigError(f"{variable.name} is {shown}, but must be {error}") from None
        values["mqtt_client_id"] = values["mqtt_client_id"] or f"mqtt-api-{socket.gethostname()}"
        values["mqtt_status_topic"] = values["mqtt_status_topic"].replace(
            "<client id>", values["mqtt_client_id"]
        )
        values["history_db"] = values["history_db"] or str(
            Path(given.get("STATE_DIRECTORY", "data").split(":")[0]) / "history.db"
        )
        values["broker_is_given"] = any(
            name in given for name in ("MQTT_BROKER_HOST", "MQTT_BROKER_PORT")
        )
        if values["api_key_required"] and not (values["api_key"] or values["api_keys_file"]):
            raise ConfigError(
                "API_KEY_REQUIRED is true, but there is no key: set API_KEY or API_KEYS_FILE"
            )
        return cls(**values)


def misspelt(given: Mapping[str, str]) -> list[str]:
    """Return a sentence for each name that is no variable of ours, and looks like one."""
    known = [variable.name for variable in VARIABLES] + [f"{name}_FILE" for name in FROM_FILE]
    found = []
    for name in sorted(set(given) - set(known) - OF_THE_CLIENT):
        near = difflib.get_close_matches(name, known, n=1, cutoff=LIKENESS)
        if near:
            found.append(f"{name} is no variable of this service: is {near[0]} meant?")
    return found


def _from_files(given: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in FROM_FILE:
        path = given.get(f"{name}_FILE")
        if path:
            try:
                found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"{name}_FILE is {path!r}, but must be a file that can be read"
                    f" ({getattr(error, 'strerror', None) or 'it is no text in UTF-8'})"
                ) from None
    return found
