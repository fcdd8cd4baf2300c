"""Health at a glance, what is wrong and what to do, and keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.looking import Look, Plant, own_topic, plant_in
from tests.guarded.asking import bearer, key_of, write_keys

pytestmark = pytest.mark.needs_chromium
REFUSED = ("401", "403", "WebSocket connection to")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A service that wants keys, on a broker that a test may stop."""
    directory = tmp_path_factory.mktemp("locked")
    write_keys(
        directory / "keys.json",
        all={"scopes": ["read", "publish", "subscribe"]},
        eyes={"scopes": ["read"], "read": ["open/#"]},
        mouth={"scopes": ["publish"]},
    )
    keys = str(directory / "keys.json")
    with plant_in(directory, API_KEY_REQUIRED="true", API_KEYS_FILE=keys) as running:
        yield running


def enter_key(seen: Look, name: str) -> None:
    """Type a key into the dialog that is open."""
    seen.page.locator("dialog #key").fill(key_of(name))
    seen.page.locator("dialog").get_by_role("button", name="Use key").click()


def publish(plant: Plant, *topics: str) -> None:
    """Have one message published to each topic."""
    for topic in topics:
        order = {"topic": topic, "payload": "1", "qos": 1}
        answer = plant.service.request("POST", "/publish", order, bearer(key_of("all")))
        assert answer.status == 200, answer.content


def test_the_figures_are_those_of_the_service(plant: Plant, look: Callable[..., Look]) -> None:
    """Broker, history, rate, messages, queue, database, retention and readers, and they follow."""
    seen = look("#/health")
    seen.wait_text(".verdict", "Everything works")
    card = seen.page.locator(".card[data-card=messages] .figure")
    plant.say(own_topic(), "1")
    number = f"{plant.count():,}"
    seen.page.locator(".card[data-card=messages] .figure").get_by_text(
        number, exact=True
    ).wait_for()
    assert card.inner_text() == number
    texts = {
        name: seen.page.locator(f".card[data-card={name}]").inner_text()
        for name in ("broker", "history", "rate", "queue", "database", "readers", "uptime")
    }
    assert "Connected" in texts["broker"] and "Storing" in texts["history"]
    assert "/s" in texts["rate"] and "iB" in texts["database"] and "all live" in texts["readers"]
    seen.wait_text(".columns .facts", "no limit")


def test_a_key_is_asked_for_and_stays_in_the_tab(locked: Plant, look: Callable[..., Look]) -> None:
    """Without a key the page asks; a wrong one is refused in words; the right one opens everything,
    survives a reload, is in no address, and is gone from another tab."""
    seen = look(url=locked.service.url, expected=REFUSED)
    seen.page.locator("dialog[open]").wait_for()
    assert seen.run("() => document.activeElement.id") == "key"
    assert seen.page.locator("main > *:visible").count() == 0
    enter_key(seen, "nobody")
    seen.wait_text("dialog .fault", "wrong or has expired")
    seen.page.keyboard.press("Escape")
    seen.page.get_by_role("button", name="Enter key").click()
    assert seen.page.locator("dialog .fault").inner_text() == ""
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(request.url))
    seen.page.on("websocket", lambda socket: asked.append(socket.url))
    enter_key(seen, "all")
    seen.page.locator("dialog[open]").wait_for(state="detached")
    seen.wait_text(".dot", "Live")
    seen.page.reload()
    seen.wait_text(".dot", "Live")
    seen.wait_text(".who", "all")
    seen.go("live")
    seen.wait_text(".live .foot", "Following")
    assert len(asked) > 10 and not [url for url in asked if key_of("all") in url]
    assert seen.run("() => Object.values(localStorage).join()") == ""
    assert key_of("all") not in locked.service.log()
    other = look(url=locked.service.url, expected=REFUSED)
    other.page.locator("dialog[open]").wait_for()


def test_a_wrong_key_does_not_cost_the_right_one(locked: Plant, look: Callable[..., Look]) -> None:
    """Who mistypes another key goes on with the one that works: nothing is gone from the page, and
    after a reload it is still there."""
    publish(locked, "open/kept")
    seen = look("#/topics", url=locked.service.url, expected=REFUSED)
    enter_key(seen, "all")
    seen.row("kept").wait_for()
    seen.page.get_by_role("button", name="API key").click()
    enter_key(seen, "nobody")
    seen.wait_text("dialog .fault", "wrong or has expired")
    assert seen.run("() => document.activeElement.id") == "key"
    assert seen.page.locator(".who").inner_text() == "all"
    assert seen.row("kept").count() == 1, "not even for the moment of the question"
    seen.page.keyboard.press("Escape")
    publish(locked, "open/later")
    seen.row("later").wait_for()
    seen.page.reload()
    seen.row("kept").wait_for()
    seen.wait_text(".who", "all")


def test_nothing_stays_for_who_comes_with_another_key(
    locked: Plant, look: Callable[..., Look]
) -> None:
    """What one key showed is gone with the next one, and without any: tree, topic, log, figures."""
    publish(locked, "open/x", "closed/secret")
    seen = look("#/topic?t=closed/secret", url=locked.service.url, expected=REFUSED)
    enter_key(seen, "all")
    seen.wait_text(".value-card .content", "1")
    seen.wait_text(".topic .summary", "message")
    seen.row("secret").wait_for()
    seen.page.get_by_role("button", name="API key").click()
    enter_key(seen, "eyes")
    seen.wait_text(".who", "eyes")
    seen.row("x").wait_for()
    seen.wait_text(".value-card .content", "has no message of this topic")
    assert seen.row("secret").count() == 0
    assert "message" not in seen.page.locator(".topic .head .summary").inner_text()
    seen.go("topics")
    seen.page.get_by_role("button", name="API key").click()
    seen.page.get_by_role("button", name="Forget key").click()
    seen.wait_text(".banner", "A key is needed")
    assert seen.page.locator("main > *:visible").count() == 0
    seen.page.get_by_role("button", name="API key").click()
    enter_key(seen, "mouth")
    seen.wait_text(".banner", "mouth may not read")
    seen.wait_text(".dot", "May not read")
    assert seen.page.locator("main > *:visible").count() == 0


def test_what_a_key_may_not_do_is_not_there(locked: Plant, look: Callable[..., Look]) -> None:
    """A key that only reads sees its own topics and can neither publish nor subscribe; one that
    only publishes is told so."""
    publish(locked, "open/x", "closed/y")
    seen = look("#/topic?t=open/x", url=locked.service.url, expected=REFUSED)
    enter_key(seen, "eyes")
    seen.wait_text(".value-card .content", "1")
    assert seen.row("closed").count() == 0
    assert not seen.page.locator(".actions a", has_text="Publish").is_visible()
    assert not seen.page.get_by_role("button", name="Clear retained…").is_visible()
    seen.go("publish")
    seen.wait_text(".act .note", "Your key may not publish")
    assert not seen.page.get_by_role("button", name="Subscribe", exact=True).is_visible()
    assert not seen.page.locator("#publish-topic").is_visible()
    mute = look("#/publish", url=locked.service.url, expected=REFUSED)
    enter_key(mute, "mouth")
    mute.wait_text(".banner", "mouth may not read")
    mute.page.locator("#publish-topic").fill("open/x")
    mute.page.locator("#publish-payload").fill("from the mouth")
    mute.page.get_by_role("button", name="Publish", exact=True).click()
    mute.wait_text(".act .result", "Confirmed")


def test_a_banner_says_what_is_wrong_and_what_to_do(
    locked: Plant, look: Callable[..., Look]
) -> None:
    """The broker goes: banner, header and figures say so, with advice; it comes: all is well."""
    seen = look("#/health", url=locked.service.url, expected=REFUSED)
    enter_key(seen, "all")
    seen.wait_text(".verdict", "Everything works")
    locked.broker.stop()
    seen.wait_text(".banner", "Not connected to the MQTT broker")
    seen.wait_text(".banner", "MQTT_BROKER_HOST")
    seen.wait_text(".card[data-card=broker]", "Away")
    seen.wait_text(".dot", "Broker away")
    locked.broker.start()
    seen.wait_text(".verdict", "Everything works")
    seen.page.locator(".banner").wait_for(state="hidden")


def test_the_light_is_not_green_while_nothing_can_be_stored(
    small: Plant, look: Callable[..., Look]
) -> None:
    """The stream lives on while the history is degraded; the header says that all is not well."""
    seen = look("#/health", url=small.service.url)
    seen.wait_text(".dot", "Live")
    light = "() => getComputedStyle(document.querySelector('.dot'), '::before').backgroundColor"
    green = seen.run(light)
    with closing(sqlite3.connect(small.service.database, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        small.service.post("/publish", {"topic": own_topic(), "payload": "1", "qos": 1})
        seen.wait_text(".dot", "Degraded")
        assert seen.run(light) != green
        stranger.execute("ROLLBACK")
    seen.wait_text(".dot", "Live")
    assert seen.run(light) == green


def test_every_reason_of_the_service_has_advice(look: Callable[..., Look], tmp_path: Path) -> None:
    """What /health may give as a reason comes with something that one can do about it."""
    reasons = [
        "not connected to the MQTT broker: Connection refused",
        "not connected to the MQTT broker: not authorised",
        "the disk is full",
        "messages cannot be stored: OSError",
        "the broker's thread has made no progress for 40 s",
        "the subscription to $SYS/# is not held: refused",
        "the database was damaged and moved to history.db.damaged",
    ]
    seen = look()
    advice: list[Any] = seen.run(
        """async (reasons) => {
          const { adviceFor } = await import('./dashboard/model/advice.js');
          return reasons.map(adviceFor);
        }""",
        reasons,
    )
    assert all(len(one) > 30 for one in advice), advice
    assert len(set(advice)) == len(advice)
