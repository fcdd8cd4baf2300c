"""The composition root: configuration, objects, serve until a signal, unwind.

Answers for: the order of start and stop, the environment, the command line. Does not: contain
behaviour of the service.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import tornado.autoreload
import tornado.httpserver
import tornado.netutil

from gateway.arrivals import Arrivals
from gateway.audience import Audience
from gateway.broker.broker import Broker
from gateway.broker.session import BrokerSettings
from gateway.config import Config, ConfigError
from gateway.holdings import Holdings
from gateway.hub import Hub
from gateway.liveness import Liveness
from gateway.log_setup import set_up_logging
from gateway.mailbox import Mailbox
from gateway.metrics import Metrics
from gateway.orders import Orders
from gateway.recorder import Recorder
from gateway.service_state import ServiceState
from handlers.gate import Gate, GateSettings
from handlers.hosts import parse_networks
from handlers.keyring import Keyring, KeysFileError
from handlers.routes import make_application
from store.database import Database
from store.errors import DatabaseHeld, DatabaseRefused
from store.history import History
from store.subscriptions import Subscriptions
from tools import keys
from tools.tryout import broker_to_try, greeting

VERSION = "1.0.0"
# sysexits.h: what a supervisor needs to know about an end.
EXIT_CONFIG = 78
EXIT_HELD = 75
# Parts of the ten seconds within which a stop must be over.
DRAIN_S = 4.0
LEAVE_S = 3.0
CLOSE_S = 1.0
MAX_HEADER_BYTES = 64 * 1024
# A socket that sends its request drop by drop is closed after these.
IDLE_S = 10
BODY_S = 12
# Messages come and go by the ten thousand and make no cycles: the collector need not look at
# them each 700 allocations, as it does by default.
GC_ALLOCATIONS = 50_000
# How soon an open stream notices that its key was revoked or has expired.
KEY_CHECK_S = 2.0

log = logging.getLogger("server")


class PortHeld(Exception):
    """The address to listen on is taken or not ours."""


@dataclass(frozen=True)
class Service:
    """A running service, for the root and for tests that start the same root."""

    state: ServiceState
    hub: Hub
    gate: Gate
    port: int


def _now_us() -> int:
    return time.time_ns() // 1_000


def _broker_tls(config: Config) -> ssl.SSLContext | None:
    if not config.mqtt_tls:
        return None
    try:
        context = ssl.create_default_context(cafile=config.mqtt_tls_ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if config.mqtt_tls_cert:
            context.load_cert_chain(config.mqtt_tls_cert, config.mqtt_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the files of MQTT_TLS_CA, _CERT or _KEY cannot be used: {error}"
        ) from None
    return context


def _api_tls(config: Config) -> ssl.SSLContext | None:
    if not config.api_tls_cert:
        if config.api_tls_key:
            raise ConfigError("API_TLS_KEY is set, but not API_TLS_CERT: HTTPS needs both")
        return None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(config.api_tls_cert, config.api_tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"API_TLS_CERT or API_TLS_KEY cannot be used: {error}") from None
    return context


def _gate(config: Config) -> Gate:
    try:
        keyring = Keyring(config.api_key, config.api_keys_file, _now_us)
    except KeysFileError as error:
        raise ConfigError(str(error)) from None
    if config.api_key_required and keyring.is_empty:
        raise ConfigError("API_KEY_REQUIRED is true, but API_KEYS_FILE holds no key")
    settings = GateSettings(
        key_required=config.api_key_required,
        origins=config.cors_origins,
        allowed_hosts=config.allowed_hosts,
        own_names=(socket.gethostname(), socket.getfqdn()),
        trusted_proxies=parse_networks(config.trusted_proxies),
        rate_limit=config.rate_limit_requests if config.rate_limit_enabled else 0,
        rate_window_s=config.rate_limit_window,
    )
    return Gate(settings, keyring, time.monotonic)


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


def _listen(host: str, port: int) -> list[socket.socket]:
    family = socket.AF_INET if host == "0.0.0.0" else socket.AF_UNSPEC
    try:
        return tornado.netutil.bind_sockets(port, host, family)
    except OSError as error:
        raise PortHeld(
            f"cannot listen on {host}:{port} (API_HOST, API_PORT): {error.strerror}"
        ) from None


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[Service]:
    """Run the service; leaving the context is the orderly stop.

    Raises ConfigError, DatabaseRefused, DatabaseHeld or PortHeld when it cannot start.
    """
    async with AsyncExitStack() as stack:
        tls = _broker_tls(config)
        sockets = _listen(config.api_host, config.api_port)
        for bound in sockets:
            stack.callback(bound.close)
        database = await Database.open(
            Path(config.history_db),
            full_sync=config.history_synchronous == "full",
            query_timeout_s=config.query_timeout,
            now_us=_now_us(),
        )
        stack.push_async_callback(database.close)
        history = await History.open(
            database,
            now_us=_now_us(),
            cap_rows=config.max_history_size,
            retention_hours=config.message_retention_hours,
            cap_bytes=config.max_history_bytes,
        )
        stack.push_async_callback(history.close)
        hub = Hub(history.totals().newest_id)
        state = _connect_parts(config, database, history, hub, tls)
        stack.push_async_callback(state.holdings.close)
        await state.holdings.load(config.mqtt_subscriptions)
        state.liveness.start()
        stack.push_async_callback(state.liveness.stop)
        await state.recorder.start()
        stack.push_async_callback(state.recorder.stop, DRAIN_S)
        state.broker.start()
        stack.push_async_callback(state.broker.stop, LEAVE_S)
        gate = _gate(config)
        watch = asyncio.create_task(state.audience.watch(KEY_CHECK_S))
        stack.push_async_callback(_cancelled, watch)
        http = tornado.httpserver.HTTPServer(
            make_application(config, state, hub, _orders(config, state, hub), gate),
            ssl_options=_api_tls(config),
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=4 * config.max_payload_bytes + 4 * MAX_HEADER_BYTES,
            idle_connection_timeout=IDLE_S,
            body_timeout=BODY_S,
        )
        http.add_sockets(sockets)
        stack.push_async_callback(_close_connections, http, state.audience)
        stack.callback(http.stop)
        yield Service(state, hub, gate, sockets[0].getsockname()[1])


def _connect_parts(
    config: Config, database: Database, history: History, hub: Hub, tls: ssl.SSLContext | None
) -> ServiceState:
    metrics = Metrics(time.monotonic)
    mailbox = Mailbox(asyncio.get_running_loop())
    arrivals = Arrivals(mailbox, metrics, _now_us)

    def tell_status() -> None:
        hub.tell(
            {
                "type": "status",
                "mqtt_connected": bool(broker.connection),
                "history": "degraded" if recorder.trouble else "ok",
            }
        )

    def broker_changed(connection: int) -> None:
        holdings.connection_changed(connection)
        tell_status()

    broker = Broker(
        BrokerSettings(
            host=config.mqtt_broker_host,
            port=config.mqtt_broker_port,
            client_id=config.mqtt_client_id,
            username=config.mqtt_username,
            password=config.mqtt_password,
            keepalive_s=config.mqtt_keepalive,
            clean_session=config.mqtt_clean_session,
            protocol=config.mqtt_protocol,
            publish_timeout_s=config.publish_timeout,
            status_topic=config.mqtt_status_topic,
            tls=tls,
        ),
        mailbox,
        arrivals,
        on_change=broker_changed,
    )
    holdings = Holdings(
        broker,
        Subscriptions(database),
        arrivals,
        now_us=_now_us,
        follow_statistics=config.mqtt_broker_stats == "auto",
    )
    recorder = Recorder(
        mailbox,
        history,
        metrics,
        acknowledge=broker.acknowledge,
        hub=hub,
        now_us=_now_us,
        monotonic=time.monotonic,
        gather_s=config.history_commit_interval_ms / 1000,
        on_change=tell_status,
    )
    return ServiceState(
        version=VERSION,
        broker=broker,
        holdings=holdings,
        arrivals=arrivals,
        mailbox=mailbox,
        recorder=recorder,
        history=history,
        audience=Audience(config.ws_max_connections),
        liveness=Liveness(
            time.monotonic,
            turned=lambda: broker.last_turn,
            connecting=lambda: broker.connecting,
            writing_since=lambda: database.writing_since,
        ),
        metrics=metrics,
        now_us=_now_us,
        monotonic=time.monotonic,
        started=time.monotonic(),
        retention={
            "max_history_size": config.max_history_size,
            "message_retention_hours": config.message_retention_hours,
            "max_history_bytes": config.max_history_bytes,
        },
    )


def _orders(config: Config, state: ServiceState, hub: Hub) -> Orders:
    return Orders(
        state.broker,
        state.holdings,
        hub,
        state.metrics,
        max_payload_bytes=config.max_payload_bytes,
        max_pending_requests=config.max_pending_requests,
        reply_topic=f"mqtt-api/{config.mqtt_client_id}/reply",
        monotonic=time.monotonic,
    )


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _close_connections(http: tornado.httpserver.HTTPServer, audience: Audience) -> None:
    audience.dismiss_all()
    deadline = time.monotonic() + CLOSE_S
    while audience.count and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(CLOSE_S):
            await http.close_all_connections()
    except TimeoutError:
        log.warning("some connections did not close in time")


# -- the command line ------------------------------------------------------------------------


def _reload_keys(gate: Gate) -> None:
    try:
        gate.keyring.reload()
        log.info("the keys were read again")
    except KeysFileError as error:
        log.error("%s; the keys stay as they were", error)


async def _run(config: Config, with_broker: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    embedded = None
    if with_broker:
        config, embedded = broker_to_try(config)
    try:
        async with serve(config) as service:
            log.info("listening on %s:%d", config.api_host, service.port)
            _warn_of_open_doors(config)
            if with_broker:
                print(greeting(config, VERSION, service.port, embedded is not None), flush=True)
            loop.add_signal_handler(signal.SIGHUP, _reload_keys, service.gate)
            if config.api_reload:
                tornado.autoreload.start()
            await stop.wait()
            log.info("stopping")
    finally:
        if embedded is not None:
            embedded.stop()


def main(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run the service; return the exit status."""
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
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    keys.add_parser(commands, environment.get("API_KEYS_FILE", ""))
    options = parser.parse_args(arguments)
    if options.command == "keys":
        return keys.run(options)
    try:
        config = Config.from_mapping(environment)
        if options.check_config:
            _broker_tls(config), _api_tls(config), _gate(config)
            print("the configuration is fine")
            return 0
        set_up_logging(config.log_level, config.log_format, config.log_file)
        gc.set_threshold(GC_ALLOCATIONS)
        asyncio.run(_run(config, options.with_broker))
    except (ConfigError, DatabaseRefused) as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except (DatabaseHeld, PortHeld) as error:
        print(error, file=sys.stderr)
        return EXIT_HELD
    return 0


def console() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    console()
