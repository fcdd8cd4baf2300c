"""Every byte string of length 0 to 2, and 2,000 random ones, by every way out."""

from __future__ import annotations

import base64
import json
import random
import threading
from collections.abc import Callable
from typing import Any

from tests.service.talking import history, listen_bare
from tests.service_log.asking import events
from tests.service_process import ServiceProcess

SHORT = [b"", *(bytes((one,)) for one in range(256))]
SHORT += [bytes((one, two)) for one in range(256) for two in range(256)]
BATCH = 1_000


def random_strings() -> list[bytes]:
    """Return 2,000 byte strings: noise, and texts with all that JSON, SSE and CSV find special."""
    generator = random.Random(2_000)
    letters = [
        "\x00",
        "\n",
        "\r",
        "\t",
        '"',
        "\\",
        "\x7f",
        "\u2028",
        "ü",
        "日",
        "𝄞",
        "\ufeff",
        "data: ",
    ]
    found = []
    for _ in range(1_000):
        found.append(generator.randbytes(generator.randint(3, 300)))
        text = "".join(generator.choices(letters, k=generator.randint(1, 60)))
        found.append(text.encode())
    return found


def content(message: dict[str, Any]) -> bytes:
    """Return the bytes that a message stands for; base64 only where they are not UTF-8."""
    if "encoding" not in message:
        return str(message["payload"]).encode()
    assert message["encoding"] == "base64"
    found = base64.b64decode(message["payload"], validate=True)
    try:
        found.decode()
    except UnicodeDecodeError:
        return found
    raise AssertionError(f"{found!r} is UTF-8, and so should not be in base64")


def first_difference(found: list[bytes], expected: list[bytes]) -> Any:
    """Return where two lists differ, so that a failure does not print all of them."""
    if found == expected:
        return None
    for place, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return place, one, other
    return len(found), len(expected)


def test_bytes_never_change(shared: ServiceProcess) -> None:
    """What is published comes back byte for byte: history, streams, export and raw payload."""
    strings = SHORT + random_strings()
    assert len(SHORT) == 65_793
    seen: dict[str, list[bytes]] = {"live": [], "events": []}
    failures: list[BaseException] = []

    def read(take: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                take()
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    with listen_bare(shared, "?batch=true") as listener, events(shared) as reader:
        listener.next("welcome")

        def read_socket() -> None:
            while len(seen["live"]) < len(strings):
                seen["live"] += map(content, listener.next("messages")["messages"])

        def read_events() -> None:
            while len(seen["events"]) < len(strings):
                seen["events"].append(content(reader.next("message")))

        threads = [read(read_socket), read(read_events)]
        for first in range(0, len(strings), BATCH):
            orders = [
                {
                    "topic": "a",
                    "payload": base64.b64encode(string).decode(),
                    "encoding": "base64",
                    "qos": int(first >= len(SHORT)),
                }
                for string in strings[first : first + BATCH]
            ]
            answer = shared.post("/publish/batch", {"messages": orders})
            assert answer.status == 200, answer.content[:2_000]
        for thread in threads:
            thread.join(120)
    assert not failures, failures
    for way, found in seen.items():
        assert first_difference(found, strings) is None, way
    stored = history(shared)
    assert first_difference([content(message) for message in stored], strings) is None
    exported = [json.loads(line) for line in shared.get("/export").content.splitlines()]
    assert exported == stored
    sample = [*random.Random(1).sample(range(len(strings)), 150), 0, 1, 256, 65_792]
    for place in sample:
        answer = shared.get(f"/messages/{stored[place]['id']}/payload")
        assert (answer.status, answer.content) == (200, strings[place])
