"""The connection that packets may be sent on now, for whoever has one to send.

Answers for: that it does not become another one while somebody sends. Does not: send, connect, or
know why there is none.
"""

from __future__ import annotations

import threading

from gateway.broker.client import BufferedClient
from gateway.broker.errors import BrokerAway


class OpenConnection:
    """The client, and the number of the connection that packets may be sent on. Any thread.

    `with` it they are held: meanwhile the connection cannot become another one. A class, not a
    generator: it is entered once for each message that is published.
    """

    def __init__(self) -> None:
        self._sending = threading.Lock()
        self._open: tuple[BufferedClient, int] | None = None

    def put(self, client: BufferedClient, connection: int) -> None:
        """There is one."""
        with self._sending:
            self._open = (client, connection)

    def clear(self) -> None:
        """There is none any more."""
        with self._sending:
            self._open = None

    def __enter__(self) -> tuple[BufferedClient, int]:
        """Return it; BrokerAway when there is none."""
        self._sending.acquire()
        if self._open is None:
            self._sending.release()
            raise BrokerAway("not connected to the broker")
        return self._open

    def __exit__(self, *_error: object) -> None:
        self._sending.release()
