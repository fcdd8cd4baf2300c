"""How often a caller may ask, over HTTP and WebSocket, and what it is told."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from http.client import HTTPConnection

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from tests.guarded.asking import Launch, ask, bearer, key_of, websocket, write_keys
from tests.service_process import Answer, ServiceProcess

LIMIT = 50
# So long that no test is slow enough for its beginning to be forgotten, and what passes soon.
LONG_S, SHORT_S = 60.0, 2.0
RATE = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"}


def rate_headers(answer: Answer | HTTPResponse) -> set[str]:
    """Return which of the three headers an answer has; case does not matter in HTTP."""
    return RATE & {name.lower() for name in answer.headers}


def limited(launch: Launch, window_s: float) -> ServiceProcess:
    """Start a service that allows 50 requests in a window to each key or address."""
    directory = launch.new_directory()
    write_keys(directory / "keys.json", one={"scopes": ["read"]}, other={"scopes": ["read"]},
               left={"scopes": ["read", "publish", "subscribe"]},
               commands={"scopes": ["read", "publish", "subscribe"]},
               root={"scopes": ["read", "publish", "subscribe"]})  # fmt: skip
    return launch(
        headers=bearer(key_of("root")),
        directory=directory,
        RATE_LIMIT_REQUESTS=str(LIMIT),
        RATE_LIMIT_WINDOW=str(window_s),
        TRUSTED_PROXIES="127.0.0.1",
        API_KEY_REQUIRED="true",
        API_KEYS_FILE=str(directory / "keys.json"),
    )


@pytest.fixture(scope="module")
def service(launch: Launch) -> ServiceProcess:
    """A service that forgets nothing while the tests run: each has a key or address of its own."""
    return limited(launch, LONG_S)


@pytest.fixture(scope="module")
def forgetful(launch: Launch) -> ServiceProcess:
    """A service whose window is soon over."""
    return limited(launch, SHORT_S)


def use_up(service: ServiceProcess, headers: dict[str, str], target: str = "/whoami") -> Answer:
    """Ask until it is refused; return the refusal. On one connection, to be quick."""
    with closing(HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
        for _ in range(3 * LIMIT):
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as answer:
                found = Answer(answer.status, answer.headers, answer.read())
            if found.status == 429:
                return found
    raise AssertionError("it was never refused")


def check_refusal(answer: Answer, window_s: float = LONG_S) -> int:
    """Check a refusal; return after how many seconds the caller may come again."""
    assert answer.status == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["RateLimit-Limit"] == str(LIMIT)
    assert answer.headers["RateLimit-Remaining"] == "0"
    assert 0 < int(answer.headers["RateLimit-Reset"]) <= math.ceil(1.1 * window_s)
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= math.ceil(1.1 * window_s)
    return seconds


async def test_ten_times_too_many_get_the_limit_in_every_window(forgetful: ServiceProcess) -> None:
    """Whoever asks ten times as often as allowed gets the limit in any sliding window, within
    2 %, and never more; every refusal says when to come again."""
    client = AsyncHTTPClient(force_instance=True, max_clients=50)
    pace_s, asked, refused = SHORT_S / (10 * LIMIT), 0, 0

    async def one(number: int) -> None:
        nonlocal refused
        headers = {"X-Forwarded-For": "10.3.0.1", "X-Request-Id": f"tenfold-{number}"}
        answer = await client.fetch(
            HTTPRequest(f"{forgetful.url}/", headers=headers), raise_error=False
        )
        if answer.code != 200:
            refused += 1
            assert answer.code == 429
            assert int(answer.headers["Retry-After"]) >= 1
        assert rate_headers(answer) == RATE

    begun = time.monotonic()
    running: set[asyncio.Task[None]] = set()
    while (now := time.monotonic() - begun) < 3.6 * SHORT_S:
        while asked * pace_s < now:
            asked += 1
            running.add(asyncio.create_task(one(asked)))
        await asyncio.sleep(pace_s)
    await asyncio.gather(*running)
    client.close()
    assert refused > 8 * 3.6 * LIMIT
    accepted = sorted(accepted_at(forgetful.log()))
    for start in accepted:
        inside = sum(start <= at < start + SHORT_S - LOG_SLACK_S for at in accepted)
        assert inside <= LIMIT * 1.02, f"{inside} from {start - accepted[0]:.3f} s on"
    for number in range(3):
        start = accepted[0] + number * SHORT_S
        inside = sum(start <= at < start + SHORT_S + LOG_SLACK_S for at in accepted)
        assert inside >= LIMIT * 0.98, f"{inside} in window {number}"


# A log line has milliseconds, and is written a moment after the request was counted.
LOG_SLACK_S = 0.02


def accepted_at(log: str) -> Iterator[float]:
    """Yield when each request of the test was let through, by the clock of the service."""
    for line in log.splitlines():
        if " id=tenfold-" in line and " GET / 200 " in line:
            yield datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()


def test_retry_after_is_true(forgetful: ServiceProcess) -> None:
    """Who waits as long as it was told gets an answer."""
    headers = {**bearer(key_of("one")), "X-Forwarded-For": "10.3.0.2"}
    seconds = check_refusal(use_up(forgetful, headers), SHORT_S)
    time.sleep(seconds)  # the wait that was asked for is what is tried
    assert ask(forgetful, "GET", "/whoami", headers=headers).status == 200


def test_it_is_counted_by_key_else_by_address(service: ServiceProcess) -> None:
    """A key is counted wherever it comes from, and another key at the same address apart;
    without a key it is the address, as far as the proxies are trusted."""
    here, there = {"X-Forwarded-For": "10.3.0.3"}, {"X-Forwarded-For": "10.3.0.4"}
    check_refusal(use_up(service, {**bearer(key_of("one")), **here}))
    for headers, status in (
        ({**bearer(key_of("one")), **there}, 429),
        ({"X-API-Key": key_of("one"), **there}, 429),
        ({**bearer(key_of("other")), **here}, 200),
    ):
        assert ask(service, "GET", "/whoami", headers=headers).status == status
    check_refusal(use_up(service, {"X-Forwarded-For": "10.3.0.5"}, "/"))
    for forwarded, status in (
        ("10.3.0.5", 429),
        ("1.2.3.4, 10.3.0.5", 429),  # what the caller wrote itself is not believed
        ("10.3.0.5, 10.3.0.6", 200),
        ("10.3.0.5, 127.0.0.1", 429),
        ("10.3.0.7", 200),
    ):
        headers = {"X-Forwarded-For": forwarded}
        assert ask(service, "GET", "/", headers=headers).status == status, forwarded
    check_refusal(use_up(service, {"X-Forwarded-For": "2001:db8:1:2::1"}, "/"))
    for forwarded, status in (("2001:db8:1:2:ffff::9", 429), ("2001:db8:1:3::1", 200)):
        headers = {"X-Forwarded-For": forwarded}
        assert ask(service, "GET", "/", headers=headers).status == status, forwarded


def test_without_trusted_proxies_forwarding_is_not_believed(launch: Launch) -> None:
    """Nobody gets a fresh allowance by making up addresses."""
    service = launch(RATE_LIMIT_REQUESTS="30", RATE_LIMIT_WINDOW="60")
    for number in range(60):
        headers = {"X-Forwarded-For": f"10.4.0.{number}"}
        last = ask(service, "GET", "/", headers=headers)
    assert last.status == 429
    assert 1 <= int(last.headers["Retry-After"]) <= 61


def test_limited_answers_say_what_is_left(service: ServiceProcess) -> None:
    """Every answer that counts has the three headers, an error and a 304 as well."""
    headers = {**bearer(key_of("left")), "X-Forwarded-For": "10.3.0.8"}
    for method, target, status in (
        ("GET", "/whoami", 200),
        ("HEAD", "/whoami", 200),
        ("GET", "/messages/999999", 404),
        ("GET", "/messages?limit=0", 422),
        ("DELETE", "/messages?before=1", 403),
        ("GET", "/docs", 200),
        ("GET", "/export", 200),
        ("POST", "/ws/ticket", 200),
    ):
        answer = ask(service, method, target, headers=headers)
        assert answer.status == status
        assert rate_headers(answer) == RATE, (method, target)
        assert answer.headers["RateLimit-Limit"] == str(LIMIT)
        assert 0 <= int(answer.headers["RateLimit-Remaining"]) < LIMIT
    unkeyed = ask(service, "GET", "/stats", headers={"X-Forwarded-For": "10.3.0.8"})
    assert (unkeyed.status, rate_headers(unkeyed)) == (401, RATE)


def test_health_is_never_limited(service: ServiceProcess) -> None:
    """A supervisor always gets an answer, and one that costs nothing."""
    headers = {"X-Forwarded-For": "10.3.0.9"}
    check_refusal(use_up(service, headers, "/"))
    for path in ("/health", "/health/live", "/health/ready"):
        answer = ask(service, "GET", path, headers=headers)
        assert answer.status == 200
        assert not rate_headers(answer)
    other = {"X-Forwarded-For": "10.3.0.10"}
    for _ in range(2 * LIMIT):
        assert ask(service, "GET", "/health", headers=other).status == 200
    assert int(ask(service, "GET", "/", headers=other).headers["RateLimit-Remaining"]) == LIMIT - 1


def test_a_batch_costs_its_messages(launch: Launch) -> None:
    """A batch counts as many requests as it has messages; one that never fits is a 422, and
    what was refused was not published."""
    service = launch(RATE_LIMIT_REQUESTS="50", RATE_LIMIT_WINDOW="60")

    def batch(count: int) -> Answer:
        listed = [{"topic": "rates/batch", "payload": number} for number in range(count)]
        return ask(service, "POST", "/publish/batch", {"messages": listed})

    left = int(ask(service, "GET", "/").headers["RateLimit-Remaining"])
    answer = batch(20)
    assert (answer.status, answer.headers["RateLimit-Remaining"]) == (200, str(left - 20))
    refused = batch(left - 10)
    assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (429, True)
    never = batch(51)
    assert never.status == 422
    assert "50" in never.json()["detail"]
    assert "Retry-After" not in never.headers
    service.wait_for(lambda: _count(service) >= 20)
    assert _count(service) == 20


def _count(service: ServiceProcess) -> int:
    log = service.directory / "history.db"
    import sqlite3

    with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as database:
        found = database.execute("select count(*) from history where topic = 'rates/batch'")
        count: int = found.fetchone()[0]
    database.close()
    return count


def test_commands_count_and_get_an_error_result(service: ServiceProcess) -> None:
    """Commands on a WebSocket count like requests, also wrong ones; over the limit each gets a
    result with 429 and nothing is done; the connection lives, and a ping costs nothing."""
    headers = {**bearer(key_of("commands")), "X-Forwarded-For": "10.3.0.11"}
    with websocket(service, "?topic=none", headers) as socket:
        for number in range(LIMIT // 2):
            socket.command(action="filter", topics=["none"], request_id=number)
            socket.command(action="filter", topics=[], request_id=number)
        statuses = [socket.answer()["status"] for _ in range(LIMIT)]
        assert statuses[:10] == [200, 422] * 5
        assert statuses.count(200) + statuses.count(422) <= LIMIT
        for number in range(20):
            socket.command(action="publish", topic="rates/over", payload=1, request_id=number)
            answer = socket.answer()
            assert (answer["ok"], answer["status"], answer["request_id"]) == (False, 429, number)
            assert "requests" in answer["detail"]
        for _ in range(10):
            socket.command(action="ping")
            assert socket.answer() == {"type": "pong"}
        check_refusal(ask(service, "GET", "/whoami", headers=headers))
    assert "'rates/over' over /ws: 429" in service.log()


def test_no_limit_means_no_headers(launch: Launch) -> None:
    """RATE_LIMIT_ENABLED=false lifts the limit altogether."""
    service = launch(RATE_LIMIT_ENABLED="false", RATE_LIMIT_REQUESTS="1")
    for _ in range(20):
        answer = ask(service, "GET", "/")
        assert (answer.status, rate_headers(answer)) == (200, set())
