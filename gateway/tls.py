"""TLS on both sides, made of the configuration: to the broker, and to those who call.

Answers for: certificate files that cannot be used, said in one sentence. Does not: speak TLS.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.config import Config, ConfigError

# What OpenSSL says of a certificate and a key that do not belong together.
MISMATCH = "KEY_VALUES_MISMATCH"


def broker_context(config: Config) -> ssl.SSLContext | None:
    """Return what the link to the broker is to use; ConfigError when the files do not serve."""
    if not config.mqtt_tls:
        for name in ("MQTT_TLS_CA", "MQTT_TLS_CERT", "MQTT_TLS_KEY"):
            if getattr(config, name.lower()):  # who set it believes that the line is not readable
                raise ConfigError(f"{name} is set, but MQTT_TLS is not true: set it, too")
        return None
    if config.mqtt_tls_key and not config.mqtt_tls_cert:
        raise ConfigError("MQTT_TLS_KEY is set, but not MQTT_TLS_CERT: the key is of no use alone")
    if config.mqtt_tls_ca:
        _require_readable("MQTT_TLS_CA", config.mqtt_tls_ca)
    try:
        context = ssl.create_default_context(cafile=config.mqtt_tls_ca or None)
    except OSError:  # ssl.SSLError is one
        raise ConfigError(
            f"MQTT_TLS_CA is {config.mqtt_tls_ca!r}, but must be certificates in PEM form"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if config.mqtt_tls_cert:
        _load_chain(context, "MQTT_TLS", config.mqtt_tls_cert, config.mqtt_tls_key)
    return context


def api_context(config: Config) -> ssl.SSLContext | None:
    """Return what the HTTP server is to use; ConfigError when the files do not serve."""
    if not config.api_tls_cert:
        if config.api_tls_key:
            raise ConfigError("API_TLS_KEY is set, but not API_TLS_CERT: HTTPS needs both")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_chain(context, "API_TLS", config.api_tls_cert, config.api_tls_key)
    return context


def _load_chain(context: ssl.SSLContext, prefix: str, certificate: str, key: str) -> None:
    _require_readable(f"{prefix}_CERT", certificate)
    if key:
        _require_readable(f"{prefix}_KEY", key)
    try:
        # Without the empty password OpenSSL would ask for one at the terminal, and wait.
        context.load_cert_chain(certificate, key or None, password="")
    except OSError as error:
        if getattr(error, "reason", "") == MISMATCH:
            raise ConfigError(
                f"{prefix}_KEY is {key or certificate!r}, but must be the key of the certificate"
                f" in {prefix}_CERT, {certificate!r}"
            ) from None
        raise ConfigError(
            f"{prefix}_CERT is {certificate!r} and {prefix}_KEY {key!r}, but they must be a"
            " certificate and its key in PEM form, the key without a password"
        ) from None


def _require_readable(name: str, path: str) -> None:
    """Raise ConfigError when a file cannot be read: OpenSSL does not say which one it was."""
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise ConfigError(
            f"{name} is {path!r}, but must be a file that can be read ({error.strerror})"
        ) from None
