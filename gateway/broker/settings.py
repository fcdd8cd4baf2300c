"""Where the broker is, and who we are there: from the configuration, for the link."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from gateway.config import Config
from gateway.tls import broker_context


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker is and who we are there. `protocol` is `5`, `3.1.1`, or `auto`: 5 first,
    3.1.1 when refused."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = ""
    keepalive_s: int = 60
    clean_session: bool = True
    protocol: str = "auto"
    publish_timeout_s: float = 10
    status_topic: str = ""
    tls: ssl.SSLContext | None = None


def broker_settings(config: Config) -> BrokerSettings:
    """Return what the configuration says of the broker; ConfigError for files that do not serve."""
    return BrokerSettings(
        host=config.mqtt_broker_host,
        port=config.mqtt_broker_port,
        client_id=config.mqtt_client_id,
        username=config.mqtt_username,
        password=config.mqtt_password,
        keepalive_s=config.mqtt_keepalive,
        clean_session=config.mqtt_clean_session,
        protocol=config.mqtt_protocol,
        publish_timeout_s=config.publish_timeout,
        status_topic=config.mqtt_status_topic,
        tls=broker_context(config),
    )
