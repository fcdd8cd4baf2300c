"""The service with each message a drain of its own: `python -m bench.single_drains`.

Under load it never is: what waits is stored and shown together. How many single ones there can be
in a second is seen only where nothing is gathered, and no fan-out is followed by a rest.
"""

from __future__ import annotations

import sys

import server
from gateway import crowd, recorder


def main() -> int:
    """Run the service, with nothing gathered."""
    recorder.MAX_BATCH = 1
    crowd.MAX_REST_S = 0.0
    return server.main([])


if __name__ == "__main__":
    sys.exit(main())
