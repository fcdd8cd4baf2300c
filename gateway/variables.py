"""The table of environment variables: name, type, default, sentence.

Answers for: the only list of variables in the program; documents and files are held to it by
tests. Does not: read them (config.py) or say what a text may be (variable_types.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.variable_types import (
    any_text,
    choice,
    client_id,
    flag,
    listed,
    networks,
    number,
    one_worker,
    required_text,
    root_path,
    status_topic,
    subscriptions,
    whole,
)

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# Secrets that may come from a file instead (Docker secrets, systemd credentials): X_FILE.
FROM_FILE = ("MQTT_PASSWORD", "API_KEY")


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable. `parse` raises ValueError with what is allowed."""

    name: str
    parse: Callable[[str], Any]
    default: str
    sentence: str
    secret: bool = False


# (variable, type, default, sentence): the only list of variables in the program.
VARIABLES = (
    Variable(
        "MQTT_BROKER_HOST", required_text, "localhost", "Host name or address of the MQTT broker."
    ),
    Variable("MQTT_BROKER_PORT", whole(1, 65_535), "1883", "Port of the MQTT broker."),
    Variable("MQTT_USERNAME", any_text, "api", "User name at the broker; empty for none."),
    Variable("MQTT_PASSWORD", any_text, "api_password", "Password at the broker.", secret=True),
    Variable(
        "MQTT_KEEPALIVE",
        whole(5, 65_535),
        "60",
        "Seconds of silence after which either side checks the other.",
    ),
    Variable(
        "MQTT_CLEAN_SESSION",
        flag,
        "true",
        "Start with a clean session; false also keeps what arrives while the service is down.",
    ),
    Variable(
        "MQTT_CLIENT_ID",
        client_id,
        "",
        "Client id at the broker; empty stands for mqtt-api-<hostname>.",
    ),
    Variable(
        "MQTT_PROTOCOL",
        choice("auto", "5", "3.1.1"),
        "auto",
        "MQTT version; auto is 5 first, and 3.1.1 when refused.",
    ),
    Variable(
        "MQTT_SUBSCRIPTIONS",
        subscriptions,
        "#",
        "Topic filters to hold, comma-separated, filter or filter:qos; a changed value adds.",
    ),
    Variable("MQTT_TLS", flag, "false", "Speak TLS with the broker."),
    Variable(
        "MQTT_TLS_CA",
        any_text,
        "",
        "File of the certificate authorities to trust; empty for the system's.",
    ),
    Variable("MQTT_TLS_CERT", any_text, "", "File of our client certificate."),
    Variable("MQTT_TLS_KEY", any_text, "", "File of the client certificate's key."),
    Variable(
        "MQTT_STATUS_TOPIC",
        status_topic,
        "mqtt-api/<client id>/status",
        "Topic of our retained online or offline; empty for none.",
    ),
    Variable(
        "MQTT_BROKER_STATS",
        choice("auto", "off"),
        "auto",
        "Follow what the broker says of itself under $SYS; off where it minds.",
    ),
    Variable("API_HOST", required_text, "0.0.0.0", "Address to listen on."),
    Variable("API_PORT", whole(0, 65_535), "8000", "Port to listen on; 0 takes a free one."),
    Variable(
        "API_ROOT_PATH",
        root_path,
        "",
        "Path under which a proxy shows the service, such as /mqtt; empty for none.",
    ),
    Variable("API_WORKERS", one_worker, "1", "Processes; only 1, since one process owns the log."),
    Variable("API_RELOAD", flag, "false", "Restart when a source file changes; for development."),
    Variable(
        "HISTORY_DB",
        any_text,
        "",
        "The database file; empty stands for $STATE_DIRECTORY/history.db, or ./data/history.db.",
    ),
    Variable(
        "HISTORY_SYNCHRONOUS",
        choice("normal", "full"),
        "normal",
        "full: what was acknowledged survives a power cut, too.",
    ),
    Variable(
        "HISTORY_COMMIT_INTERVAL_MS",
        whole(0, 60_000),
        "0",
        "Gather messages at least this long before a commit, to spare an SD card.",
    ),
    Variable(
        "MAX_HISTORY_SIZE",
        whole(0, 1_000_000_000),
        "1000",
        "Messages kept at most; 0 for no such limit.",
    ),
    Variable(
        "MESSAGE_RETENTION_HOURS",
        number(0, 1_000_000),
        "24",
        "Hours that messages are kept; 0 for no such limit.",
    ),
    Variable(
        "MAX_HISTORY_BYTES",
        whole(0, 2**50),
        "0",
        "Bytes of the database at most; 0 for no such limit.",
    ),
    Variable(
        "WS_HEARTBEAT_INTERVAL",
        number(0.1, 3_600),
        "30",
        "Seconds between two pings to each WebSocket.",
    ),
    Variable("WS_MAX_CONNECTIONS", whole(1, 10_000), "100", "WebSocket and SSE readers at most."),
    Variable(
        "WS_MAX_BUFFER_BYTES",
        whole(4_096, 2**30),
        "1048576",
        "Unsent bytes above which a reader is fed from the log.",
    ),
    Variable(
        "MAX_PAYLOAD_BYTES",
        whole(1, 268_000_000),
        "1048576",
        "Largest payload that may be published.",
    ),
    Variable(
        "MAX_PENDING_REQUESTS",
        whole(1, 10_000),
        "100",
        "Callers of POST /request that may wait for their reply at once.",
    ),
    Variable(
        "PUBLISH_TIMEOUT", number(0.1, 300), "10", "Seconds to wait for the broker's confirmation."
    ),
    Variable(
        "QUERY_TIMEOUT",
        number(0.05, 300),
        "1",
        "Seconds that one question to the history may take.",
    ),
    Variable(
        "CORS_ORIGINS",
        listed,
        "*",
        "Origins of web pages that may call, comma-separated; * for any, empty for our own.",
    ),
    Variable("API_KEY_REQUIRED", flag, "false", "Ask every caller for a key."),
    Variable("API_KEY", any_text, "", "The key.", secret=True),
    Variable(
        "API_KEYS_FILE", any_text, "", "File with several named keys; made by `server.py keys add`."
    ),
    Variable("ALLOWED_HOSTS", listed, "", "Dotted host names that are ours, comma-separated."),
    Variable(
        "TRUSTED_PROXIES",
        networks,
        "",
        "Addresses or networks whose X-Forwarded-For is believed, comma-separated.",
    ),
    Variable("API_TLS_CERT", any_text, "", "File of the certificate chain, to serve HTTPS."),
    Variable("API_TLS_KEY", any_text, "", "File of the certificate's key."),
    Variable("RATE_LIMIT_ENABLED", flag, "true", "Limit how often a caller may ask."),
    Variable(
        "RATE_LIMIT_REQUESTS",
        whole(1, 100_000_000),
        "6000",
        "Requests a caller may make within RATE_LIMIT_WINDOW.",
    ),
    Variable("RATE_LIMIT_WINDOW", number(0.1, 86_400), "60", "Seconds of the sliding window."),
    Variable("LOG_LEVEL", choice(*LOG_LEVELS), "INFO", "Least severe level that is logged."),
    Variable(
        "LOG_FORMAT",
        any_text,
        "",
        "Format of a log line (Python's logging), or the word json or logfmt.",
    ),
    Variable("LOG_FILE", any_text, "", "File to log to as well as to standard error."),
)
