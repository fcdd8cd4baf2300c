"""Retained messages, reconnects and overlapping filters: each message is stored once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mqtt_client import mqtt_client
from tests.relay import relay_to
from tests.reliability.scale import Scale
from tests.service.talking import history, listen_bare, wait_until_subscribed
from tests.service_process import ServiceProcess

TOPICS = 100
# Each covers what no other covers, so the broker holds all three, and sends up to three copies.
FILTERS = "plant/line1/#,plant/+/temp/#,+/line1/temp/+"


@pytest.mark.needs_mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_retained_messages_and_overlapping_filters(
    service: ServiceProcess, broker: Any, scale: Scale, protocol: str
) -> None:
    """100 retained topics, reconnects and three overlapping filters: 100 rows, and one copy of
    each live message, in the history and for a reader."""
    with mqtt_client(broker.port) as device, relay_to(broker.port) as relay:
        for number in range(TOPICS):
            sent = device.publish(f"plant/line1/temp/{number}", str(number), qos=1, retain=True)
        sent.wait_for_publish(10)
        service.start(
            MQTT_BROKER_PORT=str(relay.port),
            MQTT_PROTOCOL=protocol,
            MQTT_SUBSCRIPTIONS=FILTERS,
            MAX_HISTORY_SIZE="0",
        )
        wait_until_subscribed(service)
        service.wait_for(lambda: service.get("/health").json()["message_count"] >= TOPICS)
        live: list[str] = []
        with listen_bare(service) as reader:
            reader.next("welcome")
            for number in range(scale.reconnects):
                before = relay.let_in
                relay.reset()  # a connection that is closed soon looks like a second client
                service.wait_for(lambda before=before: relay.let_in > before)
                wait_until_subscribed(service)
                for qos in (0, 1):
                    live.append(f"live {number} {qos}")
                    device.publish("plant/line1/temp/live", live[-1], qos=qos).wait_for_publish(10)
                    assert reader.next("message")["payload"] == live[-1]
    messages = history(service)
    payloads = [one["payload"] for one in messages]
    replayed = [one for one in messages if not one["payload"].startswith("live")]
    assert sorted(int(one["payload"]) for one in replayed) == list(range(TOPICS))
    assert payloads[TOPICS:] == live
    assert service.terminate() == 0
    print(f"{scale.reconnects} reconnects: {len(replayed)} rows, {len(live)} live messages once")
