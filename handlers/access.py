"""`GET /whoami` and `POST /ws/ticket`: what a caller may do, and how a browser opens a stream."""

from __future__ import annotations

from collections.abc import Sequence

from handlers.base import Handler
from handlers.keyring import SCOPES
from handlers.tickets import LIFE_S

# What a key without filters may see; `#` alone leaves out the broker's own topics.
EVERY_TOPIC = ["#", "$SYS/#"]
# And publish to: nobody publishes to the broker's own topics (422).
EVERY_NAME = ["#"]


class WhoAmI(Handler):
    """`GET /whoami`."""

    def get(self) -> None:
        """Say what the key may do."""
        self.query()
        caller = self.caller
        read = EVERY_TOPIC if caller.read is None else caller.read.texts
        publish = EVERY_NAME if caller.publish is None else caller.publish.texts
        self.reply(
            {
                "name": caller.name,
                "scopes": [scope for scope in SCOPES if caller.may(scope)],
                "read": list(read) if caller.may("read") else [],
                "publish": _names(publish) if caller.may("publish") else [],
            }
        )


class Ticket(Handler):
    """`POST /ws/ticket`."""

    def post(self) -> None:
        """Issue a ticket that stands for the caller's key, once, for half a minute."""
        self.query()
        self.reply({"ticket": self.gate.tickets.issue(self.caller), "expires_in": LIFE_S})


def _names(filters: Sequence[str]) -> list[str]:
    """Leave out the filters of topics that nobody may publish to."""
    return [text for text in filters if text != "$SYS" and not text.startswith("$SYS/")]
