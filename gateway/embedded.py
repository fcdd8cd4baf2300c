"""The embedded default broker, for trying the service out.

Answers for: whether a broker listens already, and running one as a child process.
Does not: belong in production; the start says so.
"""

from __future__ import annotations

import importlib
import socket
from typing import Protocol

# The embedded broker refuses larger packets by dropping the connection; one MiB is our own bound.
MAX_PAYLOAD_BYTES = 2 * 1024 * 1024


class EmbeddedBroker(Protocol):
    """A broker in a child process, which ends with this process."""

    def stop(self) -> None:
        """End the child process."""


def is_listening(host: str, port: int) -> bool:
    """Return whether something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def start_embedded_broker(port: int) -> EmbeddedBroker | None:
    """Start a broker on 127.0.0.1:`port`, or return None when the extra is not installed."""
    try:
        module = importlib.import_module("iotcore")
    except ImportError:
        return None
    broker = module.Broker(
        port=port, listen="127.0.0.1", max_payload_size=MAX_PAYLOAD_BYTES, max_inflight_count=1000
    )
    broker.start()
    return broker  # type: ignore[no-any-return]
