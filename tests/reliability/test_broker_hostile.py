"""A broker that sends nonsense: the service says so, lives, and keeps its memory."""

from __future__ import annotations

import random
import select
import socket
import threading
import time

from tests.reliability.findings import memory_bytes
from tests.reliability.scale import Scale
from tests.service_process import ServiceProcess

MIB = 1024 * 1024
EACH_CONNECTION = 20
LIFE_S = 0.6
CONNACK = b"\x20\x03\x00\x00\x00"
# One good packet of each kind that a broker may send with MQTT 5, and some that it may not.
GOOD = (
    b"\x30\x09\x00\x03a/b\x00xyz",
    b"\x32\x0b\x00\x03a/b\x00\x07\x00xyz",
    b"\x3a\x0b\x00\x03a/b\x00\x07\x00xyz",
    b"\x34\x0b\x00\x03a/b\x00\x08\x00xyz",
    b"\x32\x10\x00\x03a/b\x00\x07\x05\x26\x00\x00\x00\x00xyz",
    b"\x40\x02\x00\x01",
    b"\x40\x04\x00\x01\x87\x00",
    b"\x50\x02\x00\x01",
    b"\x62\x02\x00\x01",
    b"\x70\x02\x00\x01",
    b"\x90\x04\x00\x01\x00\x01",
    b"\xb0\x04\x00\x01\x00\x00",
    b"\xd0\x00",
    b"\xe0\x02\x00\x00",
    b"\xf0\x02\x18\x00",
    b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00",
    CONNACK,
)


def nonsense(chance: random.Random) -> bytes:
    """Return a packet: good, broken in a few places, or bytes by chance."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(1, 40))
    packet = bytearray(chance.choice(GOOD))
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        place = chance.randrange(len(packet) or 1)
        if packet and chance.random() < 0.5:
            packet[place] = chance.randrange(256)
        elif chance.random() < 0.5:
            del packet[place:]
            packet += chance.randbytes(chance.randrange(6))
        else:
            packet.insert(place, chance.randrange(256))
    if len(packet) > 1 and chance.random() < 0.9:
        packet[1] = len(packet) - 2  # or what follows would be swallowed as a part of this one
    # "Session taken over" makes the service rest for a minute, as it should.
    return bytes(packet).replace(b"\x8e", b"\x00")


class HostileBroker(threading.Thread):
    """Accepts, welcomes, and sends nonsense until the service leaves; so many packets in all."""

    def __init__(self, packets: int, chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._left = packets
        self._chance = chance
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0

    def run(self) -> None:
        """Serve one connection after the other."""
        with self._listening:
            while self._left > 0:
                connection, _ = self._listening.accept()
                self.connections += 1
                with connection:
                    try:
                        self._serve(connection)
                    except OSError:
                        pass  # the service left

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        connection.recv(4_096)
        welcome = CONNACK if self._chance.random() < 0.95 else nonsense(self._chance)
        connection.sendall(welcome)
        began = time.monotonic()
        for _ in range(EACH_CONNECTION):
            self._left -= 1
            connection.sendall(nonsense(self._chance))
            readable, _, _ = select.select([connection], [], [], 0.001)
            if readable and not connection.recv(65_536):
                return  # the service has had enough
        # Hung up on sooner, it would suspect a second client with its id, and rest.
        while (left_s := began + LIFE_S - time.monotonic()) > 0:
            readable, _, _ = select.select([connection], [], [], left_s)
            if readable and not connection.recv(65_536):
                return


def test_packets_from_a_hostile_broker(
    service: ServiceProcess, scale: Scale, chance: random.Random
) -> None:
    """Thousands of broken packets: no traceback, no restart, and hardly any memory."""
    broker = HostileBroker(scale.fuzz_packets, chance)
    broker.start()
    service.start(MQTT_BROKER_PORT=str(broker.port), MQTT_PROTOCOL="5")
    assert service.process is not None
    service.wait_for(lambda: broker.connections > 1)
    before = memory_bytes(service.process.pid)
    service.wait_for(lambda: not broker.is_alive(), within_s=1_200)
    more = memory_bytes(service.process.pid) - before
    assert service.process.poll() is None
    assert service.get("/health/live").status == 200
    failures = service.get("/stats").json()["failures_total"]
    assert not failures, (failures, service.log()[-4_000:])
    assert "Traceback" not in service.log()
    print(f"{scale.fuzz_packets} packets, {broker.connections} connections, +{more / MIB:.1f} MiB")
    assert more < 10 * MIB
