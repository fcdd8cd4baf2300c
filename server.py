"""The composition root: configuration, objects, serve until a signal, unwind.

Answers for: the order of start and stop, the environment, the command line. Does not: contain
behaviour of the service.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import tornado.autoreload
import tornado.httpserver
import tornado.netutil

from gateway.arrivals import Arrivals
from gateway.audience import Audience
from gateway.broker.broker import Broker
from gateway.broker.session import BrokerSettings
from gateway.config import Config, ConfigError
from gateway.embedded import EmbeddedBroker, is_listening, start_embedded_broker
from gateway.holdings import Holdings
from gateway.hub import Hub
from gateway.log_setup import set_up_logging
from gateway.mailbox import Mailbox
from gateway.metrics import Metrics
from gateway.orders import Orders
from gateway.recorder import Recorder
from gateway.service_state import ServiceState
from handlers.routes import make_application
from store.database import Database
from store.errors import DatabaseHeld, DatabaseRefused
from store.history import History
from store.subscriptions import Subscriptions

VERSION = "1.0.0"
# sysexits.h: what a supervisor needs to know about an end.
EXIT_CONFIG = 78
EXIT_HELD = 75
# Parts of the ten seconds within which a stop must be over.
DRAIN_S = 4.0
LEAVE_S = 3.0
CLOSE_S = 1.0
MAX_HEADER_BYTES = 64 * 1024
IDLE_S = 75
BODY_S = 30

log = logging.getLogger("server")


class PortHeld(Exception):
    """The address to listen on is taken or not ours."""


@dataclass(frozen=True)
class Service:
    """A running service, for the root and for tests that start the same root."""

    state: ServiceState
    hub: Hub
    port: int


def _now_us() -> int:
    return time.time_ns() // 1_000


def _tls(config: Config) -> ssl.SSLContext | None:
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
        tls = _tls(config)
        sockets = _listen(config.api_host, config.api_port)
        for bound in sockets:
            stack.callback(bound.close)
        database = await Database.open(
            Path(config.history_db),
            full_sync=config.history_synchronous == "full",
            query_timeout_s=config.query_timeout,
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
        await state.recorder.start()
        stack.push_async_callback(state.recorder.stop, DRAIN_S)
        state.broker.start()
        stack.push_async_callback(state.broker.stop, LEAVE_S)
        http = tornado.httpserver.HTTPServer(
            make_application(config, state, hub, _orders(config, state, hub)),
            max_header_size=MAX_HEADER_BYTES,
            max_body_size=2 * config.max_payload_bytes + 65_536,
            idle_connection_timeout=IDLE_S,
            body_timeout=BODY_S,
        )
        http.add_sockets(sockets)
        stack.push_async_callback(_close_connections, http, state.audience)
        stack.callback(http.stop)
        yield Service(state, hub, sockets[0].getsockname()[1])


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


def _broker_to_try(config: Config) -> tuple[Config, EmbeddedBroker | None]:
    """Return the configuration to use, and the embedded broker where one was started."""
    host, port = config.mqtt_broker_host, config.mqtt_broker_port
    if config.broker_is_given or is_listening(host, port):
        return config, None
    embedded = start_embedded_broker(port)
    if embedded is None:
        log.warning(
            "there is no broker at %s:%d, and the embedded one is not installed"
            " (pip install iotcore); waiting for yours",
            host,
            port,
        )
        return config, None
    return replace(config, mqtt_broker_host="127.0.0.1", mqtt_broker_stats="off"), embedded


def _greet(config: Config, service: Service, embedded: EmbeddedBroker | None) -> None:
    base = f"http://localhost:{service.port}"
    broker = f"{config.mqtt_broker_host}:{config.mqtt_broker_port}"
    if embedded is not None:
        broker += "  (embedded, for trying out; forgets everything when it stops)"
    print(
        f"\n  GhostMesh MQTT API {VERSION}\n\n"
        f"  API        {base}\n"
        f"  WebSocket  ws://localhost:{service.port}/ws\n"
        f"  Broker     {broker}\n"
        f"  Database   {Path(config.history_db).resolve()}\n\n"
        f'  Try:  curl -X POST {base}/publish -d \'{{"topic": "hello", "payload": "world"}}\'\n'
        f"        curl {base}/messages\n\n"
        "  Ctrl-C stops it.\n",
        flush=True,
    )


async def _run(config: Config, with_broker: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    embedded = None
    if with_broker:
        config, embedded = _broker_to_try(config)
    try:
        async with serve(config) as service:
            log.info("listening on %s:%d", config.api_host, service.port)
            if with_broker:
                _greet(config, service, embedded)
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
    options = parser.parse_args(arguments)
    try:
        config = Config.from_mapping(environment)
        if options.check_config:
            _tls(config)
            print("the configuration is fine")
            return 0
        set_up_logging(config.log_level, config.log_format, config.log_file)
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
