"""`GET /whoami` and `POST /ws/ticket`: what a caller may do, and how a browser opens a stream."""

from __future__ import annotations

from handlers.base import Handler
from handlers.keyring import SCOPES
from handlers.tickets import LIFE_S
from store.topics import TopicFilter

EVERYTHING = ["#", "$SYS/#"]


class WhoAmI(Handler):
    """`GET /whoami`."""

    def get(self) -> None:
        """Say what the key may do."""
        self.query()
        caller = self.caller
        self.reply(
            {
                "name": caller.name,
                "scopes": [scope for scope in SCOPES if caller.may(scope)],
                "read": _filters(caller.read) if caller.may("read") else [],
                "publish": _filters(caller.publish) if caller.may("publish") else [],
            }
        )


class Ticket(Handler):
    """`POST /ws/ticket`."""

    def post(self) -> None:
        """Issue a ticket that stands for the caller's key, once, for half a minute."""
        self.query()
        self.reply({"ticket": self.gate.tickets.issue(self.caller), "expires_in": LIFE_S})


def _filters(topics: TopicFilter | None) -> list[str]:
    return EVERYTHING if topics is None else list(topics.texts)
