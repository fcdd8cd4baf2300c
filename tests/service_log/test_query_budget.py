"""No question can stall the service: it runs out of time, and everything else goes on."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.message import Message
from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client, publish_all
from tests.recordings import NOW_US, open_history
from tests.service.talking import wait_until_subscribed
from tests.service_log.asking import ids
from tests.service_process import Answer, ServiceProcess

ROWS = 60_000
TEXT = "nothing to be found in here, however long it takes; " * 20
NEEDLE = "the needle"


@pytest.fixture(scope="module")
def large(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service with 60 MB of history, and a twentieth of a second for each question."""
    directory: Path = tmp_path_factory.mktemp("large")

    async def record() -> None:
        async with open_history(directory / "history.db", now_us=NOW_US) as log:
            for first in range(0, ROWS, 5_000):
                await log.append(
                    [
                        Message(f"a/{number % 10}", TEXT, NOW_US + number)
                        for number in range(first, first + 5_000)
                    ]
                )
            await log.append([Message("a/0", f"{TEXT}{NEEDLE}", NOW_US + ROWS)])

    asyncio.run(record())
    process = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(shared_broker.port),
        MQTT_CLIENT_ID="large",
        MAX_HISTORY_SIZE="0",
        MESSAGE_RETENTION_HOURS="0",
        QUERY_TIMEOUT="0.05",
        RATE_LIMIT_ENABLED="false",
        **shared_broker.settings,
    )
    process.start(ready=True)
    wait_until_subscribed(process)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


HEAVY = "/messages?contains=not%20in%20there&limit=10"


def is_advice(answer: Answer) -> None:
    """Check that an answer says that the time is over, and what to do."""
    assert answer.status == 503, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    detail = answer.json()["detail"]
    assert "ask for less" in detail
    assert "sqlite" not in detail.lower()


def answered(service: ServiceProcess, path: str) -> Answer:
    """Ask something small until it is answered: on a busy machine even that may take too long."""
    answers: list[Answer] = []

    def is_answered() -> bool:
        answers[:] = [service.get(path)]
        return answers[0].status != 503

    service.wait_for(is_answered)
    return answers[0]


def test_a_heavy_question_runs_out_of_time(large: ServiceProcess) -> None:
    """A question that takes too long is a 503 with advice; a smaller one is answered."""
    for more in ("", "&order=asc", "&format=csv", "&topic=a/%2B", "&qos=0"):
        is_advice(large.get(HEAVY + more))
    newest = ids(answered(large, "/messages?limit=1"))[0]
    assert answered(large, f"{HEAVY}&after={newest - 100}").json() == []
    assert len(answered(large, "/messages?limit=10").json()) == 10
    assert answered(large, "/messages/1").status == 200


def test_nothing_else_stalls_meanwhile(
    large: ServiceProcess, shared_broker: Mosquitto | EmbeddedStandIn
) -> None:
    """While heavy questions pour in, /health answers, and every message is stored."""
    ends = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        while not ends.is_set():
            statuses.append(large.get(HEAVY).status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    before = large.get("/health").json()["message_count"]
    try:
        with mqtt_client(shared_broker.port) as client:
            for burst in range(20):
                publish_all(client, [("b", f"{burst}.{number}") for number in range(100)])
                assert large.get("/health").json()["status"] == "healthy"
        large.wait_for(lambda: large.get("/health").json()["message_count"] == before + 2_000)
        large.wait_for(lambda: len(statuses) >= 20)
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {503}
    assert answered(large, "/topics/b").json()["message_count"] == 2_000


def test_an_export_takes_the_time_it_needs(large: ServiceProcess) -> None:
    """An export of a rare thing is read in pieces that fit the time, and comes to its end."""
    answer = answered(large, f"/export?contains={NEEDLE.replace(' ', '%20')}")
    assert answer.status == 200, answer.content
    (found,) = [json.loads(line) for line in answer.content.splitlines()]
    assert found["payload"].endswith(NEEDLE)
