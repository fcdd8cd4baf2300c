"""The composition root: from a configuration to objects that know each other, and back.

Answers for: what is made of what, the order of start and stop, the environment and the clock.
Does not: contain behaviour of the service, or the command line (tools/command_line.py).
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.iostream import StreamClosedError

from gateway.arrivals import Arrivals
from gateway.audience import NEW_LOG, Audience
from gateway.broker.broker import Broker
from gateway.broker.settings import broker_settings
from gateway.config import Config
from gateway.holdings import Holdings
from gateway.hub import Hub
from gateway.liveness import Liveness
from gateway.lobby import Lobby
from gateway.mailbox import Mailbox
from gateway.metrics import Metrics
from gateway.orders import Orders
from gateway.recorder import Recorder
from gateway.service_state import ServiceState
from gateway.tls import api_context, broker_context
from handlers.door import places_for
from handlers.gate import Gate
from handlers.guarding import make_gate
from handlers.http_server import close_connections, listen, make_http_server
from handlers.routes import make_application
from store.database import Database
from store.history import History
from store.subscriptions import Subscriptions
from tools import command_line

VERSION = "1.0.0"
# Parts of the ten seconds within which a stop must be over.
DRAIN_S = 4.0
LEAVE_S = 3.0
# How soon an open stream notices that its key was revoked or has expired.
KEY_CHECK_S = 2.0


@dataclass(frozen=True)
class Service:
    """A running service, for the root and for tests that start the same root."""

    state: ServiceState
    hub: Hub
    gate: Gate
    port: int


def now_us() -> int:
    """Return the time of day in microseconds since 1970, UTC: the clock of the whole program."""
    return time.time_ns() // 1_000


@asynccontextmanager
async def serve(config: Config) -> AsyncIterator[Service]:
    """Run the service; leaving the context is the orderly stop.

    Raises ConfigError, DatabaseRefused, DatabaseUnready, HistoryUnavailable or PortHeld when it
    cannot start.
    """
    async with AsyncExitStack() as stack:
        check(config)
        sockets = listen(config.api_host, config.api_port)
        for bound in sockets:
            stack.callback(bound.close)
        database, history = await _open_history(config, stack)
        metrics = Metrics(time.monotonic, now_us)
        asyncio.get_running_loop().set_exception_handler(
            functools.partial(_caught_by_loop, metrics)
        )
        hub = Hub(history.totals().newest_id, metrics.failures.caught)
        state = _connect_parts(config, database, history, hub, metrics)
        stack.push_async_callback(state.broker.stop)  # it has sockets before its start already
        stack.push_async_callback(state.holdings.close)
        await state.holdings.load(config.mqtt_subscriptions)
        state.liveness.start()
        stack.push_async_callback(state.liveness.stop)
        await state.recorder.start()
        stack.push_async_callback(state.recorder.stop, DRAIN_S)
        state.broker.start()
        stack.push_async_callback(state.broker.stop, LEAVE_S)
        gate = make_gate(config, now_us, time.monotonic)
        watch = asyncio.create_task(state.audience.watch(KEY_CHECK_S))
        stack.push_async_callback(_cancelled, watch)
        http = make_http_server(
            make_application(config, state, hub, _orders(config, state, hub), gate),
            state.lobby,
            api_context(config),
            config.max_payload_bytes,
        )
        http.add_sockets(sockets)
        stack.push_async_callback(close_connections, http, state.audience, state.broker.give_up)
        stack.callback(http.stop)
        yield Service(state, hub, gate, sockets[0].getsockname()[1])


def check(config: Config) -> None:
    """Make what depends on files that the configuration names; ConfigError where one fails."""
    broker_context(config), api_context(config), make_gate(config, now_us, time.monotonic)


async def _open_history(config: Config, stack: AsyncExitStack) -> tuple[Database, History]:
    database = await Database.open(
        Path(config.history_db),
        full_sync=config.history_synchronous == "full",
        query_timeout_s=config.query_timeout,
        now_us=now_us(),
        cap_bytes=config.max_history_bytes,
    )
    stack.push_async_callback(database.close)
    history = await History.open(
        database,
        now_us=now_us(),
        cap_rows=config.max_history_size,
        retention_hours=config.message_retention_hours,
        cap_bytes=config.max_history_bytes,
    )
    stack.push_async_callback(history.close)
    return database, history


def _connect_parts(
    config: Config, database: Database, history: History, hub: Hub, metrics: Metrics
) -> ServiceState:
    mailbox = Mailbox(asyncio.get_running_loop())
    arrivals = Arrivals(mailbox, metrics, now_us)
    audience = Audience(config.ws_max_connections, time.monotonic, metrics.failures.caught)

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

    broker = Broker(broker_settings(config), mailbox, arrivals, on_change=broker_changed)
    holdings = Holdings(
        broker,
        Subscriptions(database),
        arrivals,
        now_us=now_us,
        follow_statistics=config.mqtt_broker_stats == "auto",
    )
    recorder = Recorder(
        mailbox,
        history,
        metrics,
        acknowledge=broker.acknowledge,
        begin_anew=broker.begin_anew,
        hub=hub,
        now_us=now_us,
        monotonic=time.monotonic,
        gather_s=config.history_commit_interval_ms / 1000,
        on_change=tell_status,
        # Who comes back is told that it is another log.
        on_new_log=functools.partial(audience.dismiss_all, NEW_LOG),
    )
    return ServiceState(
        version=VERSION,
        broker=broker,
        holdings=holdings,
        arrivals=arrivals,
        mailbox=mailbox,
        recorder=recorder,
        history=history,
        audience=audience,
        lobby=Lobby(places_for(config.ws_max_connections), "connections", time.monotonic),
        liveness=Liveness(
            time.monotonic,
            turned=lambda: broker.last_turn,
            connecting=lambda: broker.connecting,
            writing_since=lambda: database.writing_since,
        ),
        metrics=metrics,
        now_us=now_us,
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


def _caught_by_loop(
    metrics: Metrics, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    """Count what a callback or a forgotten task threw; nobody else would. A peer that has left
    while a ping was on its way is no failure."""
    if isinstance(context.get("exception"), StreamClosedError):
        return
    sentence = str(context.get("message", "an error in the event loop"))
    metrics.failures.caught("event_loop", sentence, context.get("exception"))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def main(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run the service, or do what the arguments ask for; return the exit status."""
    return command_line.run(
        command_line.Root(VERSION, now_us, serve, check, broker_settings), arguments, environment
    )


def console() -> None:
    """Entry point of the console script."""
    sys.exit(main())


if __name__ == "__main__":
    console()
