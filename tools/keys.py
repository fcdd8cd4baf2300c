"""`server.py keys`: make, list and remove keys of API_KEYS_FILE."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from handlers.keyring import SCOPES, KeysFileError, change_keys_file, new_key, read_keys
from handlers.parsing import InvalidMoment, parse_moment
from store.message import iso_time
from store.topics import InvalidTopic, check_filter

EXIT_CONFIG = 78


def add_parser(commands: Any) -> None:
    """Describe the command to the parser of server.py."""
    keys = commands.add_parser(
        "keys",
        help="make, list and remove keys",
        epilog="example: server.py keys add line1 --scope read --read 'factory/line1/#'",
    )
    keys.add_argument("--file", help="the file (default: API_KEYS_FILE)")
    actions = keys.add_subparsers(dest="action", required=True)
    add = actions.add_parser("add", help="make a key and print it, once")
    add.add_argument("name", help="who will use it")
    add.add_argument("--scope", action="append", choices=SCOPES, help="repeatable; default: read")
    add.add_argument("--read", action="append", metavar="FILTER", help="topics it may see")
    add.add_argument("--publish", action="append", metavar="FILTER", help="topics it may write to")
    add.add_argument("--expires", help="ISO 8601, or a duration such as 90d; default: never")
    actions.add_parser("list", help="show the keys, without the keys themselves")
    remove = actions.add_parser("remove", help="revoke a key")
    remove.add_argument("name")


def run(options: argparse.Namespace, default_file: str, now_us: int) -> int:
    """Do what was asked for; return the exit status."""
    if not (options.file or default_file):
        print("which file? set API_KEYS_FILE or give --file", file=sys.stderr)
        return EXIT_CONFIG
    path = Path(options.file or default_file)
    try:
        if options.action == "add":
            _add(path, options, now_us)
        elif options.action == "remove":
            _remove(path, options.name)
        else:
            for caller in read_keys(path):
                until = "never expires"
                if caller.expires_us is not None:
                    until = f"expires {iso_time(caller.expires_us)}"
                topics = "".join(
                    f"; {verb} {', '.join(allowed.texts)}"
                    for verb, allowed in (("reads", caller.read), ("publishes", caller.publish))
                    if allowed is not None
                )
                print(f"{caller.name}: {', '.join(sorted(caller.scopes))}{topics}; {until}")
    except (KeysFileError, InvalidTopic, InvalidMoment, LookupError) as error:
        print(error.args[0], file=sys.stderr)
        return EXIT_CONFIG
    except OSError as error:
        print(f"the file {path} cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_CONFIG
    return 0


def _add(path: Path, options: argparse.Namespace, now_us: int) -> None:
    key, digest = new_key()
    entry: dict[str, Any] = {
        "name": options.name,
        "hash": digest,
        "scopes": sorted(set(options.scope or ["read"])),
    }
    for field in ("read", "publish"):
        filters = getattr(options, field)
        if filters:
            entry[field] = [check_filter(text) for text in filters]
    if "publish" in entry and "publish" not in entry["scopes"]:
        raise LookupError("--publish names topics, but the key may not publish: --scope publish")
    if options.expires:
        moment_us = parse_moment(options.expires, now_us)
        if moment_us < now_us and options.expires[-1:] in "smhdw":  # a duration looks ahead here
            moment_us = 2 * now_us - moment_us
        entry["expires"] = iso_time(moment_us)

    def change(entries: list[dict[str, Any]]) -> None:
        if any(other["name"] == options.name for other in entries):
            raise LookupError(f"there is a key named {options.name} already")
        entries.append(entry)

    change_keys_file(path, change)
    print(key)
    print(
        f"this is the key of {options.name}; it is shown only now."
        " A running service takes it after SIGHUP (systemctl reload mqtt-api).",
        file=sys.stderr,
    )


def _remove(path: Path, name: str) -> None:
    def change(entries: list[dict[str, Any]]) -> None:
        left = [entry for entry in entries if entry["name"] != name]
        if len(left) == len(entries):
            raise LookupError(f"there is no key named {name}")
        entries[:] = left

    change_keys_file(path, change)
