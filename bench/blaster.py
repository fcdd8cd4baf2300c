"""A publisher that costs less than what it measures: raw QoS 1 packets over one socket.

Run as `python -m bench.blaster PORT COUNT TOPICS`. Every packet but its number is made before
the clock starts; at most WINDOW publishes wait for their PUBACK.
"""

from __future__ import annotations

import json
import socket
import struct
import sys

WINDOW = 1_000
CHUNK = 100
PUBACK_BYTES = 4
PAYLOAD_BYTES = 100


def connect_packet(client_id: str) -> bytes:
    """Return an MQTT 3.1.1 CONNECT with a clean session."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack("!H", len(name)) + name
    return bytes([0x10, len(body)]) + body


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """Return a QoS 1 PUBLISH."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", packet_id) + payload
    size = len(body)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return b"\x32" + length + body


def payload(number: int) -> bytes:
    """Return 100 bytes of JSON that differ from message to message."""
    fields = {"value": number, "unit": "C", "pad": ""}
    fields["pad"] = "x" * (PAYLOAD_BYTES - len(json.dumps(fields)))
    return json.dumps(fields).encode()


def blast(port: int, count: int, topics: int) -> None:
    """Publish `count` messages over `topics` topics and wait for every PUBACK."""
    packets = [
        publish_packet(f"bench/line{n % topics % 10}/t{n % topics}", payload(n), n % 65_535 + 1)
        for n in range(count)
    ]
    chunks = [b"".join(packets[at : at + CHUNK]) for at in range(0, count, CHUNK)]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(connect_packet("bench-blaster"))
        connection.recv(PUBACK_BYTES)
        print("go", flush=True)
        sent = answered = 0
        for chunk in chunks:
            connection.sendall(chunk)
            sent += CHUNK
            while sent - answered / PUBACK_BYTES > WINDOW:
                answered += len(connection.recv(65_536))
        while answered < PUBACK_BYTES * count:
            answered += len(connection.recv(65_536))


if __name__ == "__main__":
    blast(*map(int, sys.argv[1:4]))
