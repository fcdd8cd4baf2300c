"""`export` and `replay`: the history into a file, and a file to the broker again.

Answers for: options, progress bars and the pace of a replay. Does not: build requests.
"""

from __future__ import annotations

import glob
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from client.calls import BATCH_MESSAGES, Outgoing
from client.cli.output import counted
from client.cli.reading import AFTER, CONTAINS, FILTERS, SINCE, UNTIL
from client.cli.session import EXIT_FAILED, Session, command
from client.errors import ConnectionFailed, MQTTAPIError, RateLimited
from client.export_file import ExportProgress
from client.shapes import Outcome
from client.sync_client import MQTTAPIClient
from client.values import Message

# Messages due within this are sent together: below what a person notices.
TOGETHER_S = 0.02
STANDARD_INPUT = Path("-")
DEFAULT_PAUSE_S = 1.0


@command(
    "  mqtt-api export factory.ndjson 'factory/#' --since 7d\n"
    "  mqtt-api export table.csv --format csv"
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@FILTERS
@SINCE
@UNTIL
@AFTER
@click.option("--before", help="Before this position.")
@CONTAINS
@click.option("--format", type=click.Choice(["ndjson", "csv"]), help="The default follows FILE.")
@click.option("--raw", is_flag=True, help="CSV without guards against spreadsheet formulas.")
@click.option("--restart", is_flag=True, help="Do not take up what a break left behind.")
def export(
    session: Session,
    file: Path,
    filters: tuple[str, ...],
    format: str | None,
    restart: bool,
    **asked: Any,
) -> None:
    """Write messages into FILE, oldest first. After a break, the same command goes on."""
    if file == STANDARD_INPUT:
        raise click.UsageError("an export goes into a file; history -n 0 writes to a pipe")
    asked["format"] = format or ("csv" if file.suffix.lower() == ".csv" else "ndjson")
    with session.client() as client, session.out.progress() as bars:
        task = bars.add_task(file.name, total=1.0, messages=0)

        def show(progress: ExportProgress) -> None:
            bars.update(task, completed=progress.fraction, messages=progress.messages)

        topic = list(filters) or None
        try:
            done = client.export(file, topic, progress=show, resume=not restart, **asked)
        except ConnectionFailed as error:
            if list(file.parent.glob(f"{glob.escape(file.name)}.*.part")):
                error.detail += "; what came is kept, and the same command goes on behind it"
            raise
        bars.update(task, completed=1.0, messages=done.messages)
    for gap in done.gaps:
        session.out.gap(gap)
    session.out.say(f"{counted(done.messages, 'message')}, {done.bytes:,} bytes in {file}", "green")
    if session.out.is_json:
        session.out.record(
            {"file": str(file), "messages": done.messages, "bytes": done.bytes}
            | {"gaps": [gap.as_dict() for gap in done.gaps]}
        )


class Speed(click.ParamType[float]):
    """How many times as fast as it was; `max` is without waiting."""

    name = "speed"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read such as 10x, 0.5, max."""
        if value == "max":
            return float("inf")
        found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", str(value))
        if not found or not float(found[1]):
            self.fail(f"{value} is no speed; it looks like 10x, 0.5x or max", param, ctx)
        return float(found[1])


@command(
    "  mqtt-api replay factory.ndjson --speed 10x\n"
    "  mqtt-api replay factory.ndjson --prefix test/ --speed max\n"
    "  mqtt-api history 'doors/#' -n 0 | mqtt-api replay - --url http://other:8000"
)
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--speed", type=Speed(), default="1x", show_default=True, help="10x, 0.5x or max.")
@click.option("--prefix", default="", help="Put this before each topic.")
@click.option("--qos", type=click.IntRange(0, 2), help="Instead of each message's own.")
@click.option("--no-retain", is_flag=True, help="Publish nothing as retained.")
@click.option("--no-properties", is_flag=True, help="Leave MQTT 5 properties out.")
def replay(
    session: Session,
    file: Path,
    speed: float,
    prefix: str,
    qos: int | None,
    no_retain: bool,
    no_properties: bool,
) -> int:
    """Publish an export again, at its original pace or faster.

    FILE is NDJSON; "-" is standard input. Published through the same gateway, the messages come
    into its history once more.
    """

    def outgoing(message: Message) -> Outgoing:
        return Outgoing(
            prefix + message.topic,
            message.bytes,
            message.qos if qos is None else qos,
            message.retain and not no_retain,
            None if no_properties else message.properties,
        )

    total = None if file == STANDARD_INPUT else sum(1 for _ in read_export(file))
    failures: list[str] = []
    sent = 0
    with session.client() as client, session.out.progress() as bars:
        task = bars.add_task(file.name, total=total, messages=0)
        for together in paced(read_export(file), speed):
            failures += publish_patiently(client, [outgoing(one) for one in together])
            sent += len(together)
            bars.update(task, completed=sent, messages=sent)
        bars.update(task, total=sent or 1, completed=sent or 1)
    for failure in failures[:10]:
        session.out.note(f"mqtt-api: {failure}")
    session.out.say(f"{counted(sent - len(failures), 'message')} published", "green")
    if session.out.is_json:
        session.out.record({"published": sent - len(failures), "failed": len(failures)})
    return EXIT_FAILED if failures else 0


def read_export(file: Path) -> Iterator[Message]:
    """Yield the messages of an export; MQTTAPIError names the line that is none."""
    with sys.stdin.buffer if file == STANDARD_INPUT else file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                fields = json.loads(line)
                if fields.get("type") != "gap":
                    yield Message.from_dict(fields)
            except (ValueError, KeyError, TypeError, AttributeError):
                sentence = f"line {number} of {file} is no message; is it an NDJSON export?"
                raise MQTTAPIError(sentence) from None


def paced(messages: Iterator[Message], speed: float) -> Iterator[list[Message]]:
    """Yield messages when they are due, those that are due together in one list."""
    begun = time.monotonic()
    first: float | None = None
    together: list[Message] = []
    for message in messages:
        at = message.timestamp.timestamp()
        first = at if first is None else first
        wait_s = begun + (at - first) / speed - time.monotonic()
        if together and (wait_s > TOGETHER_S or len(together) == BATCH_MESSAGES):
            yield together
            together = []
            wait_s = begun + (at - first) / speed - time.monotonic()
        if wait_s > TOGETHER_S:
            time.sleep(wait_s)
        together.append(message)
    if together:
        yield together


def publish_patiently(client: MQTTAPIClient, messages: list[Outgoing]) -> list[str]:
    """Publish, waiting as long as a rate limit asks; return what failed, as sentences."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(messages):
        try:
            outcomes += client.publish_many(messages[len(outcomes) :])
        except RateLimited as error:
            outcomes += error.outcomes
            time.sleep(error.retry_after or DEFAULT_PAUSE_S)
    return [
        f"{message.topic}: {outcome.get('detail', outcome['status'])}"
        for message, outcome in zip(messages, outcomes, strict=True)
        if outcome["status"] != 200
    ]


COMMANDS = (export, replay)
