"""The sabotaged service as a process, and the orders that it takes: see launcher.py."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.service_process import ServiceProcess


class SabotagedProcess(ServiceProcess):
    """The service with a saboteur inside."""

    script = "-m"

    def __init__(self, directory: Path, *seconds: str, **variables: str) -> None:
        self._socket = directory / "orders"
        launcher = "tests.reliability.launcher"
        super().__init__(directory, launcher, str(self._socket), *seconds, **variables)

    def start(self, *, wait: bool = True, ready: bool = False, **variables: str) -> None:
        """Start it; what a process before left is removed."""
        self._socket.unlink(missing_ok=True)
        super().start(wait=wait, ready=ready, **variables)

    def order(self, **fields: Any) -> Any:
        """Give one order; return the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self._socket))
            with connection.makefile("rw") as lines:
                lines.write(json.dumps(fields) + "\n")
                lines.flush()
                return json.loads(lines.readline())

    def throw_at(self, place: str) -> None:
        """Have the next call there throw."""
        self.order(do="throw", at=place)

    def hang_at(self, place: str, seconds: float) -> None:
        """Have the next call there hang for so long, or until `release`."""
        self.order(do="hang", at=place, seconds=seconds)

    def release(self) -> None:
        """Let what hangs go on."""
        self.order(do="release")

    def fired(self) -> list[str]:
        """Return where something was done since the last question."""
        found: list[str] = self.order(do="fired")
        return found

    def lags_s(self) -> list[float]:
        """Return how late each timer of the event loop was since the last question."""
        found: list[float] = self.order(do="lags")
        return found
