"""A service that wants keys: its settings, the command that makes them, and how it is asked."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.guarded import asking
from tests.guarded.asking import bearer
from tests.service_process import ROOT, Answer, ServiceProcess


def keys(file: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `server.py keys`."""
    given = {"API_KEYS_FILE": str(file)} if file else {}
    return subprocess.run(
        [sys.executable, "server.py", "keys", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def ask(
    service: ServiceProcess, method: str, target: str, body: Any = None, headers: Any = None
) -> Answer:
    """Ask from an address of its own, since wrong keys are counted by address."""
    return asking.ask(service, method, target, body, {**fresh_address(), **(headers or {})})


def fresh_address() -> dict[str, str]:
    """Return the header of an address that nobody has used."""
    number = next(_ADDRESS)
    return {"X-Forwarded-For": f"10.9.{number // 250}.{number % 250}"}


def settings(file: Path, **more: str) -> dict[str, str]:
    """Return the variables of a service that wants keys of this file."""
    return {
        "API_KEY_REQUIRED": "true",
        "API_KEYS_FILE": str(file),
        "API_KEY": "the-root-key",
        "TRUSTED_PROXIES": "127.0.0.1",
        **more,
    }


_ADDRESS = itertools.count(1)

ROOT_KEY = bearer("the-root-key")


def take_ticket(service: ServiceProcess, key: str = "the-root-key") -> str:
    """Return a new ticket."""
    answer = ask(service, "POST", "/ws/ticket", headers=bearer(key))
    assert answer.status == 200
    assert answer.json().keys() == {"ticket", "expires_in"}
    assert answer.json()["expires_in"] == 30
    ticket: str = answer.json()["ticket"]
    return ticket
