"""No answer shows a narrowed key what it may not see: not a message, a count or an id."""

from __future__ import annotations

import json
import re

import pytest

from tests.guarded.asking import ask, bearer, key_of
from tests.guarded.authorised import OPEN_TOPIC, SECRET_TOPIC, all_messages, leaks
from tests.service_process import ServiceProcess

QUESTIONS = (
    "/messages",
    "/messages?topic=%23",
    "/messages?topic=hidden/%23",
    "/messages?topic=+/%23&topic=open/%23",
    "/messages?order=asc&after=0&limit=2",
    "/messages?limit=2",
    "/messages?contains=class",
    "/messages?format=csv",
    "/messages?format=ndjson",
    "/messages?offset=3",
    "/messages?since=24h&qos=1",
    "/topics",
    "/topics?topic=hidden/%23",
    "/topics?prefix=hid",
    "/topics?details=true",
    "/topics?details=true&limit=1",
    "/topics?limit=1",
    f"/topics/{OPEN_TOPIC}",
    "/stats",
    "/metrics",
    f"/series?topic={OPEN_TOPIC}",
    "/export",
    "/export?format=csv",
    "/export?format=csv&raw=true&topic=hidden/%23",
    "/subscriptions",
    "/whoami",
    "/health",
    "/",
)


@pytest.mark.parametrize("caller", ["narrow", "reader"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_no_answer_shows_a_forbidden_topic(
    secretive: ServiceProcess, question: str, caller: str
) -> None:
    """However it is asked, and however far its Links are followed, nothing forbidden shows."""
    target, seen = question, set[str]()
    while target and target not in seen:
        seen.add(target)
        answer = ask(secretive, "GET", target, headers=bearer(key_of(caller)))
        assert answer.status == 200
        assert not leaks(answer.content + str(answer.headers).encode()), target
        following = re.search("<(.+?)>", answer.headers.get("Link", ""))
        target = "/" + following.group(1) if following else ""
    if question in ("/messages", "/topics", "/stats", "/export"):
        assert b"open/press" in answer.content
    whole = ask(secretive, "GET", question, headers=bearer(key_of("everything")))
    if question in ("/messages", "/topics?prefix=hid", "/stats", "/export", "/subscriptions"):
        assert leaks(whole.content), "this question would show nothing to anybody"


def test_counts_are_those_of_what_may_be_seen(secretive: ServiceProcess) -> None:
    """The counters of /stats tell a narrowed key nothing of other topics."""
    narrow = ask(secretive, "GET", "/stats", headers=bearer(key_of("reader"))).json()
    listed = ask(secretive, "GET", "/messages?limit=10000", headers=bearer(key_of("reader"))).json()
    assert narrow["total_messages"] == narrow["recent_messages"] == len(listed)
    assert narrow["unique_topics"] == len({one["topic"] for one in listed})
    assert set(narrow["topic_counts"]) == {one["topic"] for one in listed}
    assert narrow["broker"] is None
    assert not narrow.keys() & {"received_total", "stored_total", "database_bytes"}


def test_metrics_are_totals_for_every_reader(secretive: ServiceProcess) -> None:
    """/metrics needs the scope `read` and no topic: a scraper's key that sees none gets the same
    families as an administrator's, and no label or value of them comes from outside."""
    scraped = {}
    for caller in ("blind", "reader", "everything"):
        answer = ask(secretive, "GET", "/metrics", headers=bearer(key_of(caller)))
        assert answer.status == 200
        assert not leaks(answer.content)
        text = answer.content.decode()
        assert not re.search(r"open/|hidden|guarded-|everything|10\.1\.", text), text
        scraped[caller] = set(re.findall(r"(?m)^# TYPE (\w+)", text))
        labels = set(re.findall(r"(?m)^\w+{(.+)} ", text))
        ours = (
            r'(cause|place)="[a-z0-9_]+"|handler="[a-z/{}._]+"|method="[A-Z]+"'
            r'|(status|le|version)="[0-9.+Inf]+"'
        )
        for label in (one for pairs in labels for one in re.split(r",(?=[a-z])", pairs)):
            assert re.fullmatch(ours, label), label
    assert scraped["blind"] == scraped["reader"] == scraped["everything"] != set()
    for question in ("/messages", "/topics"):
        assert ask(secretive, "GET", question, headers=bearer(key_of("blind"))).json() == []


def test_ids_of_forbidden_messages_are_not_found(secretive: ServiceProcess) -> None:
    """No id can be tried out: forbidden messages are as absent as those never given out."""
    for one in all_messages(secretive):
        for path in (f"/messages/{one['id']}", f"/messages/{one['id']}/payload"):
            answer = ask(secretive, "GET", path, headers=bearer(key_of("reader")))
            assert answer.status == (200 if one["topic"].startswith("open/") else 404)
            assert not leaks(answer.content)
    absent = ask(secretive, "GET", "/messages/999999999", headers=bearer(key_of("reader"))).json()
    secret = next(one["id"] for one in all_messages(secretive) if one["topic"] == SECRET_TOPIC)
    hidden = ask(secretive, "GET", f"/messages/{secret}", headers=bearer(key_of("reader"))).json()
    for found in (absent, hidden):
        del found["request_id"]
    assert json.dumps(hidden) == json.dumps(absent).replace("999999999", str(secret))


def test_a_narrowed_purge_removes_only_what_may_be_seen(secretive: ServiceProcess) -> None:
    """An administrator of some topics cannot purge the others. (The last: it empties them.)"""
    hidden = [one for one in all_messages(secretive) if not one["topic"].startswith("open/")]
    answer = ask(
        secretive, "DELETE", "/messages?before=99999999999", headers=bearer(key_of("narrow"))
    )
    assert answer.status == 200
    assert answer.json()["data"]["deleted"] > 0
    left = all_messages(secretive)
    assert [one["id"] for one in left if not one["topic"].startswith("open/")] == [
        one["id"] for one in hidden
    ]
    assert not [one for one in left if one["topic"].startswith("open/")]
