"""One connection to the broker, step by step, to find out what would hinder the service.

Answers for: address, TLS, credentials, and what the access rules grant. Does not: disturb a
running service (it has a client id of its own, a clean session, and publishes one message, not
retained, to a topic of its own).
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.broker.reasons import certificate_advice, connecting_failed
from gateway.broker.settings import BrokerSettings
from gateway.findings import Finding

V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
ANSWER_S = 5.0
# Retained messages come at once with a subscription, if they come.
FIRST_MESSAGE_S = 2.0
TURN_S = 0.1
SECONDS_A_DAY = 86_400
EXPIRES_SOON_DAYS = 30
CREDENTIALS = (
    "MQTT_USERNAME, MQTT_PASSWORD (or its file), and on the broker: mosquitto_passwd, then a"
    " reload; and the access rules of that user"
)

SPEAKS_TLS = "does this port speak TLS? then MQTT_TLS=true; else is it a port of MQTT at all?"


def examine_broker(
    settings: BrokerSettings, subscriptions: Sequence[tuple[str, int]], now_s: float
) -> Iterator[Finding]:
    """Yield what was found, ending with the first step that fails."""
    place = f"{settings.host}:{settings.port}"
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield Finding(
            "broker's name",
            f"{settings.host} is not known: {error.strerror}",
            "MQTT_BROKER_HOST, or the name server of this machine; an address works without one",
            True,
        )
        return
    yield Finding("broker's name", f"{settings.host} is {addresses[0][4][0]}")
    try:
        with socket.create_connection((settings.host, settings.port), ANSWER_S) as connection:
            yield Finding("broker's port", f"{place} answers")
            if settings.tls is not None:
                finding = _tls(connection, settings.tls, settings.host, now_s)
                yield finding
                if finding.is_fatal:
                    return
    except OSError as error:
        yield Finding(
            "broker's port",
            f"{place}: {error.strerror or error}",
            "is the broker running, and listening on more than 127.0.0.1 (`listener`)? is a"
            " firewall between? MQTT_BROKER_PORT: 1883, or 8883 with TLS",
            True,
        )
        return
    yield from _session(settings, subscriptions)


def _tls(connection: socket.socket, context: ssl.SSLContext, host: str, now_s: float) -> Finding:
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            until = str((secured.getpeercert() or {}).get("notAfter", ""))
            days = (ssl.cert_time_to_seconds(until) - now_s) / SECONDS_A_DAY if until else 1e6
            state = f"{secured.version()}, the certificate is valid until {until or 'ever'}"
            advice = "renew the broker's certificate" if days < EXPIRES_SOON_DAYS else ""
            return Finding("TLS", state, advice)
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "TLS",
            f"the broker's certificate is not accepted: {error.verify_message}",
            certificate_advice(error),
            True,
        )
    except OSError as error:
        return Finding(
            "TLS",
            connecting_failed(error),
            "MQTT_BROKER_PORT is that of the listener with `certfile`, usually 8883; a broker that"
            " wants our certificate: MQTT_TLS_CERT and MQTT_TLS_KEY",
            True,
        )


def _session(
    settings: BrokerSettings, subscriptions: Sequence[tuple[str, int]]
) -> Iterator[Finding]:
    answers: list[ReasonCode] = []
    granted: list[list[ReasonCode]] = []
    for version in [V5, V311] if settings.protocol == "auto" else [_version(settings)]:
        client = Client(
            CallbackAPIVersion.VERSION2, f"{settings.client_id}-doctor", protocol=version
        )
        if settings.username:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        client.on_connect = lambda _c, _d, _f, reason, _p: answers.append(reason)
        client.on_subscribe = lambda _c, _d, _i, reasons, _p: granted.append(reasons)
        try:
            client.connect(settings.host, settings.port, keepalive=30)
            _turn_until(client, answers)
            if answers and not answers[0].is_failure:
                yield Finding("login", f"as {settings.username or 'nobody'}, MQTT {_name(version)}")
                yield from _subscribe(client, subscriptions, granted)
                yield _publish(client, f"mqtt-api/{settings.client_id}/doctor", version)
                return
        except OSError as error:
            yield Finding("login", f"the connection broke: {error}", CREDENTIALS, True)
            return
        finally:
            client.disconnect()
            client.loop(TURN_S)
        if answers and "version" not in str(answers[0]).lower():
            break  # not the version was refused
    who = settings.username or "nobody"
    if settings.username and not settings.password:
        who += ", with an empty password"
    if answers:
        yield Finding("login", f"as {who}: the broker says: {answers[0]}", CREDENTIALS, True)
    else:
        advice = CREDENTIALS if settings.tls else SPEAKS_TLS
        yield Finding("login", f"as {who}: the broker does not answer", advice, True)


def _subscribe(
    client: Client, subscriptions: Sequence[tuple[str, int]], granted: list[list[ReasonCode]]
) -> Iterator[Finding]:
    came: list[object] = []
    client.on_message = lambda _c, _d, message: came.append(message)
    for text, qos in subscriptions:
        granted.clear()
        came.clear()
        client.subscribe(text, min(qos, 1))
        _turn_until(client, granted)
        if granted and not granted[0][0].is_failure:
            _turn_until(client, came, FIRST_MESSAGE_S)
            yield _granted(text, bool(came))
        else:
            said = str(granted[0][0]) if granted else "no answer"
            yield Finding(
                "subscription",
                f"{text}: {said}",
                f"the broker's access rules: `topic read {text}` for this user",
                True,
            )


def _granted(text: str, came: bool) -> Finding:
    """What a broker grants says little: mosquitto grants what its rules then hold back."""
    if came:
        return Finding("subscription", f"{text} is granted, and messages come")
    return Finding(
        "subscription",
        f"{text} is granted; nothing came within {FIRST_MESSAGE_S:g} s",
        "nothing is retained there, or the broker's access rules hold it back, which mosquitto"
        f" does not say: `topic read {text}` for this user",
    )


def _publish(client: Client, topic: str, version: MQTTProtocolVersion) -> Finding:
    """Never fatal: what is recorded needs no right to publish, and other topics may have it."""
    answers: list[ReasonCode] = []
    client.on_publish = lambda _c, _d, _i, reason, _p: answers.append(reason)
    client.publish(topic, "server.py doctor may publish", qos=1)
    _turn_until(client, answers)
    advice = (
        f"the broker's access rules: `topic write {topic}` for this user, and what callers are to"
        " publish to; without it POST /publish is a 502"
    )
    if not answers:
        return Finding("publishing", f"{topic}: no answer, or it hung up", advice)
    if answers[0].is_failure:
        return Finding("publishing", f"{topic}: {answers[0]}", advice)
    if version == V311:
        return Finding(
            "publishing",
            f"{topic}: confirmed, which MQTT 3.1.1 says of what is refused, too",
            "only the broker's log shows what its access rules drop; MQTT 5 would say it",
        )
    return Finding("publishing", f"{topic} is granted")


def _turn_until(client: Client, answers: Sequence[object], within_s: float = ANSWER_S) -> None:
    deadline = time.monotonic() + within_s
    while not answers and time.monotonic() < deadline:
        if client.loop(TURN_S):
            return  # the connection is gone; what was answered before counts


def _version(settings: BrokerSettings) -> MQTTProtocolVersion:
    return V5 if settings.protocol == "5" else V311


def _name(version: MQTTProtocolVersion) -> str:
    return "5" if version == V5 else "3.1.1"
