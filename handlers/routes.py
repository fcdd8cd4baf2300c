"""Which path is which handler, and exactly what each may touch.

Answers for: the one list of routes; refuses to build an application with a route that the
contract neither guards nor marks public. Does not: contain behaviour.
"""

from __future__ import annotations

import logging
import re
from typing import Any

import tornado.web

from gateway.config import Config
from gateway.hub import Encoder, Hub
from gateway.service_state import ServiceState
from handlers import messages, publish, service, subscriptions, websocket
from handlers.base import Handler, NotFound
from handlers.contract import Contract, load_document
from handlers.frames import BatchFrames, SingleFrames
from handlers.gate import Gate

log = logging.getLogger("access")


def make_application(config: Config, state: ServiceState, hub: Hub) -> tornado.web.Application:
    """Build the application. KeyError when a route has no entry or no scope in the contract."""
    contract = Contract(load_document(), state.version)
    gate = Gate(
        key=config.api_key, key_required=config.api_key_required, origins=config.cors_origins
    )
    shared = {"contract": contract, "gate": gate}
    history = {"history": state.history}
    encoders: dict[bool, Encoder] = {False: SingleFrames(), True: BatchFrames()}
    table: list[tuple[str, type[Handler], dict[str, Any]]] = [
        ("/", service.Root, {"state": state}),
        ("/health", service.Health, {"state": state}),
        ("/health/live", service.Liveness, {"state": state}),
        ("/health/ready", service.Readiness, {"state": state}),
        ("/stats", service.Stats, {"state": state}),
        ("/openapi.json", service.OpenApi, {}),
        (
            "/publish",
            publish.Publish,
            {
                "broker": state.broker,
                "metrics": state.metrics,
                "max_payload_bytes": config.max_payload_bytes,
            },
        ),
        ("/subscribe", subscriptions.Subscribe, {"holdings": state.holdings}),
        ("/subscribe/{topic}", subscriptions.Unsubscribe, {"holdings": state.holdings}),
        ("/subscriptions", subscriptions.SubscriptionList, {"holdings": state.holdings}),
        ("/messages", messages.Messages, {**history, "now_us": state.now_us}),
        ("/topics", messages.Topics, history),
        (
            "/ws",
            websocket.LiveSocket,
            {
                **history,
                "hub": hub,
                "holdings": state.holdings,
                "audience": state.audience,
                "metrics": state.metrics,
                "encoders": encoders,
                "now_us": state.now_us,
                "max_unsent_bytes": config.ws_max_buffer_bytes,
            },
        ),
    ]
    for path, _, _ in table:
        for method in contract.methods(path):
            if method not in ("OPTIONS", "HEAD"):
                contract.scope(path, method)
    return tornado.web.Application(
        [
            (_pattern(path), handler, {"path_template": path, **shared, **own})
            for path, handler, own in table
        ],
        default_handler_class=NotFound,
        default_handler_args={"path_template": "", **shared},
        log_function=log_request,
        websocket_ping_interval=config.ws_heartbeat_interval,
        websocket_ping_timeout=config.ws_heartbeat_interval,
        websocket_max_message_size=2 * config.max_payload_bytes,
    )


def _pattern(path: str) -> str:
    """Return the regular expression of a path template; a topic may contain slashes."""
    parts = re.split(r"(\{\w+\})", path)
    return "".join("(.*)" if part.startswith("{") else re.escape(part) for part in parts)


def log_request(handler: tornado.web.RequestHandler) -> None:
    """Write the access line: the path, never the query, which may hold a ticket."""
    status = handler.get_status()
    level = logging.INFO if status < 500 else logging.WARNING
    log.log(
        level,
        "%s %s %d %.1f ms id=%s",
        handler.request.method,
        handler.request.path,
        status,
        1000 * handler.request.request_time(),
        getattr(handler, "request_id", "-"),
    )
