"""The main job, end to end: the real process, a real broker, a real database file."""

from __future__ import annotations

import sqlite3

from tests.mqtt_client import mqtt_client, publish_all
from tests.service_process import ServiceProcess


def test_a_published_message_comes_back_through_the_broker(service: ServiceProcess) -> None:
    """POST /publish reaches the broker, and the history has what the broker sent back."""
    service.start(ready=True)
    answer = service.post("/publish", {"topic": "a/b", "payload": "45.2", "qos": 1})
    assert answer.status == 200
    assert answer.json()["data"]["confirmed"] is True
    service.wait_for(lambda: service.get("/messages").json())
    (message,) = service.get("/messages?topic=a/%2B").json()
    assert (message["topic"], message["payload"], message["qos"]) == ("a/b", "45.2", 1)
    assert service.terminate() == 0


def test_people_read_the_history_with_sqlite3_while_the_service_runs(
    service: ServiceProcess, broker: object
) -> None:
    """The view `history` gives readable lines to the plain sqlite3 program."""
    service.start(ready=True)
    with mqtt_client(broker.port) as client:
        publish_all(client, [(f"factory/{n}", f'{{"value": {n}}}') for n in range(5)])
    service.wait_for(lambda: len(service.get("/messages").json()) == 5)
    with sqlite3.connect(f"file:{service.database}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "select time, topic, payload from history order by id desc limit 5"
        ).fetchall()
    connection.close()
    assert [row[1] for row in rows] == [f"factory/{n}" for n in (4, 3, 2, 1, 0)]
    assert all(row[0].endswith("Z") and isinstance(row[2], str) for row in rows)
