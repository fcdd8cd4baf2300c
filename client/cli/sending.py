"""`publish`, `subscribe`, `unsubscribe`, `subscriptions`.

Answers for: their options and output. Does not: build requests; the library does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from client.calls import Outgoing
from client.cli.output import counted
from client.cli.session import EXIT_FAILED, Session, command, complain, complete_topic

QOS = click.option("--qos", type=click.IntRange(0, 2), default=0, show_default=True)


@command(
    "  mqtt-api publish factory/line1/lamp on --qos 1\n"
    "  date | mqtt-api publish clock\n"
    "  mqtt-api publish cameras/1 --file picture.jpg --retain\n"
    "  seq 1000 | mqtt-api publish counter --lines"
)
@click.argument("topic", shell_complete=complete_topic)
@click.argument("payload", required=False)
@click.option(
    "--file", type=click.Path(path_type=Path, dir_okay=False), help="Read it from a file."
)
@click.option("--lines", is_flag=True, help="Publish each line as a message of its own.")
@QOS
@click.option("--retain", is_flag=True, help="Let the broker keep it as the topic's last value.")
def publish(
    session: Session,
    topic: str,
    payload: str | None,
    file: Path | None,
    lines: bool,
    qos: int,
    retain: bool,
) -> int:
    """Publish a message, or one for each line.

    Without PAYLOAD (or with "-") it is read from standard input or --file, byte for byte. At QoS
    1 and 2 it waits until the broker has confirmed.
    """
    if payload not in (None, "-"):
        if file is not None:
            raise click.UsageError("give a payload or --file, not both")
        content = payload.encode("utf-8", "surrogateescape") if payload else b""
        return _publish_one(session, topic, content, qos, retain)
    if file is not None:
        with file.open("rb") as source:
            return _publish_from(session, source, topic, qos, retain, lines)
    if payload is None and sys.stdin.isatty():
        raise click.UsageError("there is no payload: give one, or --file, or pipe one in")
    return _publish_from(session, sys.stdin.buffer, topic, qos, retain, lines)


def _publish_from(
    session: Session, source: BinaryIO, topic: str, qos: int, retain: bool, lines: bool
) -> int:
    if not lines:
        return _publish_one(session, topic, source.read(), qos, retain)
    failed = sent = 0
    with session.client() as client:
        for outcomes in map(client.publish_many, _portions(source, topic, qos, retain)):
            for outcome in outcomes:
                sent += 1
                if outcome["status"] != 200:
                    failed += 1
                    complain(f"line {sent}: {outcome.get('detail', outcome['status'])}")
    session.out.say(f"{counted(sent - failed, 'message')} published to {topic}", "green")
    if session.out.is_json:
        session.out.record({"topic": topic, "published": sent - failed, "failed": failed})
    return EXIT_FAILED if failed else 0


def _portions(source: BinaryIO, topic: str, qos: int, retain: bool) -> Iterator[list[Outgoing]]:
    """Yield what can be read now: a slow pipe is published line by line, a file in batches."""
    rest = b""
    while data := source.read1(65_536):  # type: ignore[attr-defined]
        *whole, rest = (rest + data).split(b"\n")
        yield [Outgoing(topic, line.removesuffix(b"\r"), qos, retain) for line in whole]
    if rest:
        yield [Outgoing(topic, rest, qos, retain)]


def _publish_one(session: Session, topic: str, payload: bytes, qos: int, retain: bool) -> int:
    with session.client() as client:
        result = client.publish(topic, payload, qos, retain)
    if session.out.is_json:
        session.out.record(result["data"])
    else:
        confirmed = ", confirmed by the broker" if result["data"]["confirmed"] else ""
        session.out.say(f"published {len(payload):,} bytes to {topic}{confirmed}", "green")
    return 0


@command("  mqtt-api subscribe 'factory/+/+/temperature' --qos 1")
@click.argument("filter", shell_complete=complete_topic)
@QOS
def subscribe(session: Session, filter: str, qos: int) -> None:
    """Let the gateway listen to a topic filter, for good."""
    with session.client() as client:
        result = client.subscribe(filter, qos)
    session.out.say(f"subscribed to {filter} at QoS {result['data']['qos']}", "green")
    if session.out.is_json:
        session.out.record(result["data"])


@command("  mqtt-api unsubscribe 'factory/+/+/temperature'")
@click.argument("filter", shell_complete=complete_topic)
def unsubscribe(session: Session, filter: str) -> None:
    """Let the gateway listen to a topic filter no more."""
    with session.client() as client:
        data = client.unsubscribe(filter)["data"]
    session.out.say(f"unsubscribed from {filter}", "green")
    if data["still_covered_by"]:
        session.out.say(f"still covered by {', '.join(data['still_covered_by'])}", "yellow")
    if session.out.is_json:
        session.out.record(data)


@command("  mqtt-api subscriptions")
def subscriptions(session: Session) -> None:
    """List what the gateway listens to."""
    with session.client() as client:
        held = client.subscriptions()
    if session.out.is_json:
        for one in held:
            session.out.record(one)
    else:
        rows = ((one["topic"], one["qos"], one["since"][:19].replace("T", " ")) for one in held)
        session.out.rows(("filter", "QoS", "since (UTC)"), rows)


COMMANDS = (publish, subscribe, unsubscribe, subscriptions)
