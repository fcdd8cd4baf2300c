"""Fixtures of the tests of what guards the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guarded.asking import Launch, write_keys
from tests.guarded.authorised import service_with_secrets
from tests.guarded.hostile import service_under_attack
from tests.guarded.keyed import ROOT_KEY, settings
from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.service_process import ServiceProcess


@pytest.fixture(scope="module")
def launch(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    """Starts services on the broker of the module; none may have logged a traceback."""
    launching = Launch(shared_broker, lambda: tmp_path_factory.mktemp("service"))
    yield launching
    launching.end()


@pytest.fixture(scope="module")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys file of the module's service."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    write_keys(path, reader={"scopes": ["read"]})
    return path


@pytest.fixture(scope="module")
def keyed(launch: Launch, keys_file: Path) -> ServiceProcess:
    """One service that wants keys, for all tests of a module that do not end it."""
    return launch(headers=ROOT_KEY, **settings(keys_file))


@pytest.fixture(scope="module")
def secretive(launch: Launch) -> Iterator[ServiceProcess]:
    """One service with keys of every kind, and topics that not all of them may see."""
    with service_with_secrets(launch) as started:
        yield started


@pytest.fixture(scope="module")
def attacked(launch: Launch) -> Iterator[ServiceProcess]:
    """One service for all hostile input of a module, which it must bear without a trace."""
    with service_under_attack(launch) as started:
        yield started
