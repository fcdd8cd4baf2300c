"""The command line `mqtt-api`.

Answers for: being there without its libraries, which are an extra of the package, with one
sentence. Does not: know commands; app.py does.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line on the arguments of the process; exits with its status."""
    try:
        from client.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        package = "ghostmesh-mqtt-api-client[cli]"
        sys.exit(f"mqtt-api: the command line needs {error.name}: pip install '{package}'")
    sys.exit(run())
