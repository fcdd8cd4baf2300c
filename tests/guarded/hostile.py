"""What hostile input is made of, and the service that gets it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.guarded.asking import Launch
from tests.service_process import ServiceProcess

CAREFUL = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
FEWER = settings(CAREFUL, max_examples=80)
MAX_PAYLOAD = 40_000
# Characters that have broken brokers, parsers and logs before, beside any other.
ODD = st.sampled_from(
    "\x00\x01\t\n\r\x1b\x7f\x85\u2028\ufffe\uffff\ufdd0\U0001ffff/+#$\"\\'%&?;=\ud800"
)
TEXTS = st.text(st.one_of(ODD, st.characters()), max_size=40)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@contextmanager
def service_under_attack(launch: Launch) -> Iterator[ServiceProcess]:
    """One service for all of it, which must keep its one connection to the broker."""
    started = launch(
        RATE_LIMIT_ENABLED="false", MAX_PAYLOAD_BYTES=str(MAX_PAYLOAD), MAX_HISTORY_SIZE="1000"
    )
    connections = connected(started)
    assert connections == 1
    yield started
    assert started.get("/health").json()["mqtt_connected"]
    assert connected(started) == connections, "the broker connection was lost"
    log = started.log()
    assert not re.search(r" 5\d\d [\d.]+ ms", log), re.findall(r".* 5\d\d [\d.]+ ms.*", log)
    assert "Task exception was never retrieved" not in log
    assert " ERROR " not in log


def connected(service: ServiceProcess) -> int:
    """Return how often the service has connected to the broker."""
    return len(re.findall(r"connected to the broker", service.log().replace("not connected", "")))


def alive(service: ServiceProcess) -> None:
    """Check that the service is there and well."""
    health = service.get("/health").json()
    assert health["status"] == "healthy", health
