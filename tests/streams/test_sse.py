"""Server-Sent Events: their form, resuming, limits, heartbeats, the shared cap, and the end."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect

from tests.service.talking import history, listen_bare, send, wait_until_subscribed
from tests.service_log.asking import epoch, head, payloads
from tests.service_process import ServiceProcess
from tests.streams.reading import Event, EventStream, event_stream, own_topic, until


def until_nobody_reads(service: ServiceProcess) -> None:
    """Wait until the service has noticed that the readers of other tests have left."""
    service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)


def last_words(stream: EventStream) -> list[str]:
    """Read to the end of a stream, and return the comments of its last block."""
    block = Event()
    with pytest.raises(EOFError, match="the stream has ended"):
        while True:
            block = stream.block()
    return block.comments


def test_the_form_of_an_event(shared: ServiceProcess) -> None:
    """A message is one event with its position, its type and one line of JSON, and nothing else."""
    topic = own_topic()
    with event_stream(shared, f"?topic={topic}") as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert stream.headers["transfer-encoding"] == "chunked"
        assert stream.headers["cache-control"] == "no-store"
        assert "content-length" not in stream.headers
        assert stream.block().fields == {"retry": ["2000"]}
        welcome = stream.block()
        assert welcome.kind == welcome.data["type"] == "welcome"
        (stored,) = payloads(shared, topic, "two\r\nlines\u2028 and 'ü' \"quoted\": x")
        event = stream.block()
        assert list(event.fields) == ["id", "event", "data"]
        assert event.id == f"{epoch(shared)}.{stored['id']}"
        assert event.kind == "message"
        assert event.data == {"type": "message", **stored}


def test_the_welcome_at_the_head_has_a_position(shared: ServiceProcess) -> None:
    """A browser that is cut before its first message goes on from where it began: nothing that
    came while it was away is lost."""
    topic = own_topic()
    payloads(shared, topic, "before")
    with event_stream(shared, f"?topic={topic}") as stream:
        position = stream.next("welcome").id
    assert position == f"{epoch(shared)}.{head(shared)}"
    payloads(shared, topic, "while it was away")
    with event_stream(shared, f"?topic={topic}", {"Last-Event-ID": position}) as stream:
        assert stream.next("welcome").id is None, "it would pass over the replay"
        assert stream.next("message").data["payload"] == "while it was away"


@pytest.mark.parametrize("query", ["after=0", "since=all", "since=1h", "after=other.99"])
def test_last_event_id_wins_over_the_query(shared: ServiceProcess, query: str) -> None:
    """A browser sends the address it was given again; what it has seen decides."""
    topic = own_topic()
    stored = payloads(shared, topic, "0", "1", "2", "3")
    for position in (f"{epoch(shared)}.{stored[1]['id']}", str(stored[1]["id"])):
        with event_stream(shared, f"?topic={topic}&{query}", {"Last-Event-ID": position}) as stream:
            stream.next("welcome")
            assert [stream.next("message").data["payload"] for _ in range(2)] == ["2", "3"]


def test_an_empty_last_event_id_is_none(shared: ServiceProcess) -> None:
    """A client that has seen nothing yet may say so: the query holds."""
    topic = own_topic()
    payloads(shared, topic, "0")
    with event_stream(shared, f"?topic={topic}&since=all", {"Last-Event-ID": ""}) as stream:
        stream.next("welcome")
        assert stream.next("message").data["payload"] == "0"


def test_a_wrong_last_event_id_is_refused(shared: ServiceProcess) -> None:
    """What is no position is a 422 before the stream begins, and takes no place."""
    until_nobody_reads(shared)
    answer = send(shared, "GET", "/events", headers={"Last-Event-ID": "yesterday"})
    assert answer.status == 422
    assert answer.json()["errors"][0]["path"] == "Last-Event-ID"
    assert shared.get("/health").json()["websocket_connections"] == 0


def test_limit_ends_the_stream_after_so_many(shared: ServiceProcess) -> None:
    """`limit` counts messages from the history and live ones alike, and then ends the stream."""
    topic = own_topic()
    payloads(shared, topic, "0", "1", "2", "3")
    with event_stream(shared, f"?topic={topic}&since=all&limit=3") as stream:
        stream.next("welcome")
        assert [stream.next("message").data["payload"] for _ in range(3)] == ["0", "1", "2"]
        with pytest.raises(EOFError, match="the stream has ended"):
            stream.event()
        assert stream.ended
        assert stream.socket.recv(100) == b"", "nothing follows the end"
    with event_stream(shared, f"?topic={topic}&limit=2") as stream:
        stream.next("welcome")
        payloads(shared, topic, "4", "5", "6")
        assert [stream.next("message").data["payload"] for _ in range(2)] == ["4", "5"]
        with pytest.raises(EOFError, match="the stream has ended"):
            stream.event()
        assert stream.socket.recv(100) == b"", "nothing follows the end"


def test_limit_counts_conflated_messages(shared: ServiceProcess) -> None:
    """With `conflate` what is shown counts, and the stream ends as well."""
    topic = own_topic()
    payloads(shared, f"{topic}/a", "0")
    payloads(shared, f"{topic}/b", "0", "1")
    payloads(shared, f"{topic}/c", "0")
    with event_stream(shared, f"?topic={topic}/%23&since=all&limit=2&conflate=50") as stream:
        stream.next("welcome")
        found = [stream.next("message").data for _ in range(2)]
        assert [(one["topic"], one["payload"]) for one in found] == [
            (f"{topic}/a", "0"),
            (f"{topic}/b", "1"),
        ]
        with pytest.raises(EOFError, match="the stream has ended"):
            stream.event()


def test_a_heartbeat_is_a_comment(service: ServiceProcess) -> None:
    """While nothing happens a comment comes each WS_HEARTBEAT_INTERVAL, and no event with it."""
    service.start(ready=True, WS_HEARTBEAT_INTERVAL="0.1", MQTT_BROKER_STATS="off")
    wait_until_subscribed(service)
    with event_stream(service) as stream:
        stream.next("welcome")
        found = [stream.block() for _ in range(5)]
    beats = [one for one in found if one.comments]
    assert len(beats) >= 4
    assert all(one.comments == [""] and one.fields == {"id": [one.id]} for one in beats)


def test_a_quiet_reader_moves_on_with_the_log(service: ServiceProcess) -> None:
    """A heartbeat brings the position. One who resumes there, after all that passed meanwhile was
    pruned, has missed nothing of its topic, and is told of no gap."""
    service.start(
        ready=True, WS_HEARTBEAT_INTERVAL="0.1", MQTT_BROKER_STATS="off", MAX_HISTORY_SIZE="3"
    )
    wait_until_subscribed(service)
    with event_stream(service, "?topic=rare") as stream:
        stream.next("welcome")
        for _ in range(3):
            newest = payloads(service, "often", "1", "2", "3")[-1]["id"]
        place = f"{epoch(service)}.{newest}"
        found = stream.block()
        while found.id != place:
            assert found.kind == "" and found.comments == [""], found
            found = stream.block()
    payloads(service, "rare", "seen")
    with event_stream(service, "?topic=rare", {"Last-Event-ID": place}) as stream:
        stream.next("welcome")
        assert stream.next("message").data["payload"] == "seen"


def test_what_others_lost_is_no_gap(service: ServiceProcess) -> None:
    """Who comes back after nothing but messages of other topics was pruned has missed nothing; who
    wants those topics, too, is told."""
    service.start(ready=True, MAX_HISTORY_SIZE="3")
    wait_until_subscribed(service)
    (mine,) = payloads(service, "rare/a", "mine")
    payloads(service, "often", "1", "2", "3")
    payloads(service, "rare/b", "seen")
    place = {"Last-Event-ID": str(mine["id"])}
    with event_stream(service, "?topic=rare/%23", place) as stream:
        stream.next("welcome")
        assert stream.block().kind == "message"
    for path in ("/messages?after={}&topic=rare/%23", "/export?after={}&topic=rare/%23"):
        assert "X-Log-Gap" not in service.get(path.format(mine["id"])).headers
    with event_stream(service, "?topic=rare/%23&topic=often", place) as stream:
        stream.next("welcome")
        gap = stream.next("gap").data
        assert (gap["reason"], gap["after"]) == ("pruned", mine["id"])


def test_a_gap_is_an_event_with_a_position(service: ServiceProcess) -> None:
    """A gap has the position it leads to, so that a client that is cut then is not told again."""
    service.start(ready=True, MAX_HISTORY_SIZE="3")
    wait_until_subscribed(service)
    stored = payloads(service, "a", "0", "1", "2")
    payloads(service, "a", "3", "4", "5")
    name = epoch(service)
    with event_stream(service, headers={"Last-Event-ID": f"{name}.{stored[0]['id']}"}) as stream:
        stream.next("welcome")
        gap = stream.next("gap")
        first = stream.next("message").data
        assert gap.data == {
            "type": "gap",
            "reason": "pruned",
            "after": stored[0]["id"],
            "next": first["id"],
        }
        assert gap.id == f"{name}.{first['id'] - 1}"
        assert first["payload"] == "3"
    with event_stream(service, headers={"Last-Event-ID": gap.id or ""}) as stream:
        stream.next("welcome")
        assert stream.next("message").data["payload"] == "3"


def test_the_cap_is_shared_with_websockets(service: ServiceProcess) -> None:
    """WebSocket and SSE readers share WS_MAX_CONNECTIONS; one that goes makes room for either."""
    service.start(ready=True, WS_MAX_CONNECTIONS="2")

    def places() -> Any:
        return service.get("/health").json()["websocket_connections"]

    with listen_bare(service) as socket_reader:
        socket_reader.next("welcome")
        with event_stream(service) as stream:
            stream.next("welcome")
            refused = send(service, "GET", "/events")
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["Content-Type"] == "application/problem+json"

            async def connect() -> None:
                await websocket_connect(f"ws://127.0.0.1:{service.port}/ws")

            with pytest.raises(HTTPClientError, match="503"):
                asyncio.run(connect())
        service.wait_for(lambda: places() == 1)
        with event_stream(service) as stream:
            stream.next("welcome")
    service.wait_for(lambda: places() == 0)


def test_the_cap_holds_when_all_come_at_once(service: ServiceProcess) -> None:
    """Of many that come in one moment no more are let in than there are places."""
    service.start(ready=True, WS_MAX_CONNECTIONS="5")
    streams: list[EventStream] = []
    gate = threading.Barrier(30)

    def come() -> None:
        gate.wait(10)
        streams.append(EventStream(service.port))

    threads = [threading.Thread(target=come) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(stream.status for stream in streams) == [200] * 5 + [503] * 25
    for stream in streams:
        stream.close()
    service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)


@pytest.mark.parametrize("path", ["/events", "/ws"])
def test_who_hangs_up_at_once_leaves_no_place_taken(service: ServiceProcess, path: str) -> None:
    """A hundred peers that reset the connection in the moment of the request take no place."""
    service.start(ready=True)
    for turn in range(100):
        peer = socket.create_connection(("127.0.0.1", service.port))
        # Close sends a reset at once.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        )
        query = ("", "?since=all", "?since=1h")[turn % 3]
        extra = upgrade if path == "/ws" else ""
        peer.sendall(f"GET {path}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{extra}\r\n".encode())
        if turn % 2:
            peer.recv(1)
        peer.close()
    service.wait_for(lambda: service.get("/health").json()["websocket_connections"] == 0)
    with event_stream(service) as stream:
        stream.next("welcome")


def test_the_end_of_the_service_ends_the_stream_in_order(service: ServiceProcess) -> None:
    """A stop ends each stream with its last chunk, after whole events, and within its time."""
    service.start(ready=True)
    wait_until_subscribed(service)
    payloads(service, "a", *map(str, range(200)))
    with event_stream(service, "?since=all") as one, event_stream(service) as other:
        assert [one.next("welcome").kind, other.next("welcome").kind] == ["welcome"] * 2
        assert one.next("message").data["payload"] == "0"
        assert service.terminate() == 0
        seen = []
        for stream in (one, other):
            with pytest.raises(EOFError, match="the stream has ended"):
                while True:
                    found = stream.event()
                    seen += [found.data["payload"]] if found.kind == "message" else []
            assert stream.ended
    assert seen == [str(number) for number in range(1, 1 + len(seen))]


def test_a_history_that_begins_anew_ends_the_stream_with_that_reason(
    service: ServiceProcess,
) -> None:
    """When a damaged history is replaced, the end of a stream says so, in a comment, as the close
    of a WebSocket does; who comes back with his position is told of the gap."""
    service.start(ready=True)
    wait_until_subscribed(service)
    payloads(service, "a", "old")
    with event_stream(service) as stream:
        position = stream.next("welcome").id or ""
        service.database.rename(service.database.with_name("taken away"))
        said = last_words(stream)
        assert stream.ended
    assert said == ["the history was damaged, and a new one has begun: come back"]
    assert not position.startswith(f"{epoch(service)}.")
    with event_stream(service, headers={"Last-Event-ID": position}) as stream:
        stream.next("welcome")
        gap = stream.next("gap").data
        assert (gap["reason"], gap["after"]) == ("epoch", position)
        payloads(service, "a", "new")
        assert stream.next("message").data["payload"] == "new"


def test_head_and_old_http_get_no_stream(shared: ServiceProcess) -> None:
    """HEAD answers with the headers and takes no place; HTTP/1.0, which has no chunks, an end."""
    until_nobody_reads(shared)
    answer = send(shared, "HEAD", "/events")
    assert (answer.status, answer.content) == (200, b"")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as peer:
        peer.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        answered = b""
        while found := peer.recv(4096):
            answered += found
    assert answered.startswith(b"HTTP/1.")
    until_nobody_reads(shared)


def test_a_stalled_peer_does_not_hold_up_the_end(service: ServiceProcess) -> None:
    """A reader that takes nothing loses its connection at the stop; the stop is not delayed."""
    service.start(ready=True)
    wait_until_subscribed(service)
    for _ in range(10):
        payloads(service, "a", *["x" * 50_000] * 20)
    with event_stream(service, "?since=all", receive_buffer=4_096) as stalled:
        assert stalled.status == 200
        until(lambda: service.get("/stats").json()["readers_behind"] == 1, "it is behind")
        assert service.terminate() == 0
    assert len(history_of(service)) == 200


def history_of(service: ServiceProcess) -> list[Any]:
    """Return what is in the history, after another start."""
    service.start()
    return history(service)
