"""`server.py probe`: asks the running service whether it lives, for a container's health check.

Answers for: where it listens, as it was configured, and an exit status. Does not: judge; that is
GET /health/live.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from typing import Any

from gateway.config import Config

TIMEOUT_S = 5.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
EXIT_ILL = 1


def add_parser(commands: Any) -> None:
    """Describe the command to the parser of server.py."""
    commands.add_parser("probe", help="ask the running service whether it lives; 0 is yes")


def run(config: Config) -> int:
    """Ask; return 0, or 1 with a sentence on standard error."""
    try:
        status, body = ask(config, "/health/live")
        reasons = json.loads(body).get("reasons", []) if status != 200 else []
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        print(f"no answer on port {config.api_port}: {why}", file=sys.stderr)
        return EXIT_ILL
    if status == 200:
        return 0
    print(f"status {status}: {'; '.join(reasons)}", file=sys.stderr)
    return EXIT_ILL


def ask(config: Config, path: str) -> tuple[int, bytes]:
    """Send one GET to the service on this machine; OSError when nobody answers."""
    host = EVERYWHERE.get(config.api_host, config.api_host)
    if config.api_tls_cert:
        # It is ourselves that we talk to: its certificate is for another name than 127.0.0.1.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, config.api_port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, config.api_port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
