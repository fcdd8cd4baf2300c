"""`python -m demo`: start the service on a broker, and let the simulated factory publish to it.

Answers for: the child process, the pace, and going on when the broker is away. Does not: know
MQTT or the service's inside; it uses POST /publish like any other program.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random

from demo.factory import Factory, Publication

ROOT = Path(__file__).resolve().parent.parent
EXIT_CONFIG = 78  # sysexits.h, as the service has it
STEP_S = 0.1
READY_POLL_S = 0.2
# What the service advises in Retry-After while the broker is away.
RETRY_S = 2.0
# An answer that takes longer is given up: Ctrl-C is not to wait for it.
ANSWER_S = 3.0
# The service promises to be gone within ten seconds.
STOP_S = 15.0
# Where nothing else is said. Ten access lines a second help nobody; and the thousand messages that
# are kept by default would be the last minute and a half, of which a chart shows little.
SETTINGS = {"LOG_LEVEL": "WARNING", "MAX_HISTORY_SIZE": "100000"}


class Stop:
    """Remembers that a signal asked for the end. A flag, since a handler may interrupt anything."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True

    def sleep(self, seconds: float) -> None:
        """Sleep, but wake soon after a signal."""
        until = time.monotonic() + seconds
        while not self.asked and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, STEP_S))


class Api:
    """The service's HTTP side, on one connection that is kept. One thread."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"

    def is_ready(self) -> bool:
        """Whether the service is connected to the broker and can write its history."""
        return not self._failure("GET", "/health/ready", None)

    def publish(self, publication: Publication) -> str:
        """Publish; return why it failed, or an empty text."""
        body = {
            "topic": publication.topic,
            "payload": publication.payload,
            "qos": publication.qos,
            "retain": publication.retain,
        }
        return self._failure("POST", "/publish", body)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _failure(self, method: str, path: str, body: object) -> str:
        content = None if body is None else json.dumps(body).encode()
        try:
            self._connection.request(method, path, content, self._headers)
            answer = self._connection.getresponse()
            given = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request opens a new one
            return f"the service does not answer ({error or type(error).__name__})"
        if answer.status == 200:
            return ""
        try:
            return str(json.loads(given)["detail"])
        except (ValueError, KeyError, TypeError):
            return f"the service answered {answer.status}"


def simulate(api: Api, factory: Factory, service: subprocess.Popen[bytes], stop: Stop) -> None:
    """Publish the factory, ten readings a second, until a signal or the end of the service."""
    first = factory.states()
    trouble = False
    due = time.monotonic()
    while not stop.asked and service.poll() is None:
        failure = _publish_all(api, first or factory.step())
        if not failure:
            if trouble:
                _say("The factory is back at work.")
            trouble, first = False, []
            due = max(due + STEP_S, time.monotonic() - 1)  # catch up with a second at most
            stop.sleep(due - time.monotonic())
        elif not stop.asked:
            if not trouble:
                _say(f"Nothing can be published: {failure}. The factory waits and tries again.")
            trouble, first = True, factory.states()  # a change of state may have been lost
            stop.sleep(RETRY_S)
            due = time.monotonic()


def _publish_all(api: Api, publications: list[Publication]) -> str:
    """Publish until one fails; return why, or an empty text."""
    return next((failure for one in publications if (failure := api.publish(one))), "")


def wait_until_ready(api: Api, service: subprocess.Popen[bytes], stop: Stop) -> None:
    """Return when the service is ready, has ended, or a signal has come."""
    told_at = time.monotonic() + 5
    while not stop.asked and service.poll() is None and not api.is_ready():
        if time.monotonic() > told_at:
            _say("The service has no broker yet; the factory starts when it has.")
            told_at = float("inf")
        stop.sleep(READY_POLL_S)


def main(environment: Mapping[str, str] = os.environ) -> int:
    """Run the demonstration; return the exit status."""
    port = environment.get("API_PORT", "8000")
    if port == "0":
        print("API_PORT is 0, but the demo must know the port: name one", file=sys.stderr)
        return EXIT_CONFIG
    host = environment.get("API_HOST", "0.0.0.0")
    api = Api(
        "127.0.0.1" if host in ("0.0.0.0", "::") else host,
        # The service itself says what is wrong with a port that is none.
        int(port) if port.isdecimal() and int(port) < 65_536 else 8000,
        environment.get("API_KEY", ""),
    )
    stop = Stop()
    service = subprocess.Popen(
        [sys.executable, "server.py", "--with-broker"],
        cwd=ROOT,
        env={**SETTINGS, **environment},
        start_new_session=True,  # Ctrl-C reaches us alone: we end it, and its broker after it
    )
    try:
        wait_until_ready(api, service, stop)
        if not stop.asked and service.poll() is None:
            _say(
                "A small factory is talking now, ten messages a second: factory/#, alerts/#,"
                " state/#. Ctrl-C stops it."
            )
            simulate(api, Factory(Random()), service, stop)
    finally:
        api.close()
        status = _end(service)
    return 0 if stop.asked else status


def _end(service: subprocess.Popen[bytes]) -> int:
    if service.poll() is None:
        service.terminate()
    try:
        return service.wait(STOP_S)
    except subprocess.TimeoutExpired:
        service.kill()
        return service.wait()


def _say(sentence: str) -> None:
    print(f"  {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
