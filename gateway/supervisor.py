"""What systemd is told: ready, how things are, still alive, stopping.

Answers for: the datagrams of sd_notify(3), and feeding the watchdog only while nothing hangs.
Does not: find out what hangs (liveness.py). Without a supervisor every call does nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

# The status line is renewed so often, the watchdog fed at least twice before it barks.
TELL_S = 10.0
FEEDS_PER_WATCHDOG = 3


class Supervisor:
    """The socket of the service manager that started us. Call from the event loop.

    `address` is the value of NOTIFY_SOCKET, `watchdog_s` how long it waits for a sign of life;
    0 is for ever.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        # A name that begins with @ is one of Linux's abstract names.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._feed_s = min(TELL_S, watchdog_s / FEEDS_PER_WATCHDOG) if watchdog_s else TELL_S
        self._watchdog = watchdog_s > 0

    @classmethod
    def of(cls, environment: Mapping[str, str], process_id: int) -> Supervisor:
        """Read what systemd set for the process that it started."""
        meant = environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
        microseconds = environment.get("WATCHDOG_USEC", "0") if meant else "0"
        watchdog_s = int(microseconds) / 1e6 if microseconds.isdigit() else 0.0
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog_s)

    def say(self, *lines: str) -> None:
        """Send one datagram, such as `say("READY=1")`. A supervisor that is gone is no error."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            try:
                notify.sendto("\n".join(lines).encode("utf-8"), self._address)
            except OSError as error:
                log.warning("the service manager could not be told %s: %s", lines[0], error)

    async def follow(self, stalled: Callable[[], list[str]], status: Callable[[], str]) -> None:
        """Say that we are ready, then go on telling how things are, until cancelled.

        While `stalled` names something the watchdog is not fed: systemd then ends the process
        and starts it again. That this runs on the event loop proves that the loop turns.
        """
        self.say("READY=1", f"STATUS={status()}")
        while self._address:
            await asyncio.sleep(self._feed_s)
            hanging = stalled()
            if hanging:
                self.say(f"STATUS={'; '.join(hanging)}")
            elif self._watchdog:
                self.say("WATCHDOG=1", f"STATUS={status()}")
            else:
                self.say(f"STATUS={status()}")
