"""The configuration: defaults, and one sentence for what is wrong."""

from __future__ import annotations

import dataclasses
import re
import socket
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError
from gateway.variables import VARIABLES

HOST = socket.gethostname()
DEFAULTS = {
    "mqtt_broker_host": "localhost",
    "mqtt_broker_port": 1883,
    "mqtt_username": "api",
    "mqtt_password": "api_password",
    "mqtt_keepalive": 60,
    "mqtt_clean_session": True,
    "mqtt_client_id": f"mqtt-api-{HOST}",
    "mqtt_protocol": "auto",
    "mqtt_subscriptions": (("#", 1),),
    "mqtt_tls": False,
    "mqtt_tls_ca": "",
    "mqtt_tls_cert": "",
    "mqtt_tls_key": "",
    "mqtt_status_topic": f"mqtt-api/mqtt-api-{HOST}/status",
    "mqtt_broker_stats": "auto",
    "api_host": "0.0.0.0",
    "api_port": 8000,
    "api_root_path": "",
    "api_workers": 1,
    "api_reload": False,
    "history_db": "data/history.db",
    "history_synchronous": "normal",
    "history_commit_interval_ms": 0,
    "max_history_size": 1000,
    "message_retention_hours": 24,
    "max_history_bytes": 0,
    "ws_heartbeat_interval": 30,
    "ws_max_connections": 100,
    "ws_max_buffer_bytes": 1_048_576,
    "max_payload_bytes": 1_048_576,
    "publish_timeout": 10,
    "query_timeout": 1,
    "cors_origins": ("*",),
    "api_key_required": False,
    "api_key": "",
    "log_level": "INFO",
    "log_format": "",
    "log_file": "",
    "broker_is_given": False,
}
# Variables whose every text is allowed, or that follow from a file: they have no bad value.
ANY_TEXT = {
    *["MQTT_USERNAME", "MQTT_PASSWORD", "MQTT_CLIENT_ID", "MQTT_TLS_CA", "MQTT_TLS_CERT"],
    *["MQTT_TLS_KEY", "HISTORY_DB", "CORS_ORIGINS", "API_KEY", "LOG_FORMAT", "LOG_FILE"],
}
FLAGS = ["MQTT_CLEAN_SESSION", "MQTT_TLS", "API_RELOAD", "API_KEY_REQUIRED"]
BAD = [
    *[(name, "maybe", "true or false") for name in FLAGS],
    ("MQTT_BROKER_HOST", " ", "a text that is not empty"),
    ("API_HOST", "", "a text that is not empty"),
    ("MQTT_BROKER_PORT", "0", "a whole number from 1 to 65535"),
    ("MQTT_BROKER_PORT", "1883.0", "a whole number from 1 to 65535"),
    ("MQTT_KEEPALIVE", "4", "a whole number from 5 to 65535"),
    ("MQTT_PROTOCOL", "4", "one of auto, 5, 3.1.1"),
    ("MQTT_SUBSCRIPTIONS", "a/#/b", "topic filters, comma-separated"),
    ("MQTT_SUBSCRIPTIONS", "a,$share/g/a", "must not be a shared subscription"),
    ("MQTT_CLIENT_ID", "gateway+1", "may stand in a topic name (it must not contain the wildcards"),
    ("MQTT_CLIENT_ID", "gate\nway", "may stand in a topic name"),
    ("MQTT_STATUS_TOPIC", "a/+", "a topic name, or empty"),
    ("MQTT_STATUS_TOPIC", "$SYS/x", "a topic name, or empty"),
    ("MQTT_BROKER_STATS", "on", "one of auto, off"),
    ("API_PORT", "65536", "a whole number from 0 to 65535"),
    ("API_ROOT_PATH", "mqtt", "empty, or a path such as /mqtt"),
    ("API_ROOT_PATH", "/a?b", "empty, or a path such as /mqtt"),
    ("API_WORKERS", "4", "one process owns the log"),
    ("HISTORY_SYNCHRONOUS", "off", "one of normal, full"),
    ("HISTORY_COMMIT_INTERVAL_MS", "-1", "a whole number from 0 to 60000"),
    ("MAX_HISTORY_SIZE", "-1", "a whole number from 0 to 1000000000"),
    ("MAX_HISTORY_SIZE", "1e3", "a whole number"),
    ("MESSAGE_RETENTION_HOURS", "nan", "a number from 0 to"),
    ("MESSAGE_RETENTION_HOURS", "inf", "a number from 0 to"),
    ("MAX_HISTORY_BYTES", "1GB", "a whole number from 0 to"),
    ("WS_HEARTBEAT_INTERVAL", "0", "a number from 0.1 to 3600"),
    ("WS_MAX_CONNECTIONS", "0", "a whole number from 1 to"),
    ("WS_MAX_BUFFER_BYTES", "1", "a whole number from 4096 to"),
    ("MAX_PAYLOAD_BYTES", "0", "a whole number from 1 to"),
    ("PUBLISH_TIMEOUT", "", "a number from 0.1 to 300"),
    ("QUERY_TIMEOUT", "soon", "a number from 0.05 to 300"),
    ("LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
]


@pytest.mark.parametrize(("field", "value"), DEFAULTS.items())
def test_the_defaults_are_the_documented_ones(field: str, value: object) -> None:
    """With nothing set each field has the default of the contract, in its type."""
    found = getattr(Config.from_mapping({}), field)
    assert found == value
    assert isinstance(found, type(value) | float)


@pytest.mark.parametrize(("name", "text", "allowed"), BAD)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, text: str, allowed: str) -> None:
    """One sentence says the variable, the value, and what may stand there."""
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping({name: text})
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} is {text!r}, but must be ")
    assert allowed in sentence
    assert "\n" not in sentence


def test_every_variable_is_tested_here() -> None:
    """A new variable is not forgotten: it has a bad value above, or any text is allowed."""
    tested = {name for name, _, _ in BAD}
    untested = [one.name for one in VARIABLES if one.name not in tested | ANY_TEXT]
    later = {"RATE_LIMIT", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "API_TLS", "API_KEYS", "MAX_PENDING"}
    assert [name for name in untested if not name.startswith(tuple(later))] == []
    for name in ANY_TEXT:
        Config.from_mapping({name: "any, text"})


def test_variables_and_fields_are_the_same_list() -> None:
    """Each variable is a field of its name, has a sentence, and the value cannot be changed."""
    names = [one.name.lower() for one in VARIABLES]
    fields = [field.name for field in dataclasses.fields(Config)]
    assert [name for name in fields if name != "broker_is_given"] == names
    assert all(re.fullmatch(r"\S.*\.", one.sentence) for one in VARIABLES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config.from_mapping({}).api_port = 1


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", " TRUE "])
def test_words_for_true(word: str) -> None:
    """A flag understands the usual words."""
    assert Config.from_mapping({"MQTT_TLS": word}).mqtt_tls is True


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "False"])
def test_words_for_false(word: str) -> None:
    """A flag understands the usual words."""
    assert Config.from_mapping({"MQTT_CLEAN_SESSION": word}).mqtt_clean_session is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("a/#:0, b", (("a/#", 0), ("b", 1))),
        ("a:2", (("a", 2),)),
        ("a:b", (("a:b", 1),)),
        ("a:b:0", (("a:b", 0),)),
        ("a:3", (("a:3", 1),)),
    ],
)
def test_subscriptions_are_filters_with_or_without_a_qos(text: str, expected: object) -> None:
    """The last colon counts, and the default is QoS 1."""
    assert Config.from_mapping({"MQTT_SUBSCRIPTIONS": text}).mqtt_subscriptions == expected


@pytest.mark.parametrize("name", ["MQTT_PASSWORD", "API_KEY"])
def test_a_secret_may_come_from_a_file(tmp_path: Path, name: str) -> None:
    """X_FILE stands for X, wins over it, and loses its line's end."""
    (tmp_path / "secret").write_text("from ä file \n")
    given = {name: "from the variable", f"{name}_FILE": str(tmp_path / "secret")}
    assert getattr(Config.from_mapping(given), name.lower()) == "from ä file "


@pytest.mark.parametrize("name", ["MQTT_PASSWORD", "API_KEY"])
def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """A missing, unreadable or binary file is a sentence that shows no secret."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "binary"):
        with pytest.raises(ConfigError) as caught:
            Config.from_mapping({f"{name}_FILE": str(path)})
        assert str(caught.value).startswith(
            f"{name}_FILE is {str(path)!r}, but must be a file that can be read"
        )


def test_a_required_key_that_is_missing_ends_the_start() -> None:
    """A service that asks for a key nobody can have does not start."""
    with pytest.raises(ConfigError, match="API_KEY_REQUIRED is true, but there is no key"):
        Config.from_mapping({"API_KEY_REQUIRED": "true"})
    assert Config.from_mapping({"API_KEY_REQUIRED": "true", "API_KEY": "k"}).api_key == "k"


def test_what_follows_from_other_values() -> None:
    """The status topic holds the client id, and systemd's directory holds the database."""
    config = Config.from_mapping({"MQTT_CLIENT_ID": "gw", "STATE_DIRECTORY": "/var/lib/x:/y"})
    assert config.mqtt_status_topic == "mqtt-api/gw/status"
    assert config.history_db == "/var/lib/x/history.db"
    assert Config.from_mapping({"MQTT_STATUS_TOPIC": ""}).mqtt_status_topic == ""
    given = {"HISTORY_DB": "/a.db", "STATE_DIRECTORY": "/var/lib/x"}
    assert Config.from_mapping(given).history_db == "/a.db"
    assert Config.from_mapping({"MQTT_BROKER_PORT": "1883"}).broker_is_given
