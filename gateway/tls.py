"""TLS on both sides, made of the configuration: to the broker, and to those who call.

Answers for: certificate files that cannot be used, said in one sentence. Does not: speak TLS.
"""

from __future__ import annotations

import ssl

from gateway.config import Config, ConfigError


def broker_context(config: Config) -> ssl.SSLContext | None:
    """Return what the link to the broker is to use; ConfigError when the files do not serve."""
    if not config.mqtt_tls:
        for name in ("MQTT_TLS_CA", "MQTT_TLS_CERT", "MQTT_TLS_KEY"):
            if getattr(config, name.lower()):  # who set it believes that the line is not readable
                raise ConfigError(f"{name} is set, but MQTT_TLS is not true: set it, too")
        return None
    if config.mqtt_tls_key and not config.mqtt_tls_cert:
        raise ConfigError("MQTT_TLS_KEY is set, but not MQTT_TLS_CERT: the key is of no use alone")
    try:
        context = ssl.create_default_context(cafile=config.mqtt_tls_ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.mqtt_tls_cert:
            context.load_cert_chain(config.mqtt_tls_cert, config.mqtt_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the files of MQTT_TLS_CA, _CERT or _KEY cannot be used: {error}"
        ) from None
    return context


def api_context(config: Config) -> ssl.SSLContext | None:
    """Return what the HTTP server is to use; ConfigError when the files do not serve."""
    if not config.api_tls_cert:
        if config.api_tls_key:
            raise ConfigError("API_TLS_KEY is set, but not API_TLS_CERT: HTTPS needs both")
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(config.api_tls_cert, config.api_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"API_TLS_CERT or API_TLS_KEY cannot be used: {error}") from None
    return context
