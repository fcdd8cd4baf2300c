"""Which path is which handler, and exactly what each may touch.

Answers for: the one list of routes; refuses to build an application with a route that the
contract neither guards nor marks public. Does not: contain behaviour.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
from pathlib import Path
from typing import Any

import tornado.web

from gateway.config import Config
from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.orders import Orders
from gateway.service_state import ServiceState
from handlers import (
    access,
    dashboard,
    events,
    export,
    messages,
    metrics,
    pages,
    publish,
    service,
    subscriptions,
    topics,
    websocket,
)
from handlers.answers import HttpDate, RequestIds
from handlers.base import Handler, NotFound
from handlers.conflation import CountingEncoder
from handlers.contract import Contract, load_document
from handlers.frames import BatchFrames, SingleFrames
from handlers.gate import Gate
from handlers.parsing import without_credentials
from handlers.prompt import PromptApplication

log = logging.getLogger("access")

Route = tuple[str, type[Handler], dict[str, Any]]
# A body may hold the largest payload as base64 or escaped, and the fields beside it.
BODY_PER_PAYLOAD = 2
BODY_BESIDE_BYTES = 64 * 1024
# Answers that take as long as somebody reads: their duration says nothing.
STREAMS = ("/ws", "/events", "/export", "/backup")
# Anything may be sent as a method; it may not become a label of its own.
KNOWN_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# What the parts of a path template match: a topic may contain slashes, or be empty by mistake.
PARTS = {"{topic}": "(.*)", "{id}": "([^/]+)", "{file}": "([^/]+)", "{path}": "(.*)"}


def make_application(
    config: Config, state: ServiceState, hub: Hub, orders: Orders, gate: Gate
) -> tornado.web.Application:
    """Build the application. KeyError when a route has no entry or no scope in the contract."""
    contract = Contract(load_document(), state.version, config.api_root_path)
    shared = {
        "contract": contract,
        "gate": gate,
        "max_body_bytes": BODY_PER_PAYLOAD * config.max_payload_bytes + BODY_BESIDE_BYTES,
    }
    table = [*_order_routes(state, orders), *_service_routes(config, state)]
    table += [*_history_routes(config, state, hub), *_stream_routes(config, state, hub, orders)]
    for path, _, _ in table:
        for method in contract.methods(path):
            if method not in ("OPTIONS", "HEAD"):
                contract.scope(path, method)
    targets = {
        path: (handler, {"path_template": path, **shared, **own}) for path, handler, own in table
    }
    root_path = config.api_root_path
    return PromptApplication(
        [(_pattern(path, root_path), *target) for path, target in targets.items()],
        literal={
            shown: target
            for path, target in targets.items()
            if "{" not in path
            for shown in (path, root_path + path)
        },
        default_handler_class=NotFound,
        default_handler_args={"path_template": "", **shared},
        date=HttpDate(state.now_us),
        request_ids=RequestIds(),
        log_function=functools.partial(log_request, state.metrics),
        websocket_ping_interval=config.ws_heartbeat_interval,
        websocket_ping_timeout=config.ws_heartbeat_interval,
        websocket_max_message_size=BODY_PER_PAYLOAD * config.max_payload_bytes + BODY_BESIDE_BYTES,
    )


def _service_routes(config: Config, state: ServiceState) -> list[Route]:
    return [
        ("/", service.Root, {"state": state, "root_path": config.api_root_path}),
        ("/health", service.Health, {"state": state}),
        ("/health/live", service.Liveness, {"state": state}),
        ("/health/ready", service.Readiness, {"state": state}),
        ("/stats", service.Stats, {"state": state}),
        ("/metrics", metrics.Metrics, {"registry": metrics.make_registry(state)}),
        ("/openapi.json", service.OpenApi, {}),
        ("/asyncapi.json", service.AsyncApi, {}),
        ("/dashboard", dashboard.Dashboard, {}),
        ("/dashboard/{path}", dashboard.DashboardFile, {}),
        ("/docs", pages.Page, {"file": "docs.html"}),
        ("/redoc", pages.Page, {"file": "redoc.html"}),
        ("/assets/{file}", pages.Asset, {}),
        ("/whoami", access.WhoAmI, {}),
    ]


def _history_routes(config: Config, state: ServiceState, hub: Hub) -> list[Route]:
    log_reading = {"history": state.history, "hub": hub}
    timed = {**log_reading, "now_us": state.now_us}
    by_topic = {"history": state.history, "metrics": state.metrics}
    waiters = asyncio.Semaphore(config.ws_max_connections)
    return [
        ("/messages", messages.Messages, timed),
        ("/messages/{id}/payload", messages.RawPayload, log_reading),
        ("/messages/{id}", messages.OneMessage, log_reading),
        ("/export", export.Export, timed),
        (
            "/backup",
            export.Backup,
            {"history": state.history, "database": Path(config.history_db)},
        ),
        ("/topics", topics.Topics, by_topic),
        ("/topics/{topic}", topics.OneTopic, {**by_topic, "hub": hub, "waiters": waiters}),
        ("/series", topics.SeriesOf, {"history": state.history, "now_us": state.now_us}),
    ]


def _order_routes(state: ServiceState, orders: Orders) -> list[Route]:
    return [
        ("/publish", publish.Publish, {"orders": orders}),
        ("/publish/batch", publish.PublishBatch, {"orders": orders}),
        ("/request", publish.Request, {"orders": orders}),
        ("/subscribe", subscriptions.Subscribe, {"orders": orders}),
        ("/subscribe/{topic}", subscriptions.Unsubscribe, {"orders": orders}),
        ("/subscriptions", subscriptions.SubscriptionList, {"holdings": state.holdings}),
    ]


def _stream_routes(config: Config, state: ServiceState, hub: Hub, orders: Orders) -> list[Route]:
    reading = {
        "hub": hub,
        "history": state.history,
        "holdings": state.holdings,
        "audience": state.audience,
        "metrics": state.metrics,
        "now_us": state.now_us,
        "max_unsent_bytes": config.ws_max_buffer_bytes,
    }
    encoders: dict[bool, CountingEncoder] = {False: SingleFrames(), True: BatchFrames()}
    event_encoder = events.EventEncoder(lambda: state.history.totals().epoch)
    heartbeat_s = config.ws_heartbeat_interval
    return [
        ("/ws/ticket", access.Ticket, {}),
        ("/ws", websocket.LiveSocket, {**reading, "orders": orders, "encoders": encoders}),
        (
            "/events",
            events.Events,
            {**reading, "encoder": event_encoder, "heartbeat_s": heartbeat_s},
        ),
    ]


def _pattern(path: str, root_path: str) -> str:
    """Return the regular expression of a path template; a topic may contain slashes.

    A proxy that shows us under a path may take it off or pass it on: both are understood.
    """
    parts = re.split(r"(\{\w+\})", path)
    own = "".join(PARTS.get(part, re.escape(part)) for part in parts)
    if not root_path:
        return own
    prefix = re.escape(root_path)
    return f"(?:(?:{prefix})?/|{prefix})" if path == "/" else f"(?:{prefix})?{own}"


def log_request(counts: Metrics, handler: tornado.web.RequestHandler) -> None:
    """Count the answer by its handler, and write the access line: the path, never the query,
    which may hold a ticket."""
    status = handler.get_status()
    if status == 500:
        counts.failures.counts["http"] += 1
    template = getattr(handler, "path_template", "") or "none"
    seconds = None if template in STREAMS else handler.request.request_time()
    method = handler.request.method if handler.request.method in KNOWN_METHODS else "other"
    counts.http.add(template, method or "other", status, seconds)
    level = logging.INFO if status < 500 else logging.WARNING
    if not log.isEnabledFor(level):
        return
    log.log(
        level,
        "%s %s %d %.1f ms id=%s",
        method,  # a word that is none of ours may be anything, also a key
        without_credentials(handler.request.path),
        status,
        1000 * handler.request.request_time(),
        getattr(handler, "request_id", "-"),
    )
