"""Fixtures of the fault experiments: how much of each is run, and what replays a failure.

`SOAK=true` (which `make soak` sets) runs each in full. Every random choice comes from one seed,
which a failing test prints; `SEED=<that number>` makes the same choices again.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.reliability.scale import Scale, of_this_run
from tests.reliability.storage_faults import Faults, compile_library


@pytest.fixture(scope="session")
def scale() -> Scale:
    """The counts and times of this run."""
    return of_this_run()


@pytest.fixture(scope="session")
def seed() -> int:
    """The number that all random choices of this run begin with."""
    return int(os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))


@pytest.fixture
def chance(seed: int, request: pytest.FixtureRequest) -> random.Random:
    """A source of random choices, the same for the same seed and test."""
    print(f"SEED={seed} replays this")  # pytest shows it with a failure
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture(scope="session")
def fault_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that plays a failing disk and a wrong clock."""
    return compile_library(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def faults(fault_library: Path, tmp_path: Path) -> Faults:
    """What the process of this test is to suffer; nothing yet."""
    return Faults(fault_library, tmp_path)
