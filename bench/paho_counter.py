"""The reference for ingest: stock paho that only counts. `python -m bench.paho_counter PORT COUNT`.

Prints `ready` when subscribed and `done` when COUNT messages have come.
"""

from __future__ import annotations

import sys
from typing import Any

from paho.mqtt.client import CallbackAPIVersion, Client


def main(port: int, count: int) -> None:
    """Count `count` messages of everything at QoS 1."""
    client = Client(CallbackAPIVersion.VERSION2, "bench-counter")  # 3.1.1, paho's default
    seen = 0

    def on_message(_client: Any, _data: Any, _message: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == count:
            print("done", flush=True)

    client.on_connect = lambda *_: client.subscribe("bench/#", 1)
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
