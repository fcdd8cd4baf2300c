"""GET /topics and GET /topics/{topic}: names, details, the last value, and waiting for the next."""

from __future__ import annotations

import base64
import http.client
import itertools
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from tests.service.talking import send, wait_until_subscribed
from tests.service_log.asking import epoch, faults, own_topic, pages, payloads, store
from tests.service_process import Answer, ServiceProcess

# -- the list -----------------------------------------------------------------------------------


def test_details_say_what_is_known_of_a_topic(shared: ServiceProcess) -> None:
    """Each topic comes with its count, first and last time, rate and last message."""
    root = own_topic()
    stored = store(
        shared,
        {"topic": f"{root}/b", "payload": "b1"},
        {"topic": f"{root}/a", "payload": "a1"},
        {"topic": f"{root}/b", "payload": {"value": 2}},
        *({"topic": f"{root}/c", "payload": number} for number in range(90)),
    )
    found = shared.get(f"/topics?details=true&topic={root}/%23").json()
    assert [topic["topic"] for topic in found] == [f"{root}/a", f"{root}/b", f"{root}/c"]
    for topic in found:
        mine = [message for message in stored if message["topic"] == topic["topic"]]
        assert topic == {
            "topic": topic["topic"],
            "message_count": len(mine),
            "first_seen": mine[0]["timestamp"],
            "last_seen": mine[-1]["timestamp"],
            "rate_1m": round(len(mine) / 60, 3),
            "last_message": mine[-1],
        }
    assert shared.get(f"/topics?topic={root}/%23").json() == [f"{root}/{x}" for x in "abc"]
    assert shared.get(f"/topics?details=false&topic={root}/b").json() == [f"{root}/b"]


def test_the_list_is_sorted_and_paged(shared: ServiceProcess) -> None:
    """With `limit` the list comes in pages by Link, each topic once, names and details alike."""
    root = own_topic()
    names = [f"{root}/{name}" for name in ("B", "a", "a/b", "a b", "a&b", "a%2F", "ä", "日", "z")]
    store(shared, *({"topic": name, "payload": name} for name in reversed(names)))
    expected = sorted(names)
    assert shared.get(f"/topics?prefix={root}/").json() == expected
    for limit in (1, 4, len(names), len(names) + 1):
        path = f"/topics?prefix={root}/&limit={limit}"
        found = list(pages(shared, path))
        assert [name for page in found for name in page] == expected
        assert all(len(page) == limit for page in found[:-1])
        found = list(pages(shared, f"{path}&details=true&topic=%23"))
        assert [topic["topic"] for page in found for topic in page] == expected
        assert [topic["last_message"]["payload"] for page in found for topic in page] == expected
    found = list(pages(shared, f"/topics?limit=1&topic={root}/%2B&topic={root}/%23"))
    assert [name for page in found for name in page] == expected


def test_a_prefix_is_any_beginning(shared: ServiceProcess) -> None:
    """`prefix` is compared letter by letter, across levels, and together with a filter."""
    root = own_topic()
    names = [f"{root}/{name}" for name in ("line1/a", "line1", "line10/a", "line2/a", "Line1/a")]
    store(shared, *({"topic": name, "payload": 1} for name in names))
    expected = sorted(name for name in names if name.startswith(f"{root}/line1"))
    assert len(expected) == 3
    assert shared.get(f"/topics?prefix={root}/line1").json() == expected
    assert shared.get(f"/topics?prefix={root}/line1/").json() == [f"{root}/line1/a"]
    assert shared.get(f"/topics?prefix={root}/line1&topic={root}/+/a").json() == [
        f"{root}/line1/a",
        f"{root}/line10/a",
    ]
    assert shared.get(f"/topics?prefix={root}/line%25").json() == []
    assert shared.get(f"/topics?prefix={root}/line_").json() == []


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        (b"x" * 1024, None),
        (b"x" * 1025, b"x" * 1024),
        ("ü".encode() * 512, None),
        ("ü".encode() * 600, "ü".encode() * 512),
        ("日".encode() * 400, "日".encode() * 341),
        (b"\xff" * 1024, None),
        (b"\xff" * 3000, b"\xff" * 1024),
    ],
    ids=["1024", "1025", "two-byte", "two-byte-more", "three-byte", "binary", "binary-more"],
)
def test_details_cut_a_payload_at_one_kib(
    shared: ServiceProcess, payload: bytes, kept: bytes | None
) -> None:
    """In the list a payload is cut to whole characters within 1 KiB, marked; alone it is whole."""
    topic = own_topic()
    order = {"topic": topic, "payload": base64.b64encode(payload).decode(), "encoding": "base64"}
    (stored,) = store(shared, order)
    (details,) = shared.get(f"/topics?details=true&topic={topic}").json()
    last = details["last_message"]
    if kept is None:
        assert last == stored
    else:
        binary = "encoding" in stored
        text = base64.b64encode(kept).decode() if binary else kept.decode()
        assert last == {**stored, "payload": text, "truncated": True}
    assert shared.get(f"/topics/{topic}").json()["last_message"] == stored


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=0", {"limit"}),
        ("details=1", {"details"}),
        ("details=true&details=true", {"details"}),
        ("prefix=", {"prefix"}),
        ("topic=a/%23/b", {"topic"}),
        ("topic=", {"topic"}),
        ("order=asc", {"order"}),
    ],
)
def test_a_wrong_list_query_is_a_422(
    shared: ServiceProcess, query: str, expected: set[str]
) -> None:
    """What is wrong in the query of the list is named."""
    assert faults(shared.get(f"/topics?{query}")) == expected


# -- one topic ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a/b/c",
        "/lead",
        "trail/",
        "a//b",
        "a b",
        "ä/日本/𝄞",
        "50%",
        "%2F",
        "a?b",
        "a&b=c;d",
        "$own/x",
        "wait",
        "a:b@c",
        "'quote\"",
        "\\",
        "a.b/..",
        "messages/payload",
    ],
)
def test_a_topic_is_found_by_its_name(shared: ServiceProcess, name: str) -> None:
    """Slashes, spaces and letters of any script work in the path, escaped or as they are."""
    if name.startswith("$"):
        assert shared.post("/subscribe", {"topic": "$own/#", "qos": 1}).status == 200
    (stored,) = payloads(shared, name, name)
    expected = {
        "topic": name,
        "message_count": 1,
        "first_seen": stored["timestamp"],
        "last_seen": stored["timestamp"],
        "rate_1m": round(1 / 60, 3),
        "last_message": stored,
    }
    for path in {quote(name, safe="/"), quote(name, safe="")}:
        answer = send(shared, "GET", f"/topics/{path}")
        assert answer.status == 200, answer.content
        assert answer.json() == expected
    assert name in shared.get("/topics").json()


def test_a_topic_that_nobody_knows_is_a_404(shared: ServiceProcess) -> None:
    """A topic without a value is a 404; what cannot be a topic name is a 422."""
    topic = own_topic()
    payloads(shared, f"{topic}/a", 1)
    for missing in (topic, f"{topic}/a/", f"/{topic}/a", f"{topic}/A", f"{topic}/%C3%A4"):
        assert send(shared, "GET", f"/topics/{missing}").status == 404
    for wrong in ("", f"{topic}/+", f"{topic}/%2B", "%23", "a%00b", "a%0Ab", "%FF", "%EF%BF%BE"):
        answer = send(shared, "GET", f"/topics/{wrong}")
        assert answer.status == 422, wrong
        assert [fault["path"] for fault in answer.json()["errors"]]
    assert faults(shared.get(f"/topics/{topic}/a?wait=61")) == {"wait"}
    assert faults(shared.get(f"/topics/{topic}/a?wait=-1")) == {"wait"}
    assert faults(shared.get(f"/topics/{topic}/a?wait=soon&limit=1")) == {"wait", "limit"}


def test_the_last_value_survives_pruning_but_not_a_purge(service: ServiceProcess) -> None:
    """When retention has taken a topic's rows its last value stays, over a restart, too."""
    service.start(ready=True, MAX_HISTORY_SIZE="5")
    wait_until_subscribed(service)
    kept = store(
        service,
        {"topic": "slow/a", "payload": "first"},
        {"topic": "slow/a", "payload": "/w==", "encoding": "base64"},
        {"topic": "slow/b", "payload": "b"},
    )
    for number in range(2):
        payloads(service, f"fast/{number}", *range(4))

    def holds() -> None:
        for name, stored, count in (("slow/a", kept[1], 2), ("slow/b", kept[2], 1)):
            answer = service.get(f"/topics/{name}")
            assert answer.status == 200, answer.content
            found = answer.json()
            assert (found["message_count"], found["last_message"]) == (0, stored)
            assert found["last_seen"] == stored["timestamp"]
            assert (found["first_seen"] < found["last_seen"]) is (count > 1)
            assert answer.headers["ETag"] == f'"{epoch(service)}.{stored["id"]}"'
        assert service.get("/topics").json() == ["fast/0", "fast/1"]
        assert service.get("/messages?topic=slow/%23").json() == []

    holds()
    assert service.terminate() == 0
    service.start(ready=True)
    wait_until_subscribed(service)
    holds()
    assert service.request("DELETE", "/messages?topic=slow/a").json()["data"] == {"deleted": 0}
    assert service.get("/topics/slow/a").status == 404
    assert service.get("/topics/slow/b").status == 200
    (new,) = payloads(service, "slow/b", "new")
    found = service.get("/topics/slow/b").json()
    assert (found["message_count"], found["last_message"]) == (1, new)
    assert service.request("DELETE", "/messages?topic=%23").json()["data"] == {"deleted": 5}
    for name in ("slow/b", "fast/0", "fast/1"):
        assert service.get(f"/topics/{name}").status == 404


def test_a_tag_saves_the_answer(shared: ServiceProcess) -> None:
    """With If-None-Match of the present value the answer is a 304 without content."""
    topic = own_topic()
    first, second = payloads(shared, topic, 1, 2)
    answer = shared.get(f"/topics/{topic}")
    tag = answer.headers["ETag"]
    assert tag == f'"{epoch(shared)}.{second["id"]}"'
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = shared.get(f"/topics/{topic}", {"If-None-Match": known})
        assert (answer.status, answer.content) == (304, b""), known
        assert answer.headers["ETag"] == tag
        assert answer.headers["Content-Type"] is None
    old = tag.replace(str(second["id"]), str(first["id"]))
    for other in (old, '"zzzz.1"', tag.strip('"')):
        answer = shared.get(f"/topics/{topic}", {"If-None-Match": other})
        assert (answer.status, answer.json()["last_message"]) == (200, second)
    (third,) = payloads(shared, topic, 3)
    answer = shared.get(f"/topics/{topic}", {"If-None-Match": tag})
    assert (answer.status, answer.json()["last_message"]) == (200, third)


# -- waiting ------------------------------------------------------------------------------------


@contextmanager
def waiting(
    service: ServiceProcess, path: str, headers: dict[str, str] | None = None
) -> Iterator[list[Answer]]:
    """Ask in a thread; the list gets the answer when it comes."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(service.get(path, headers)))
    thread.start()
    try:
        yield answers
    finally:
        thread.join()


@pytest.mark.parametrize("known", [True, False], ids=["a-value", "no-value-yet"])
def test_waiting_gives_the_next_value(shared: ServiceProcess, known: bool) -> None:
    """With `wait` the answer comes with the next value, be there one already or not."""
    topic = own_topic()
    old = payloads(shared, topic, "old") if known else []
    payloads(shared, f"{topic}/other", "x")
    with waiting(shared, f"/topics/{topic}?wait=20") as answers:
        stored = []
        for number in itertools.count():
            payloads(shared, f"{topic}/other", number)
            stored += payloads(shared, topic, number)
            if answers:
                break
    assert answers[0].status == 200, answers[0].content
    found = answers[0].json()["last_message"]
    assert found in stored
    assert found not in old
    assert answers[0].headers["ETag"] == f'"{epoch(shared)}.{found["id"]}"'


def test_waiting_with_a_tag_misses_no_change(shared: ServiceProcess) -> None:
    """Asked again and again with the tag it got, a caller always ends at the newest value."""
    topic = own_topic()
    payloads(shared, topic, "start")
    answer = shared.get(f"/topics/{topic}")
    seen = [answer.json()["last_message"]["id"]]
    enough = threading.Event()

    def publish(payload: str) -> None:
        order = {"topic": topic, "payload": payload, "qos": 1}
        assert shared.post("/publish", order).status == 200

    def pour() -> None:
        while not enough.is_set():
            publish("on the way")
        publish("the end")

    pouring = threading.Thread(target=pour)
    pouring.start()
    while answer.json()["last_message"]["payload"] != "the end":
        tag = answer.headers["ETag"]
        answer = shared.get(f"/topics/{topic}?wait=10", {"If-None-Match": tag})
        assert answer.status == 200, answer.status
        seen.append(answer.json()["last_message"]["id"])
        if len(seen) == 20:
            enough.set()
    pouring.join()
    assert seen == sorted(set(seen)), "each answer is newer than the one before"


def test_a_tag_that_is_old_does_not_wait(shared: ServiceProcess) -> None:
    """Who has another value than the present one gets the present one at once."""
    topic = own_topic()
    (stored,) = payloads(shared, topic, 1)
    began = time.monotonic()
    answer = shared.get(f"/topics/{topic}?wait=20", {"If-None-Match": '"zzzz.1"'})
    assert (answer.status, answer.json()["last_message"]) == (200, stored)
    assert time.monotonic() - began < 10


def test_who_hangs_up_waits_no_more(service: ServiceProcess) -> None:
    """The place of a caller who has left is free at once, not when its time is over."""
    service.start(ready=True, WS_MAX_CONNECTIONS="1")
    payloads(service, "a", 1)
    caller = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    caller.request("GET", "/topics/a?wait=60")

    def status_of_another() -> int:
        return service.get("/topics/a?wait=0.01").status

    def the_caller_waits() -> bool:
        # Who asks whether the place is taken takes it for a moment himself, and the caller may
        # come in just that moment: then it was refused, and has to ask again.
        while select.select([caller.sock], [], [], 0)[0]:
            refused = caller.getresponse()
            assert refused.status == 503, refused.read()
            refused.read()
            caller.request("GET", "/topics/a?wait=60")
        return status_of_another() == 503

    service.wait_for(the_caller_waits)
    caller.close()
    service.wait_for(lambda: status_of_another() == 204)


def test_waiting_in_vain(shared: ServiceProcess) -> None:
    """When no value comes in time the answer is a 304 to a tag and a 204 without one."""
    topic = own_topic()
    payloads(shared, topic, 1)
    tag = shared.get(f"/topics/{topic}").headers["ETag"]
    cases: list[tuple[str, dict[str, str] | None, int]] = [
        (topic, {"If-None-Match": tag}, 304),
        (topic, None, 204),
        (f"{topic}/never", None, 204),
    ]
    for name, headers, status in cases:
        began = time.monotonic()
        answer = shared.get(f"/topics/{name}?wait=0.4", headers)
        assert time.monotonic() - began >= 0.4
        assert (answer.status, answer.content) == (status, b"")
        assert answer.headers["Content-Type"] is None
    answer = shared.get(f"/topics/{topic}?wait=0.1", {"If-None-Match": tag})
    assert answer.headers["ETag"] == tag
    assert shared.get(f"/topics/{topic}?wait=0").status == 204


def test_places_to_wait_are_limited(service: ServiceProcess) -> None:
    """When too many wait, the others are told when to come again, and the place is free later."""
    service.start(ready=True, WS_MAX_CONNECTIONS="1")
    wait_until_subscribed(service)
    path = "/topics/a?wait=20"
    with (
        waiting(service, path) as one,
        waiting(service, path) as two,
        waiting(service, path) as six,
    ):
        service.wait_for(lambda: len(one + two + six) == 2)
        for refused in one + two + six:
            assert refused.status == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["Content-Type"] == "application/problem+json"
        (stored,) = payloads(service, "a", 1)
    (served,) = (answer for answer in one + two + six if answer.status == 200)
    assert served.json()["last_message"] == stored
    assert service.get("/topics/b?wait=0.01").status == 204
