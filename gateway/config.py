"""The configuration: one table of variables, and the frozen value made of them.

Answers for: reading a mapping of texts, checking it, and saying in one sentence what is wrong.
Does not: read the environment itself.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from store.topics import InvalidTopic, check_filter, check_publish_name

TRUE_WORDS = ("true", "1", "yes", "on")
FALSE_WORDS = ("false", "0", "no", "off")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Secrets that may come from a file instead (Docker secrets, systemd credentials): X_FILE.
FROM_FILE = ("MQTT_PASSWORD", "API_KEY")


class ConfigError(ValueError):
    """A variable has a value that is not allowed; the sentence names all three."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. `parse` raises ValueError with what is allowed."""

    name: str
    parse: Callable[[str], Any]
    default: str
    sentence: str
    secret: bool = False


def _text(given: str) -> str:
    return given


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(given: str) -> int:
        allowed = f"a whole number from {lowest} to {highest}"
        try:
            value = int(given)
        except ValueError:
            raise ValueError(allowed) from None
        if not lowest <= value <= highest:
            raise ValueError(allowed)
        return value

    return parse


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(given: str) -> float:
        allowed = f"a number from {lowest:g} to {highest:g}"
        try:
            value = float(given)
        except ValueError:
            raise ValueError(allowed) from None
        if not lowest <= value <= highest:  # false for NaN, too
            raise ValueError(allowed)
        return value

    return parse


def _flag(given: str) -> bool:
    word = given.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("true or false")


def _choice(*words: str) -> Callable[[str], str]:
    def parse(given: str) -> str:
        for word in words:
            if given.strip().lower() == word.lower():
                return word
        raise ValueError("one of " + ", ".join(words))

    return parse


def _required_text(given: str) -> str:
    if not given.strip():
        raise ValueError("a text that is not empty")
    return given.strip()


def _list(given: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in given.split(",") if part.strip())


def _subscriptions(given: str) -> tuple[tuple[str, int], ...]:
    found = []
    for part in _list(given):
        text, colon, qos = part.rpartition(":")
        if not colon or qos not in ("0", "1", "2"):
            text, qos = part, "1"
        try:
            found.append((check_filter(text), int(qos)))
        except InvalidTopic as error:
            raise ValueError(
                f"topic filters, comma-separated, each with :0 or :1 at will ({part!r} {error})"
            ) from None
    return tuple(found)


def _networks(given: str) -> tuple[str, ...]:
    found = _list(given)
    for part in found:
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError:
            raise ValueError("addresses or networks, comma-separated") from None
    return found


def _status_topic(given: str) -> str:
    if given:
        try:
            check_publish_name(given.replace("<client id>", "x"))
        except InvalidTopic as error:
            raise ValueError(f"a topic name, or empty (it {error})") from None
    return given


def _one_worker(given: str) -> int:
    if given.strip() != "1":
        raise ValueError("1: one process owns the log, and one serves hundreds of readers")
    return 1


# (variable, type, default, sentence): the only list of variables in the program.
VARIABLES = (
    Variable(
        "MQTT_BROKER_HOST", _required_text, "localhost", "Host name or address of the MQTT broker."
    ),
    Variable("MQTT_BROKER_PORT", _whole(1, 65_535), "1883", "Port of the MQTT broker."),
    Variable("MQTT_USERNAME", _text, "api", "User name at the broker; empty for none."),
    Variable("MQTT_PASSWORD", _text, "api_password", "Password at the broker.", secret=True),
    Variable(
        "MQTT_KEEPALIVE",
        _whole(5, 65_535),
        "60",
        "Seconds of silence after which either side checks the other.",
    ),
    Variable(
        "MQTT_CLEAN_SESSION",
        _flag,
        "true",
        "Start with a clean session; false also keeps what arrives while the service is down.",
    ),
    Variable(
        "MQTT_CLIENT_ID",
        _text,
        "",
        "Client id at the broker; empty stands for mqtt-api-<hostname>.",
    ),
    Variable(
        "MQTT_PROTOCOL",
        _choice("auto", "5", "3.1.1"),
        "auto",
        "MQTT version; auto is 5 first, and 3.1.1 when refused.",
    ),
    Variable(
        "MQTT_SUBSCRIPTIONS",
        _subscriptions,
        "#",
        "Topic filters to hold, comma-separated, filter or filter:qos; a changed value adds.",
    ),
    Variable("MQTT_TLS", _flag, "false", "Speak TLS with the broker."),
    Variable(
        "MQTT_TLS_CA",
        _text,
        "",
        "File of the certificate authorities to trust; empty for the system's.",
    ),
    Variable("MQTT_TLS_CERT", _text, "", "File of our client certificate."),
    Variable("MQTT_TLS_KEY", _text, "", "File of the client certificate's key."),
    Variable(
        "MQTT_STATUS_TOPIC",
        _status_topic,
        "mqtt-api/<client id>/status",
        "Topic of our retained online or offline; empty for none.",
    ),
    Variable(
        "MQTT_BROKER_STATS",
        _choice("auto", "off"),
        "auto",
        "Follow what the broker says of itself under $SYS; off where it minds.",
    ),
    Variable("API_HOST", _required_text, "0.0.0.0", "Address to listen on."),
    Variable("API_PORT", _whole(0, 65_535), "8000", "Port to listen on; 0 takes a free one."),
    Variable("API_WORKERS", _one_worker, "1", "Processes; only 1, since one process owns the log."),
    Variable("API_RELOAD", _flag, "false", "Restart when a source file changes; for development."),
    Variable(
        "HISTORY_DB",
        _text,
        "",
        "The database file; empty stands for $STATE_DIRECTORY/history.db, or ./data/history.db.",
    ),
    Variable(
        "HISTORY_SYNCHRONOUS",
        _choice("normal", "full"),
        "normal",
        "full: what was acknowledged survives a power cut, too.",
    ),
    Variable(
        "HISTORY_COMMIT_INTERVAL_MS",
        _whole(0, 60_000),
        "0",
        "Gather messages at least this long before a commit, to spare an SD card.",
    ),
    Variable(
        "MAX_HISTORY_SIZE",
        _whole(0, 1_000_000_000),
        "1000",
        "Messages kept at most; 0 for no such limit.",
    ),
    Variable(
        "MESSAGE_RETENTION_HOURS",
        _number(0, 1_000_000),
        "24",
        "Hours that messages are kept; 0 for no such limit.",
    ),
    Variable(
        "MAX_HISTORY_BYTES",
        _whole(0, 2**50),
        "0",
        "Bytes of the database at most; 0 for no such limit.",
    ),
    Variable(
        "WS_HEARTBEAT_INTERVAL",
        _number(0.1, 3_600),
        "30",
        "Seconds between two pings to each WebSocket.",
    ),
    Variable("WS_MAX_CONNECTIONS", _whole(1, 10_000), "100", "WebSocket and SSE readers at most."),
    Variable(
        "WS_MAX_BUFFER_BYTES",
        _whole(4_096, 2**30),
        "1048576",
        "Unsent bytes above which a reader is fed from the log.",
    ),
    Variable(
        "MAX_PAYLOAD_BYTES",
        _whole(1, 268_000_000),
        "1048576",
        "Largest payload that may be published.",
    ),
    Variable(
        "MAX_PENDING_REQUESTS",
        _whole(1, 10_000),
        "100",
        "Callers of POST /request that may wait for their reply at once.",
    ),
    Variable(
        "PUBLISH_TIMEOUT", _number(0.1, 300), "10", "Seconds to wait for the broker's confirmation."
    ),
    Variable(
        "QUERY_TIMEOUT",
        _number(0.05, 300),
        "1",
        "Seconds that one question to the history may take.",
    ),
    Variable(
        "CORS_ORIGINS",
        _list,
        "*",
        "Origins of web pages that may call, comma-separated; * for any, empty for our own.",
    ),
    Variable("API_KEY_REQUIRED", _flag, "false", "Ask every caller for a key."),
    Variable("API_KEY", _text, "", "The key.", secret=True),
    Variable(
        "API_KEYS_FILE", _text, "", "File with several named keys; made by `server.py keys add`."
    ),
    Variable("ALLOWED_HOSTS", _list, "", "Dotted host names that are ours, comma-separated."),
    Variable(
        "TRUSTED_PROXIES",
        _networks,
        "",
        "Addresses or networks whose X-Forwarded-For is believed, comma-separated.",
    ),
    Variable("API_TLS_CERT", _text, "", "File of the certificate chain, to serve HTTPS."),
    Variable("API_TLS_KEY", _text, "", "File of the certificate's key."),
    Variable("RATE_LIMIT_ENABLED", _flag, "true", "Limit how often a caller may ask."),
    Variable(
        "RATE_LIMIT_REQUESTS",
        _whole(1, 100_000_000),
        "6000",
        "Requests a caller may make within RATE_LIMIT_WINDOW.",
    ),
    Variable("RATE_LIMIT_WINDOW", _number(0.1, 86_400), "60", "Seconds of the sliding window."),
    Variable("LOG_LEVEL", _choice(*LOG_LEVELS), "INFO", "Least severe level that is logged."),
    Variable("LOG_FORMAT", _text, "", "Format of a log line (Python's logging), or the word json."),
    Variable("LOG_FILE", _text, "", "File to log to as well as to standard error."),
)


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


def _from_files(given: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in FROM_FILE:
        path = given.get(f"{name}_FILE")
        if path:
            try:
                found[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"{name}_FILE is {path!r}, but must be a file that can be read ({error})"
                ) from None
    return found
