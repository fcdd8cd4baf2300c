"""A broker that knows MQTT 3.1.1 only, made of one that knows more."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.relay import Relay

CONNACK_WRONG_VERSION = b"\x20\x02\x00\x01"
LEVEL_PLACE = 6  # in the variable header of a CONNECT: length, "MQTT", level


class OldBroker(Relay):
    """Lets in who speaks MQTT 3.1.1. `answers` says whether it refuses others or just closes."""

    def __init__(self, behind: int, *, answers: bool) -> None:
        self._answers = answers
        self.turned_away = 0
        super().__init__(behind)

    def admit(self, client: socket.socket) -> bytes | None:
        """Look at the version in the client's CONNECT."""
        first = b""
        while len(first) <= (place := LEVEL_PLACE + (2 if first[1:2] < b"\x80" else 3)):
            piece = client.recv(4_096)
            if not piece:
                return None
            first += piece
        if first[place] != 5:
            return first
        self.turned_away += 1
        if self._answers:
            client.sendall(CONNACK_WRONG_VERSION)
        return None


@contextmanager
def old_broker(behind: int, *, answers: bool) -> Iterator[OldBroker]:
    """Run one before the broker behind."""
    relay = OldBroker(behind, answers=answers)
    try:
        yield relay
    finally:
        relay.close()
