"""A paho client as the settings want it, before it connects.

Answers for: what a connection asks the broker for: version, credentials, TLS, last will, and how
long its session lasts. Does not: connect, or know what happens then (session.py).
"""

from __future__ import annotations

from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.broker.client import BufferedClient
from gateway.broker.settings import BrokerSettings

# A session outlives a cut in the LAN by this long, unless it is to outlive the process as well.
SESSION_EXPIRY_S = 3_600
NEVER_EXPIRES = 0xFFFF_FFFF


def new_client(
    settings: BrokerSettings, max_in_flight: int, *, five: bool, wiped: bool
) -> BufferedClient:
    """Return a client for MQTT 5 or 3.1.1.

    `wiped`: the session was begun anew already, so that one of MQTT 3.1.1, which cannot start
    clean and resume later, is resumed from here on.
    """
    client = BufferedClient(
        CallbackAPIVersion.VERSION2,
        settings.client_id,
        clean_session=None if five else settings.clean_session and not wiped,
        protocol=MQTTv5 if five else MQTTv311,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client.suppress_exceptions = True
    client.max_inflight_messages = max_in_flight
    if settings.username:
        client.username_pw_set(settings.username, settings.password or None)
    if settings.tls is not None:
        client.tls_set_context(settings.tls)
    if settings.status_topic:
        client.will_set(settings.status_topic, "offline", qos=1, retain=True)
    if not five:
        client.connect_async(settings.host, settings.port, settings.keepalive_s)
        return client
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_EXPIRY_S if settings.clean_session else NEVER_EXPIRES
    client.connect_async(
        settings.host,
        settings.port,
        settings.keepalive_s,
        clean_start=MQTT_CLEAN_START_FIRST_ONLY if settings.clean_session else False,
        properties=properties,
    )
    return client
