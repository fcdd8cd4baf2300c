"""`tail`, `history`, `topics`, `series`, `stats`, `health`.

Answers for: their options and output. Does not: build requests; the library does.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from client.cli.session import EXIT_FAILED, Session, command, complete_topic
from client.values import Gap

FILTERS = click.argument("filters", nargs=-1, shell_complete=complete_topic)
SINCE = click.option("--since", help="From this time on: 15m, 24h, 7d, or ISO 8601.")
BUSIEST = 10
UNTIL = click.option("--until", help="Before this time.")
AFTER = click.option("--after", help="After this position.")
CONTAINS = click.option("--contains", help="Only texts that contain this.")


@command(
    "  mqtt-api tail 'factory/#' --since 10m\n"
    "  mqtt-api tail 'alerts/#' --cursor alerts.cursor | my-program\n"
    "  mqtt-api tail -n 1 doors/front"
)
@FILTERS
@click.option("--since", help="Begin at this time: 10m, 24h, ISO 8601, or all.")
@AFTER
@click.option(
    "--cursor",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the position in this file, and go on there next time.",
)
@click.option("-n", "--limit", type=click.IntRange(min=1), help="End after so many messages.")
@click.option(
    "--transport",
    type=click.Choice(["websocket", "sse"]),
    default="websocket",
    show_default=True,
    help="sse gets through where a proxy lets no WebSocket pass.",
)
def tail(
    session: Session,
    filters: tuple[str, ...],
    limit: int | None,
    **begin: Any,
) -> None:
    """Follow messages as they come.

    Of all topics, unless FILTERS say otherwise. It connects again by itself and goes on where it
    stopped; what is gone meanwhile is said.
    """
    seen = 0
    topics = list(filters) or ["#"]
    with (
        session.client() as client,
        client.stream(topics, gaps="yield", **begin) as stream,
    ):
        for item in stream:
            if isinstance(item, Gap):
                session.out.gap(item)
                continue
            session.out.message(item)
            seen += 1
            if seen == limit:
                stream.finish()
                break


@command(
    "  mqtt-api history 'factory/#' --since 24h --contains error\n"
    "  mqtt-api history -n 1 --json factory/line1/press1/temperature"
)
@FILTERS
@SINCE
@UNTIL
@AFTER
@click.option("--before", help="Before this position.")
@click.option("--qos", type=click.IntRange(0, 1), help="Only messages of this QoS.")
@CONTAINS
@click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=100, show_default=True, help="0 is all."
)
def history(
    session: Session, filters: tuple[str, ...], limit: int, after: str | None, **asked: Any
) -> None:
    """Show messages that were kept.

    The newest ones, the newest last; with --after those that follow it.
    """
    with session.client() as client:
        query = {"topic": list(filters) or None, "gaps": "ignore", **asked}
        if limit == 0 or after is not None:
            found = client.messages(**query, after=after, order="asc", limit=limit or None)
        else:
            found = reversed(list(client.messages(**query, limit=limit)))
        for message in found:
            session.out.message(message)


@command("  mqtt-api topics\n  mqtt-api topics 'factory/#' --json | jq .topic")
@FILTERS
@click.option("--prefix", help="Only topics that begin with this.")
def topics(session: Session, filters: tuple[str, ...], prefix: str | None) -> None:
    """Show the topics as a tree, with counts and last values."""
    with session.client() as client:
        session.out.topics(client.topics(list(filters) or None, prefix=prefix))


@command("  mqtt-api series factory/line1/press1/power --field '$.value' --since 8h --bucket 5m")
@click.argument("topic", shell_complete=complete_topic)
@click.option("--field", help="JSON path of the number; the payload itself without it.")
@SINCE
@UNTIL
@click.option("--bucket", default="auto", show_default=True, help="10s, 5m, 1h, or auto.")
@click.option("--max-points", type=click.IntRange(1, 10_000), help="With auto.")
def series(session: Session, topic: str, **asked: Any) -> None:
    """Show the numbers of a topic over time."""
    if not session.out.is_json and asked["max_points"] is None:
        asked["max_points"] = max(10, shutil.get_terminal_size().lines)
    with session.client() as client:
        session.out.series(client.series(topic, **asked))


@command("  mqtt-api stats\n  mqtt-api stats --json | jq .rate_1m")
def stats(session: Session) -> None:
    """Show the counters of the service."""
    with session.client() as client:
        counters: dict[str, Any] = dict(client.get_statistics())
    if not session.out.is_json:
        busiest = list(counters["topic_counts"].items())
        counters["topic_counts"] = dict(busiest[:BUSIEST])
        broker = counters.pop("broker") or {}
        counters["broker"] = {name: v for name, v in broker.items() if "/load/" not in name}
    session.out.fields(counters)


@command("  mqtt-api health && echo fine")
@click.option("--ready", is_flag=True, help="Only: connected, and the history can be written.")
def health(session: Session, ready: bool) -> int:
    """Tell whether everything works: the exit status is 0, else 1."""
    with session.client() as client:
        state: Any = client.ready() if ready else client.health_check()
    is_good = state["status"] in ("healthy", "ready")
    if session.out.is_json:
        session.out.record(state)
    else:
        session.out.say(state["status"], "bold green" if is_good else "bold red")
        for reason in state["reasons"]:
            session.out.say(f"  {reason}", "red")
        session.out.fields({k: v for k, v in state.items() if k not in ("status", "reasons")})
    return 0 if is_good else EXIT_FAILED


COMMANDS = (tail, history, topics, series, stats, health)
