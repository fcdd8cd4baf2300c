"""Where the broker is, and who we are there."""

from __future__ import annotations

import ssl
from dataclasses import dataclass


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
