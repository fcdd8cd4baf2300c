"""The command line of server.py: what it is asked for, until a signal, and its exit status.

Answers for: options and commands, signals, and one sentence for an end that was not wished for.
Does not: put the service together (server.py does).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import tornado.autoreload

from gateway.broker.settings import BrokerSettings
from gateway.config import Config, ConfigError, misspelt
from gateway.log_setup import is_journal, set_up_logging
from gateway.service_state import ServiceState
from gateway.supervisor import Supervisor
from handlers.gate import Gate
from handlers.http_server import PortHeld
from handlers.keyring import KeysFileError
from store.errors import DatabaseRefused, DatabaseUnready, HistoryUnavailable
from tools import database_command, doctor, keys, probe
from tools.environment_file import read_environment_file
from tools.tryout import broker_to_try, greeting

# sysexits.h: what a supervisor needs to know about an end.
EXIT_CONFIG = 78
EXIT_HELD = 75
# Messages come and go by the ten thousand and make no cycles: the collector need not look at
# them each 700 allocations, as it does by default.
GC_ALLOCATIONS = 50_000

log = logging.getLogger("server")


class Running(Protocol):
    """What the command line must know of a running service."""

    @property
    def gate(self) -> Gate:
        """Whose keys are read again on SIGHUP."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def state(self) -> ServiceState:
        """How things are, for systemd."""


@dataclass(frozen=True)
class Root:
    """What the composition root offers: `serve` runs the service, `check` only looks whether it
    could be put together. Both raise ConfigError, and `serve` what else keeps it from starting."""

    version: str
    now_us: Callable[[], int]
    serve: Callable[[Config], AbstractAsyncContextManager[Running]]
    check: Callable[[Config], None]
    broker: Callable[[Config], BrokerSettings]


def run(root: Root, arguments: list[str] | None, environment: Mapping[str, str]) -> int:
    """Do what the arguments ask for; return the exit status."""
    options = _parser(root.version).parse_args(arguments)
    try:
        if options.env_file:
            environment = {**read_environment_file(options.env_file), **environment}
        if options.command == "keys":
            return keys.run(options, environment.get("API_KEYS_FILE", ""), root.now_us())
        config = Config.from_mapping(environment)
        if options.command == "probe":
            return probe.run(config)
        if options.command == "doctor":
            root.check(config)
            return doctor.run(config, root.broker(config), root.now_us(), misspelt(environment))
        if options.command == "db":
            return database_command.run(options, config, root.now_us())
        if options.check_config:
            root.check(config)
            for sentence in misspelt(environment):
                print(sentence, file=sys.stderr)
            print("the configuration is fine")
            return 0
        set_up_logging(
            config.log_level,
            config.log_format,
            config.log_file,
            to_journal=is_journal(environment),
            monotonic=time.monotonic,
        )
        for sentence in misspelt(environment):
            log.warning("%s", sentence)
        gc.set_threshold(GC_ALLOCATIONS)
        supervisor = Supervisor.of(environment, os.getpid())
        asyncio.run(_serve_until_signal(root, config, supervisor, options.with_broker))
    except (ConfigError, DatabaseRefused) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except (DatabaseUnready, HistoryUnavailable, PortHeld) as error:  # a later try may succeed
        print(error, file=sys.stderr)
        return EXIT_HELD
    return 0


def _parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="GhostMesh MQTT API: REST, WebSocket and a durable"
        " history for an MQTT broker. Configured by environment variables."
    )
    parser.add_argument(
        "--check-config", action="store_true", help="check the configuration and exit"
    )
    parser.add_argument(
        "--with-broker",
        action="store_true",
        help="start an embedded broker if none is given and none listens",
    )
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="read variables from a file; those of the environment win",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    keys.add_parser(commands)
    doctor.add_parser(commands)
    database_command.add_parser(commands)
    probe.add_parser(commands)
    return parser


async def _serve_until_signal(
    root: Root, config: Config, supervisor: Supervisor, with_broker: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    embedded = None
    if with_broker:
        config, embedded = broker_to_try(config)
    try:
        async with root.serve(config) as service:
            log.info("listening on %s:%d", config.api_host, service.port)
            _warn_of_open_doors(config)
            if with_broker:
                lines = greeting(config, root.version, service.port, embedded is not None)
                print(lines, flush=True)
            loop.add_signal_handler(signal.SIGHUP, _reload_keys, service.gate)
            if config.api_reload:
                tornado.autoreload.start()
            telling = asyncio.create_task(_tell(supervisor, service.state))
            await stop.wait()
            supervisor.say("STOPPING=1")
            telling.cancel()
            log.info("stopping")
    finally:
        if embedded is not None:
            embedded.stop()


async def _tell(supervisor: Supervisor, state: ServiceState) -> None:
    await supervisor.follow(state.liveness.stalled, state.summary)


def _warn_of_open_doors(config: Config) -> None:
    local = config.api_host in ("127.0.0.1", "::1", "localhost")
    if not config.api_key_required and not local:
        log.warning(
            "everybody who reaches %s:%d may read and publish: set API_KEY_REQUIRED and a key",
            config.api_host,
            config.api_port,
        )
    if "*" in config.cors_origins:
        log.warning("any web page may call this service: set CORS_ORIGINS (empty: only our own)")


def _reload_keys(gate: Gate) -> None:
    try:
        gate.keyring.reload()
        log.info("the keys were read again")
        if gate.key_required and gate.keyring.is_empty:
            log.warning("there is no key any more: every caller that needs one is refused")
    except KeysFileError as error:
        log.error("%s; the keys stay as they were", error)
