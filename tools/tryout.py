"""What `make run` adds to serving: a broker to try it with, and a few friendly lines."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from gateway.config import Config
from gateway.embedded import EmbeddedBroker, is_listening, start_embedded_broker

log = logging.getLogger(__name__)


def broker_to_try(config: Config) -> tuple[Config, EmbeddedBroker | None]:
    """Return the configuration to use, and the embedded broker where one was started."""
    host, port = config.mqtt_broker_host, config.mqtt_broker_port
    if config.broker_is_given or is_listening(host, port):
        return config, None
    embedded = start_embedded_broker(port)
    if embedded is None:
        log.warning(
            "there is no broker at %s:%d, and the embedded one is not installed"
            " (pip install iotcore); waiting for yours",
            host,
            port,
        )
        return config, None
    return replace(config, mqtt_broker_host="127.0.0.1", mqtt_broker_stats="off"), embedded


def greeting(config: Config, version: str, port: int, embedded: bool) -> str:
    """Return where everything is, and what to try."""
    scheme, secure = ("https", "s") if config.api_tls_cert else ("http", "")
    base = f"{scheme}://localhost:{port}"
    broker = f"{config.mqtt_broker_host}:{config.mqtt_broker_port}"
    if embedded:
        broker += "  (embedded, for trying out; forgets everything when it stops)"
    return f"""
  GhostMesh MQTT API {version}

  Dashboard  {base}/dashboard
  API        {base}
  Docs       {base}/docs
  WebSocket  ws{secure}://localhost:{port}/ws
  Broker     {broker}
  Database   {Path(config.history_db).resolve()}

  Try:  curl -X POST {base}/publish -d '{{"topic": "hello", "payload": "world"}}'
        curl {base}/messages

  Ctrl-C stops it.
"""
