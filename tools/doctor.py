"""`server.py doctor`: looks at everything the service needs, and says what to do about each.

Answers for: disk, database, clock, port and broker, in the order in which one would look. Does
not: change anything; of it one message is seen, published to a topic of its own.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.broker.settings import BrokerSettings
from gateway.broker.trial import examine_broker
from gateway.config import Config
from gateway.findings import Finding
from store.counted import counted
from store.errors import StoreError
from store.maintenance import figures
from store.message import iso_time
from tools.probe import ask

EXIT_FAULT = 1
LITTLE_ROOM_BYTES = 200 * 1024 * 1024
LITTLE_ROOM_PART = 0.05
# No clock that is right is before the first release of this program.
FIRST_RELEASE_US = 1_767_225_600_000_000
FUTURE_US = 60_000_000
# Made by systemd-timesyncd when it has set the clock.
SYNCHRONISED = Path("/run/systemd/timesync/synchronized")


def add_parser(commands: Any) -> None:
    """Describe the command to the parser of server.py."""
    commands.add_parser("doctor", help="look at all that the service needs; say what to do")


def run(config: Config, broker: BrokerSettings, now_us: int, slips: Sequence[str] = ()) -> int:
    """Print what was found; return 0, or 1 when something keeps the service from its job."""
    fatal = 0
    findings = [
        *(
            Finding("settings", slip, "correct the name: as it stands it is ignored")
            for slip in slips
        ),
        *examine(config, now_us),
        *examine_broker(broker, config.mqtt_subscriptions, now_us / 1e6),
    ]
    for finding in findings:
        mark = "FAIL" if finding.is_fatal else "warn" if finding.advice else " ok "
        fatal += finding.is_fatal
        print(f"[{mark}] {finding.what}: {finding.state}")
        if finding.advice:
            print(f"       -> {finding.advice}")
    if fatal:
        print(f"{fatal} of {len(findings)} would keep the service from its job", file=sys.stderr)
        return EXIT_FAULT
    return 0


def examine(config: Config, now_us: int) -> Iterator[Finding]:
    """Yield what was found on this machine."""
    path = Path(config.history_db)
    yield from _room(path)
    yield from _database(path, now_us)
    yield _clock(now_us)
    yield _port(config)
    if not config.api_key_required and config.api_host not in ("127.0.0.1", "::1", "localhost"):
        yield Finding(
            "callers",
            "everybody who reaches the port may read and publish",
            "API_KEY_REQUIRED=true and a key, or API_HOST=127.0.0.1",
        )


def _room(path: Path) -> Iterator[Finding]:
    directory = path.parent
    while not directory.exists():
        directory = directory.parent
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        advice = f"run this as the service's user, or give it to that user (HISTORY_DB={path})"
        if directory.is_dir() and os.statvfs(directory).f_flag & os.ST_RDONLY:
            advice = "its file system is mounted to be read only: after an error? see `dmesg`"
        yield Finding("directory", f"{directory} may not be written", advice, True)
        return
    usage = shutil.disk_usage(directory)
    little = usage.free < max(LITTLE_ROOM_BYTES, LITTLE_ROOM_PART * usage.total)
    yield Finding(
        "disk",
        f"{usage.free / 1e6:,.0f} MB free of {usage.total / 1e6:,.0f} MB",
        "make room, or set MAX_HISTORY_BYTES; with a full disk nothing is stored" if little else "",
        usage.free < LITTLE_ROOM_BYTES // 10,
    )


def _database(path: Path, now_us: int) -> Iterator[Finding]:
    if not path.exists():
        yield Finding("database", f"{path} is not there yet; the first start makes it")
        return
    try:
        found = figures(path)
    except StoreError as error:
        yield Finding(
            "database",
            str(error),
            "db check says more; db restore puts a backup in its place. Moved away, it is begun"
            " anew: a start does that by itself with one that is damaged, and keeps it",
            True,
        )
        return
    yield Finding(
        "database", f"{counted(found.messages, 'message')} in {found.database_bytes:,} bytes"
    )
    if found.newest_us is not None and found.newest_us > now_us + FUTURE_US:
        yield Finding(
            "clock",
            f"the newest message is of {iso_time(found.newest_us)}, which is to come",
            "the clock was wrong, or is: order is by id, but ages and times mislead",
        )


def _clock(now_us: int) -> Finding:
    if now_us < FIRST_RELEASE_US:
        return Finding(
            "clock",
            f"it says {iso_time(now_us)}",
            "set it, and have it set at each start: systemd-timesyncd or chrony",
            True,
        )
    if not SYNCHRONISED.exists():
        return Finding(
            "clock",
            f"{iso_time(now_us)}; whether it is synchronised is not known",
            "timedatectl shows it; without a clock battery, start the service after it is set",
        )
    return Finding("clock", f"{iso_time(now_us)}, synchronised")


def _port(config: Config) -> Finding:
    place = f"{config.api_host}:{config.api_port}"
    with socket.socket(socket.AF_INET6 if ":" in config.api_host else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((config.api_host, config.api_port))
            return Finding("port", f"{place} is free; the service does not run")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return Finding("port", f"{place}: {error.strerror}", "API_HOST, API_PORT", True)
    try:
        _, body = ask(config, "/health")
        health = json.loads(body)
        how = ": ".join([health["status"], "; ".join(health["reasons"])]).rstrip(": ")
        advice = "docs/troubleshooting.md" if health["reasons"] else ""
        return Finding("service", f"runs on {place}, {how}", advice)
    except (OSError, ValueError, KeyError, TypeError):
        return Finding(
            "port",
            f"{place} is taken by another program",
            f"API_PORT, or end what listens there: ss -ltnp 'sport = :{config.api_port}'",
            True,
        )
