"""How many messages a second callers can publish over HTTP, beside the FastAPI reference."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.machine import load_side
from bench.report import Row, collect
from bench.stage import broker, fastapi, scratch, service

SECONDS = 2
BATCH = 100
BODY0 = '{"topic": "factory/line1/press1/temperature", "payload": "45.2", "qos": 0}'
BODY1 = BODY0.replace("0}", "1}")


def wrk(port: int, path: str, connections: int, body: str = "", seconds: int = SECONDS) -> float:
    """Return the successful requests a second that wrk counts."""
    with scratch() as directory:
        script = directory / "request.lua"
        if body:
            script.write_text(
                f'wrk.method = "POST"\nwrk.body = [==[{body}]==]\n'
                'wrk.headers["Content-Type"] = "application/json"\n'
            )
        else:
            script.write_text("")
        with load_side():
            said = subprocess.run(
                [
                    "wrk",
                    "-t1",
                    f"-c{connections}",
                    f"-d{seconds}s",
                    "-s",
                    str(script),
                    f"http://127.0.0.1:{port}{path}",
                ],
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
    if "Non-2xx" in said:
        raise RuntimeError(f"{path} refused some requests:\n{said}")
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    assert found
    return float(found.group(1))


def of_fastapi(directory: Path) -> dict[str, float]:
    """Publishes a second of the reference."""
    with broker(directory) as port, fastapi(port) as running:
        return {"fastapi": wrk(running.port, "/publish", 16, BODY0)}


def of_service(directory: Path) -> dict[str, float]:
    """Publishes a second of ours: QoS 0, QoS 1 confirmed, batches."""
    items = ",".join([BODY0] * BATCH)
    with broker(directory) as port, service(directory, port) as running:
        return {
            "qos0": wrk(running.port, "/publish", 16, BODY0),
            "qos1": wrk(running.port, "/publish", 64, BODY1),
            "batch": BATCH * wrk(running.port, "/publish/batch", 16, f'{{"messages": [{items}]}}'),
        }


SIDES: list[Callable[[Path], dict[str, float]]] = [of_fastapi, of_service]


def measure(rounds: int) -> list[Row]:
    """Return the rows of publishing."""
    found = collect(SIDES, rounds, scratch)
    single = "POST /publish QoS 0, 16 connections, subscribed and stored"
    return [
        Row(single, "/s", found["qos0"], 1.6, True, found["fastapi"], "FastAPI"),
        Row(
            "POST /publish QoS 1 confirmed, 64 connections",
            "/s",
            found["qos1"],
            0.8,
            True,
            found["qos0"],
            "our QoS 0",
        ),
        Row(
            "POST /publish/batch of 100",
            "messages/s",
            found["batch"],
            10,
            True,
            found["qos0"],
            "single",
        ),
    ]
