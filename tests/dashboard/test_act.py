"""Publishing, clearing, subscribing: what one does on the page arrives, and faults are said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.dashboard.looking import Look, Plant, own_topic
from tests.mqtt_client import mqtt_client

pytestmark = pytest.mark.needs_chromium


def newest(plant: Plant, topic: str) -> Any:
    """Return the newest message of a topic, or None."""
    found = plant.service.get(f"/messages?topic={topic}&limit=1").json()
    return found[0] if found else None


def test_publish_by_keyboard_with_completion_and_json_check(
    plant: Plant, look: Callable[..., Look]
) -> None:
    """The topic is completed level by level, bad JSON is not sent and says why, good JSON arrives
    at the QoS and with the retain flag that were chosen, and can be picked again."""
    root = own_topic()
    plant.say(f"{root}/oven/setpoint", "1")
    seen = look("#/publish")
    seen.page.locator("#publish-topic").wait_for()
    seen.page.keyboard.press("/")
    seen.page.keyboard.type(root[:-1])
    seen.page.get_by_role("option", name=f"{root}/", exact=True).wait_for()
    seen.page.keyboard.type(root[-1])
    for level in (f"{root}/", f"{root}/oven/", f"{root}/oven/setpoint"):
        seen.page.get_by_role("option", name=level, exact=True).wait_for()
        seen.page.keyboard.press("ArrowDown")
        seen.page.keyboard.press("Enter")
    assert seen.page.locator("#publish-topic").input_value() == f"{root}/oven/setpoint"
    seen.page.locator(".act form .segments").get_by_text("JSON").click()
    seen.page.locator("#publish-payload").fill('{"value": 4')
    seen.wait_text("#publish-check", "Not JSON")
    seen.page.get_by_role("button", name="Publish", exact=True).click()
    assert newest(plant, f"{root}/oven/setpoint")["payload"] == "1"
    seen.page.locator("#publish-payload").fill('{"value": 4}')
    seen.wait_text("#publish-check", "Valid JSON")
    seen.page.locator(".segment[data-value='2']").click()
    seen.page.locator("#publish-payload").press("Control+Enter")
    seen.wait_text(".act .result", "Confirmed by the broker")
    plant.service.wait_for(
        lambda: newest(plant, f"{root}/oven/setpoint")["payload"] == '{"value": 4}'
    )
    seen.page.locator("#publish-payload").fill("other")
    seen.page.locator(".pick", has_text='{"value": 4}').click()
    assert seen.page.locator("#publish-payload").input_value() == '{"value": 4}'
    seen.page.reload()
    seen.page.locator(".pick", has_text=f"{root}/oven/setpoint").wait_for()
    seen.page.get_by_role("button", name="Forget all").click()
    seen.page.locator(".pick").first.wait_for(state="detached")


def test_topics_that_come_late_are_still_suggested(plant: Plant, look: Callable[..., Look]) -> None:
    """Who types before the topics are loaded is shown those that match once they are there."""
    root = own_topic()
    plant.say(f"{root}/setpoint", "1")
    seen = look("#/publish")
    waiting: list[Any] = []
    seen.page.route("**/topics?*", lambda route: waiting.append(route), times=1)
    seen.page.reload()
    seen.page.locator("#publish-topic").fill(root)
    suggestion = seen.page.get_by_role("option", name=f"{root}/", exact=True)
    assert suggestion.count() == 0
    for route in waiting:
        route.continue_()
    suggestion.wait_for()


def test_faults_are_said_in_words(plant: Plant, look: Callable[..., Look]) -> None:
    """What the service refuses is said beside the button; base64 is checked before."""
    seen = look("#/publish?topic=no/%23", expected=("422",))
    seen.page.locator("#publish-payload").fill("x")
    seen.page.get_by_role("button", name="Publish", exact=True).click()
    seen.wait_text(".act .result[data-tone=bad]", "must not contain the wildcards")
    seen.page.locator(".act form .segments").get_by_text("Base64").click()
    seen.wait_text("#publish-check", "Not base64")


def test_a_retained_message_is_cleared(plant: Plant, look: Callable[..., Look]) -> None:
    """Asked twice, and then the broker keeps nothing for the topic."""
    topic = own_topic()
    plant.say(topic, "kept", retain=True)
    seen = look(f"#/topic?t={topic}")
    seen.page.get_by_role("button", name="Clear retained…").click()
    seen.page.get_by_role("button", name="Cancel").click()
    seen.page.get_by_role("button", name="Clear retained…").press("Enter")
    seen.page.get_by_role("button", name="Clear", exact=True).press("Enter")
    seen.wait_text(".toast", f"keeps no message for {topic}")
    seen.wait_text(".value-card .content", "Empty")
    heard = []
    with mqtt_client(plant.broker.port, five=not plant.broker.settings) as client:
        client.on_message = lambda *found: heard.append(found[-1].topic)
        client.subscribe(topic, 1)
        client.subscribe(f"{topic}/end", 1)
        client.publish(f"{topic}/end", "x", qos=1)
        plant.service.wait_for(lambda: f"{topic}/end" in heard)
    assert topic not in heard


def test_a_question_is_not_taken_away(look: Callable[..., Look]) -> None:
    """There is nothing to clear before the topic is known, and what is learnt of it while one is
    asked leaves the question open; another topic closes it."""
    seen = look()
    states = seen.run(
        """async () => {
          const { TopicActions } = await import('./dashboard/views/topic_actions.js');
          const session = { may: () => true, caller: { publish: ['#'] } };
          const actions = new TopicActions({ session });
          const states = [];
          const note = () => states.push([!actions.clear.hidden, !actions.sure.hidden]);
          note();
          actions.show('a', false);
          note();
          actions.clear.click();
          actions.shown = undefined; // as after anything that changes
          actions.show('a', false);
          note();
          actions.show('b', false);
          note();
          return states;
        }"""
    )
    assert states == [[False, False], [True, False], [False, True], [True, False]]


def test_subscribe_and_unsubscribe(plant: Plant, look: Callable[..., Look]) -> None:
    """A filter is added and let go; what still covers it is said; a bad one is refused in words."""
    root = own_topic()
    seen = look("#/publish", expected=("422",))
    card = seen.page.locator("section[aria-label=Subscriptions]")
    card.get_by_label("Topic filter").fill(f"{root}/+/x")
    card.get_by_role("button", name="Subscribe", exact=True).click()
    card.locator(".entry", has_text=f"{root}/+/x").wait_for()
    assert f"{root}/+/x" in [one["topic"] for one in plant.service.get("/subscriptions").json()]
    card.get_by_role("button", name=f"Unsubscribe from {root}/+/x").click()
    seen.wait_text(".act .result", "# still brings its messages")
    card.locator(".entry", has_text=root).wait_for(state="detached")
    card.get_by_label("Topic filter").fill("a/#/b")
    card.get_by_role("button", name="Subscribe", exact=True).click()
    seen.wait_text(".act .result[data-tone=bad]", "The filter")
