"""schemathesis reads the served document and asks whatever it allows, and what it does not."""

from __future__ import annotations

import copy
import re
import time
from collections import Counter
from collections.abc import Iterator
from email.message import Message as Headers
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from store.topics import InvalidTopic, check_filter, check_name
from tests.guarded.asking import Launch
from tests.guarded.documents import OpenApiJudge
from tests.service_process import Answer, ServiceProcess

CASES = 5_000
RIGHT, WRONG = 285, 90
"""Cases of each operation that are as the document says, and that are not."""
OTHERWISE = {"/request": 80, "/messages/{id}": 400, "/messages/{id}/payload": 400}
SHORT_S = 0.01
IDLE_S = 3.0
TWICE_A_URL = 2 * 8 * 1024
CAREFUL = settings(
    database=None,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# Streams do not end, and a backup is large: these have tests of their own.
SKIPPED = {"/events", "/ws", "/backup"}
# Waiting for an answer is no fault: the caller said how long, up to a minute.
AWAY = {502, 503, 504}
LEVELS = st.text(st.sampled_from("abü+#$/ \U0001f600"), min_size=1, max_size=12)


def _is(check: Any, text: str) -> bool:
    try:
        check(text)
    except InvalidTopic:
        return False
    return True


MOMENTS = st.sampled_from(["15m", "24h", "0", "1795428245", "2026-11-23", "2026-11-23T10:04:05Z",
                           "2026-11-23T10:04:05.5+01:00", "2099-01-01"])  # fmt: skip
FORMATS = {
    "topic-name": LEVELS.filter(lambda text: _is(check_name, text)),
    "publish-topic": LEVELS.filter(lambda text: _is(check_name, text) and text[0] != "$"),
    "topic-filter": LEVELS.filter(lambda text: _is(check_filter, text)),
    "position": st.integers(0, 10**6).map(str),
    "moment": MOMENTS,
    "moment-or-all": MOMENTS | st.just("all"),
    "mqtt-text": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    "base64": st.sampled_from(["", "AP8=", "AAAA", "/+8="]),
}


@pytest.fixture(scope="module")
def service(launch: Launch) -> Iterator[ServiceProcess]:
    """A service that limits nobody, with little to read."""
    started = launch(
        RATE_LIMIT_ENABLED="false",
        MAX_HISTORY_SIZE="300",
        MQTT_SUBSCRIPTIONS="#",
        QUERY_TIMEOUT="5",
        LOG_LEVEL="WARNING",
    )
    yield started
    assert started.get("/health").json()["mqtt_connected"]


def load(document: dict[str, Any]) -> Any:
    """Return the served document as schemathesis sees it, without what takes long by order."""
    for name, strategy in FORMATS.items():
        schemathesis.openapi.format(name, strategy)
    document = copy.deepcopy(document)
    request = document["components"]["schemas"]["Request"]
    request["properties"]["timeout"]["maximum"] = SHORT_S
    request["required"].append("timeout")
    one_topic = document["paths"]["/topics/{topic}"]["get"]
    one_topic["parameters"] = [one for one in one_topic["parameters"] if one["name"] != "wait"]
    return schemathesis.openapi.from_dict(document)


def would_wait(case: Any) -> bool:
    """Whether a request would wait long for its reply: that is no fault, and tells nothing."""
    if case.path != "/request" or not isinstance(case.body, dict):
        return False
    timeout = case.body.get("timeout", 5)
    return isinstance(timeout, int | float) and SHORT_S < timeout <= 60


def can_be_wrong(operation: Any) -> bool:
    """Whether there is something beside the path that a case could get wrong."""
    return bool(operation.query or operation.headers or operation.body)


def test_thousands_of_cases_find_nothing(service: ServiceProcess) -> None:
    """At least 5,000 cases made from the document, valid and invalid, are answered as it says:
    declared statuses, bodies that validate, every error a problem, no fault of ours."""
    document = service.get("/openapi.json").json()
    judge = OpenApiJudge(document)
    asked, statuses = Counter[str](), Counter[int]()
    session = requests.Session()
    session.trust_env = False

    def ask(case: Any) -> None:
        if would_wait(case):
            return
        made = case.as_transport_kwargs(base_url=service.url)
        nonlocal last
        if time.monotonic() - last > IDLE_S:
            session.close()  # the service has hung up while the next case was thought out
        last = time.monotonic()
        asked[f"{case.method} {case.path}"] += 1
        request = session.prepare_request(requests.Request(**made))
        try:
            got = session.send(request, allow_redirects=False, timeout=30)
        except requests.ConnectionError:
            statuses[0] += 1  # far beyond the limit of a URL the service may just hang up
            assert len(request.path_url) > TWICE_A_URL, request.path_url
            return
        headers = Headers()
        for name, text in got.headers.items():
            headers[name] = text
        answer = Answer(got.status_code, headers, got.content)
        statuses[answer.status] += 1
        where = f"{got.request.method} {got.request.url} {str(got.request.body)[:300]}"
        assert answer.status < 500 or answer.status in AWAY, (where, answer.content)
        wanted = re.sub(r"\\{\w+\\}", ".+", re.escape(case.path))
        if not re.fullmatch(wanted, got.request.path_url.partition("?")[0]):
            # The client took `..` or nothing out of the path: it is another one.
            if answer.status >= 400:
                judge.check_problem(answer)
            return
        try:
            judge.check(case.method, case.path, answer)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from None

    begun = last = time.monotonic()
    for found in load(document).get_all_operations():
        operation = found.ok()
        if operation.path in SKIPPED:
            continue
        modes = {GenerationMode.POSITIVE: OTHERWISE.get(operation.path, RIGHT)}
        if can_be_wrong(operation):
            modes[GenerationMode.NEGATIVE] = WRONG
        for mode, count in modes.items():
            run = given(operation.as_strategy(generation_mode=mode))(ask)
            settings(CAREFUL, max_examples=count)(run)()
    took_s = time.monotonic() - begun
    print(f"{asked.total()} cases in {took_s:.0f} s: {dict(sorted(statuses.items()))}")
    assert asked.total() >= CASES, asked
    assert min(asked[f"{method} {path}"] for method, path, _ in judge.operations()
               if path not in SKIPPED) > 0  # fmt: skip
    assert {200, 422} <= set(statuses)
    assert service.process is not None
    assert service.process.poll() is None
