"""`server.py db`: check, stats, prune, vacuum, backup, restore and export of HISTORY_DB.

Answers for: what an operator types and reads. Does not: know SQL. What only reads or copies works
beside a running service; what writes is refused while it runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gateway.config import Config
from handlers.parsing import InvalidMoment, parse_moment
from handlers.tables import csv_header, csv_lines, ndjson_lines
from store.copies import backup, restore
from store.counted import counted
from store.database import Database
from store.errors import DatabaseHeld, DatabaseRefused, StoreError
from store.history import History
from store.maintenance import check, figures, vacuum, walk
from store.message import iso_time
from store.selection import Selection
from store.topics import InvalidTopic, TopicFilter, check_filter
from tools.progress import Progress

EXIT_FAULT = 1
EXIT_HELD = 75
EXIT_CONFIG = 78


def add_parser(commands: Any) -> None:
    """Describe the command to the parser of server.py."""
    database = commands.add_parser("db", help="look after the database file (HISTORY_DB)")
    actions = database.add_subparsers(dest="action", required=True)
    for name, sentence in (
        ("check", "read all of it and say what is damaged"),
        ("stats", "say what is in it"),
        ("prune", "remove now what the limits say is too old or too much; the service must rest"),
        ("vacuum", "write it anew, without its holes; the service must rest"),
    ):
        actions.add_parser(name, help=sentence)
    copy = actions.add_parser("backup", help="make a consistent copy, also while it runs")
    copy.add_argument("target", type=Path, help="a file that is not there yet")
    back = actions.add_parser("restore", help="put a copy in its place; the service must rest")
    back.add_argument("copy", type=Path, help="a file made by backup or GET /backup")
    export = actions.add_parser("export", help="write messages to a file, oldest first")
    export.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
    export.add_argument("--raw", action="store_true", help="CSV: do not guard cells like formulas")
    export.add_argument("--topic", action="append", metavar="FILTER", help="repeatable")
    export.add_argument("--since", help="ISO 8601, or back from now: 15m, 24h, 7d")
    export.add_argument("--until", help="the same")
    export.add_argument("--output", "-o", type=Path, help="default: standard output")


def run(options: argparse.Namespace, config: Config, now_us: int) -> int:
    """Do what was asked for; return the exit status."""
    path = Path(config.history_db)
    acts: dict[str, Callable[[], int]] = {
        "check": lambda: _check(path),
        "stats": lambda: _stats(path),
        "prune": lambda: asyncio.run(_prune(path, config, now_us)),
        "vacuum": lambda: _vacuum(path),
        "backup": lambda: _backup(path, options.target),
        "restore": lambda: _restore(path, options.copy, now_us),
        "export": lambda: _export(path, options, now_us),
    }
    try:
        if options.action != "restore" and not path.exists():
            raise DatabaseRefused(f"there is no database {path} (HISTORY_DB); a start makes it")
        return acts[options.action]()
    except DatabaseHeld as error:
        print(
            f"{error} Then stop it first (sudo systemctl stop mqtt-api)."
            " check, stats, backup and export work while it runs.",
            file=sys.stderr,
        )
        return EXIT_HELD
    except StoreError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except BrokenPipeError:  # whoever reads has enough: `db export | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(_explained(error, path), file=sys.stderr)
        return EXIT_CONFIG


def _explained(error: OSError, path: Path) -> str:
    place = error.filename or path
    if isinstance(error, FileExistsError):
        return f"{place} is there already, and is not overwritten"
    if isinstance(error, PermissionError):
        return f"{place} may not be written by {_user()}: take a place where it may write"
    return f"{place}: {error.strerror}"


def _user() -> str:
    try:
        return f"the user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:  # in a container it is but a number
        return f"the user {os.geteuid()}"


def _check(path: Path) -> int:
    with Progress("reading all of it", time.monotonic) as at:
        faults = check(path, at.tick)
    for fault in faults:
        print(fault)
    if faults:
        print(
            f"{path} is damaged. Restore a backup (db restore), or begin afresh: stop the service,"
            " move the file away, start it. docs/operations.md says what can be rescued.",
            file=sys.stderr,
        )
        return EXIT_FAULT
    print(f"{path} is sound")
    return 0


def _stats(path: Path) -> int:
    found = figures(path)
    span = "nothing yet"
    if found.oldest_us is not None and found.newest_us is not None:
        span = f"{iso_time(found.oldest_us)} to {iso_time(found.newest_us)}"
    rows = [
        ("file", str(path)),
        ("bytes", f"{found.database_bytes:,}"),
        ("  of these free inside", f"{found.free_bytes:,}"),
        ("write-ahead log", f"{found.wal_bytes:,}"),
        ("schema version", str(found.schema_version)),
        ("epoch", found.epoch),
        ("messages", f"{found.messages:,}"),
        ("  ids", f"{found.oldest_id or '-'} to {found.newest_id or '-'}"),
        ("  times", span),
        ("topics", f"{found.topics:,}"),
        *[(f"  {name}", f"{count:,}") for name, count in found.busiest],
    ]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    return 0


async def _prune(path: Path, config: Config, now_us: int) -> int:
    before = figures(path).messages  # a file that is not there is not made
    database = await Database.open(path, now_us=now_us)
    try:
        history = await History.open(  # this alone removes what is over MAX_HISTORY_SIZE
            database,
            now_us=now_us,
            cap_rows=config.max_history_size,
            retention_hours=config.message_retention_hours,
            cap_bytes=config.max_history_bytes,
        )
        with Progress("removing", time.monotonic) as at:
            while await history.prune(now_us):
                at(1 - history.totals().message_count / max(1, before))
        left = history.totals().message_count
        await history.close()
    finally:
        await database.close()
    print(f"removed {counted(before - left, 'message')}; left: {left:,}")
    return 0


def _vacuum(path: Path) -> int:
    with Progress("writing it anew", time.monotonic) as at:
        before, after = vacuum(path, at.tick)
    print(f"{before:,} bytes before, {after:,} after")
    return 0


def _backup(path: Path, target: Path) -> int:
    with Progress("copying", time.monotonic) as at:
        size = backup(path, target, at)
    print(f"{target}: {size:,} bytes, checked")
    return 0


def _restore(path: Path, copy: Path, now_us: int) -> int:
    with Progress("restoring", time.monotonic) as at:
        aside = restore(path, copy, now_us, at)
    kept = f"; what was there is {aside}" if aside else ""
    print(f"{copy} is now {path}{kept}")
    return 0


def _export(path: Path, options: argparse.Namespace, now_us: int) -> int:
    try:
        selection = _selection(options, now_us)
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    if not options.output:
        count = _write_messages(sys.stdout.buffer, path, selection, options)
        sys.stdout.buffer.flush()
    else:
        with options.output.open("xb") as output:
            try:
                count = _write_messages(output, path, selection, options)
                output.flush()
            except BaseException as error:
                options.output.unlink()  # half of it would look like all of it
                if isinstance(error, OSError):
                    error.filename = str(options.output)
                raise
    print(counted(count, "message"), file=sys.stderr)
    return 0


def _selection(options: argparse.Namespace, now_us: int) -> Selection:
    """Return what the options ask for; ValueError names the option that is wrong."""
    try:
        at = "--topic"
        topics = [check_filter(text) for text in options.topic or ()]
        at = "--since"
        since_us = parse_moment(options.since, now_us) if options.since else None
        at = "--until"
        until_us = parse_moment(options.until, now_us) if options.until else None
    except (InvalidTopic, InvalidMoment) as error:
        raise ValueError(f"{at} {error}") from None
    return Selection(
        topics=TopicFilter(topics) if topics else None, since_us=since_us, until_us=until_us
    )


def _write_messages(
    output: BinaryIO, path: Path, selection: Selection, options: argparse.Namespace
) -> int:
    count = 0
    with Progress("writing", time.monotonic) as at:
        if options.format == "csv":
            output.write(csv_header())
        for messages, part in walk(path, selection):
            count += len(messages)
            output.write(
                csv_lines(messages, raw=options.raw)
                if options.format == "csv"
                else ndjson_lines(messages)
            )
            at(part)
    return count
