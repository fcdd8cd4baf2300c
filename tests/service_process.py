"""The real service as a process of its own, and plain HTTP to talk to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message as Headers
from pathlib import Path
from typing import Any

from tests.mosquitto import free_port, wait_until_listening

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Headers
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


class ServiceProcess:
    """`python server.py` on a free port of 127.0.0.1, with its history in `directory`."""

    script = "server.py"
    before: tuple[str, ...] = ()
    """What the command begins with, before Python."""

    def __init__(self, directory: Path, *arguments: str, **variables: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.database = directory / "history.db"
        self.url = f"http://127.0.0.1:{self.port}"
        self._arguments = arguments
        self._variables = {
            "MQTT_BROKER_HOST": "127.0.0.1",
            "API_HOST": "127.0.0.1",
            "API_PORT": str(self.port),
            "HISTORY_DB": str(self.database),
            "MQTT_STATUS_TOPIC": "",
            # The machine is shared with other tests: no question is to fail for that.
            "QUERY_TIMEOUT": "20",
            **variables,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True, ready: bool = False, **variables: str) -> None:
        """Start it; wait until it listens, or until it is subscribed at the broker too."""
        self._variables.update(variables)
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with (self.directory / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, "-W", "error", self.script, *self._arguments],
                cwd=ROOT,
                env={**kept, **self._variables},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait or ready:
            wait_until_listening(self.port)
        if ready:
            self.wait_until_subscribed()

    def wait_until_subscribed(self) -> None:
        """Wait until the broker has confirmed what the service subscribes to.

        The service changes its subscriptions one after the other: once it answers for one that it
        has, the renewal after the connect is over.
        """
        self.wait_for(lambda: self.get("/health/ready").status == 200)
        self.wait_for(lambda: bool(self.get("/subscriptions").json()))
        held = self.get("/subscriptions").json()[0]
        order = {"topic": held["topic"], "qos": held["qos"]}
        self.wait_for(lambda: self.post("/subscribe", order).status == 200)

    def wait_for(self, condition: Any, within_s: float = 20.0) -> None:
        """Poll until the condition holds; AssertionError with the log otherwise."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if condition():
                return
            time.sleep(0.02)
        raise AssertionError(f"did not come true in {within_s} s; the log:\n{self.log()}")

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Send one request; a body that is not bytes goes as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Send a GET."""
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Answer:
        """Send a POST."""
        return self.request("POST", path, body, headers)

    def terminate(self, within_s: float = 10.0) -> int:
        """Send SIGTERM and return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def kill(self) -> None:
        """Send SIGKILL, if it runs; safe to repeat."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        """Return what it wrote."""
        return (self.directory / "service.log").read_text(errors="replace")
