"""The MQTT specification's own wildcard examples (MQTT 5.0, section 4.7), on every way to read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from store.message import Message
from tests.guarded.asking import UPGRADE
from tests.mosquitto import EmbeddedStandIn, Mosquitto
from tests.mqtt_client import mqtt_client, publish_all
from tests.recordings import NOW_US, open_history
from tests.service.talking import listen_bare, wait_until_subscribed
from tests.service_log.asking import events, faults, head, own_topic, quoted
from tests.service_process import Answer, ServiceProcess

PLAYER = "sport/tennis/player1"
PLAIN = [
    PLAYER,
    f"{PLAYER}/ranking",
    f"{PLAYER}/score/wimbledon",
    "sport/tennis/player2",
    "sport",
    "sport/",
    "sport/player1",
    "sports/tennis",
    "/finance",
    "finance",
    "/",
    "ACCOUNTS",
    "Accounts",
    "Accounts payable",
    "own/monitor/Clients",
    "a/tennis/b/c",
    "a/tennis",
]
SPECIAL = ["$SYS/monitor/Clients", "$SYS/", "$SYS", "$own/monitor/Clients"]
TWO_LEVELS = {"sport/", "sport/player1", "sports/tennis", "/finance", "/", "a/tennis"}
THREE_LEVELS = {PLAYER, "sport/tennis/player2", "own/monitor/Clients"}
# filter -> what it matches, of PLAIN and SPECIAL
EXAMPLES: dict[str, set[str]] = {
    # 4.7.1.2, the multi-level wildcard
    f"{PLAYER}/#": {PLAYER, f"{PLAYER}/ranking", f"{PLAYER}/score/wimbledon"},
    "sport/#": {name for name in PLAIN if name == "sport" or name.startswith("sport/")},
    "#": set(PLAIN),
    "sport/tennis/#": {name for name in PLAIN if name.startswith("sport/tennis/")},
    # 4.7.1.3, the single-level wildcard
    "sport/tennis/+": {PLAYER, "sport/tennis/player2"},
    "sport/+": {"sport/", "sport/player1"},
    "+": {"sport", "finance", "ACCOUNTS", "Accounts", "Accounts payable"},
    "+/tennis/#": {name for name in PLAIN if "/tennis" in name},
    "sport/+/player1": {PLAYER},
    "+/+": TWO_LEVELS,
    "/+": {"/finance", "/"},
    # 4.7.2, topics beginning with $
    "+/monitor/Clients": {"own/monitor/Clients"},
    "$SYS/#": {"$SYS/monitor/Clients", "$SYS/", "$SYS"},
    "$SYS/monitor/+": {"$SYS/monitor/Clients"},
    "$SYS/+": {"$SYS/"},
    "$own/#": {"$own/monitor/Clients"},
    "$own/+/Clients": {"$own/monitor/Clients"},
    "+/#": set(PLAIN),
    "+/+/+": THREE_LEVELS,
    "/#": {"/finance", "/"},
    # 4.7.3, names are compared letter by letter
    "ACCOUNTS": {"ACCOUNTS"},
    "Accounts": {"Accounts"},
    "Accounts payable": {"Accounts payable"},
    "/finance": {"/finance"},
    "finance": {"finance"},
    "/": {"/"},
    "sport": {"sport"},
    "sport/": {"sport/"},
    "$SYS": {"$SYS"},
    "nothing/#": set(),
}
INVALID = [
    "sport/tennis#",
    "sport/tennis/#/ranking",
    "sport+",
    "+sport",
    "#/",
    "a/b+/c",
    "$share/g/#",
]


@pytest.fixture(scope="module")
def recorded(
    shared_broker: Mosquitto | EmbeddedStandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    """A service whose history has one message of every topic: brokers let nobody write $SYS."""
    directory: Path = tmp_path_factory.mktemp("recorded")

    async def record() -> None:
        async with open_history(directory / "history.db", now_us=NOW_US) as log:
            await log.append([Message(name, "x", NOW_US) for name in PLAIN + SPECIAL])

    asyncio.run(record())
    process = ServiceProcess(
        directory,
        MQTT_BROKER_PORT=str(shared_broker.port),
        MQTT_CLIENT_ID="recorded",
        MQTT_SUBSCRIPTIONS="elsewhere/#",
        MESSAGE_RETENTION_HOURS="0",
        RATE_LIMIT_ENABLED="false",
        **shared_broker.settings,
    )
    process.start(ready=True)
    yield process
    process.kill()
    assert "Traceback" not in process.log(), process.log()


@pytest.mark.parametrize("text", EXAMPLES)
def test_history_topics_and_replay(recorded: ServiceProcess, text: str) -> None:
    """A filter finds in the history, the list, the export and replays what the standard says."""
    expected = EXAMPLES[text]
    query = f"topic={quoted(text)}"
    found = [message["topic"] for message in recorded.get(f"/messages?{query}").json()]
    assert sorted(found) == sorted(expected), "each once"
    assert recorded.get(f"/topics?{query}").json() == sorted(expected)
    details = recorded.get(f"/topics?details=true&{query}").json()
    assert [topic["topic"] for topic in details] == sorted(expected)
    assert recorded.get(f"/export?{query}").content.count(b"\n") == len(expected)
    with (
        listen_bare(recorded, f"?since=all&{query}&topic=elsewhere/end") as listener,
        events(recorded, f"?since=all&{query}&topic=elsewhere/end") as reader,
    ):
        listener.next("welcome")
        order = {"topic": "elsewhere/end", "payload": "", "qos": 1}
        assert recorded.post("/publish", order).status == 200
        for stream in (listener, reader):
            names = set()
            while (name := stream.next("message")["topic"]) != "elsewhere/end":
                assert name not in names
                names.add(name)
            assert names == expected
    assert recorded.request("DELETE", "/messages?topic=elsewhere/%23").status == 200


def test_several_filters_are_a_union(recorded: ServiceProcess) -> None:
    """To see both `#` and `$SYS/#` one asks for both, and each message still comes once."""
    query = "topic=%23&topic=%24SYS/%23&topic=sport/%23&topic=%24own/%2B/%2B"
    found = [message["topic"] for message in recorded.get(f"/messages?{query}").json()]
    assert sorted(found) == sorted(PLAIN + SPECIAL)
    assert recorded.get(f"/topics?{query}").json() == sorted(PLAIN + SPECIAL)
    query = "topic=%2B/monitor/Clients&topic=%24SYS/monitor/Clients"
    found = [message["topic"] for message in recorded.get(f"/messages?{query}").json()]
    assert sorted(found) == ["$SYS/monitor/Clients", "own/monitor/Clients"]


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_filter_is_refused(recorded: ServiceProcess, text: str) -> None:
    """The standard's invalid filters, and shared subscriptions, are a 422 wherever one is taken."""
    for path in ("/messages", "/topics", "/export", "/events"):
        assert faults(recorded.get(f"{path}?topic={quoted(text)}")) == {"topic"}
    assert faults(recorded.post("/subscribe", {"topic": text})) == {"/topic"}
    with closing(HTTPConnection("127.0.0.1", recorded.port, timeout=10)) as connection:
        connection.request("GET", f"/ws?topic={quoted(text)}", headers=UPGRADE)
        answer = connection.getresponse()
        assert faults(Answer(answer.status, answer.headers, answer.read())) == {"topic"}


@pytest.mark.needs_mosquitto
def test_live_streams(service: ServiceProcess, broker: Mosquitto) -> None:
    """Live messages go to a WebSocket and an SSE reader by the same rules."""
    service.start(ready=True, MQTT_SUBSCRIPTIONS="#,$own/#,$SYS/broker/uptime")
    wait_until_subscribed(service)
    published = [*PLAIN, "$own/monitor/Clients"]
    end = own_topic()
    with ExitStack() as stack, mqtt_client(broker.port) as client:
        readers = {}
        for text in EXAMPLES:
            query = f"?topic={quoted(text)}&topic={end}"
            listener = stack.enter_context(listen_bare(service, query))
            listener.next("welcome")
            readers[text] = (listener, stack.enter_context(events(service, query)))
        began = head(service)
        publish_all(client, [(name, "x") for name in published])
        uptime = f"/messages?topic=$SYS/broker/uptime&after={began}"
        service.wait_for(lambda: service.get(uptime).json())
        publish_all(client, [(end, "")])
        for text, streams in readers.items():
            expected = EXAMPLES[text] & set(published)
            if text == "$SYS/#":
                expected = {"$SYS/broker/uptime"}
            wanted = expected | ({end} if text in ("#", "+", "+/#") else set())
            for stream in streams:
                names: list[str] = []
                while not names or names[-1] != end:
                    names.append(stream.next("message")["topic"])
                assert set(names) == wanted | {end}, text
                if text != "$SYS/#":  # the broker says it each second
                    assert len(names) == len(set(names)), text
