"""From a configuration to the gate: its keys, networks and names.

Answers for: a sentence where a file of keys does not serve. Does not: admit anybody (gate.py).
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from gateway.config import Config, ConfigError
from handlers.gate import Gate, GateSettings
from handlers.hosts import parse_networks
from handlers.keyring import Keyring, KeysFileError


def make_gate(config: Config, now_us: Callable[[], int], monotonic: Callable[[], float]) -> Gate:
    """Read the keys and make the gate; ConfigError where they do not serve."""
    try:
        keyring = Keyring(config.api_key, config.api_keys_file, now_us)
    except KeysFileError as error:
        raise ConfigError(str(error)) from None
    if config.api_key_required and keyring.is_empty:
        raise ConfigError("API_KEY_REQUIRED is true, but API_KEYS_FILE holds no key")
    settings = GateSettings(
        key_required=config.api_key_required,
        origins=config.cors_origins,
        allowed_hosts=config.allowed_hosts,
        own_names=(socket.gethostname(), socket.getfqdn()),
        trusted_proxies=parse_networks(config.trusted_proxies),
        rate_limit=config.rate_limit_requests if config.rate_limit_enabled else 0,
        rate_window_s=config.rate_limit_window,
    )
    return Gate(settings, keyring, monotonic)
