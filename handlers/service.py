"""The service about itself: GET /, /health, /stats and the OpenAPI document.

Does not: measure anything; it reports what the collaborators know.
"""

from __future__ import annotations

from gateway.service_state import ServiceState
from handlers.base import Handler
from store.message import iso_time
from store.minutes import HOUR_US
from store.topics import TopicFilter


class Root(Handler):
    """`GET /`."""

    state: ServiceState
    root_path: str

    def get(self) -> None:
        """Say who we are; a browser is sent to the dashboard."""
        self.query()
        self.set_header("Vary", "Accept")
        if "text/html" in self.request.headers.get("Accept", ""):
            self.set_status(302)
            self.set_header(
                "Location", f"{self.root_path}/dashboard" if self.root_path else "dashboard"
            )
            self.finish_with(b"")
            return
        self.reply(
            {
                "service": "GhostMesh MQTT API Backend",
                "version": self.state.version,
                "status": "running",
                "docs": f"{self.root_path}/docs",
                "health": f"{self.root_path}/health",
            }
        )


class Probe(Handler):
    """Base of the health endpoints: never limited, so that a supervisor always gets an answer."""

    state: ServiceState
    is_limited = False


class Health(Probe):
    """`GET /health`: always 200, and true."""

    def get(self) -> None:
        """Report what works and what does not."""
        self.query()
        state = self.state
        reasons = state.reasons()
        self.reply(
            {
                "status": "degraded" if reasons else "healthy",
                "mqtt_connected": state.mqtt_connected,
                "uptime": state.uptime_s(),
                "message_count": state.history.totals().message_count,
                "active_subscriptions": len(state.holdings.all()),
                "websocket_connections": state.audience.count,
                "reasons": reasons,
            }
        )


class Liveness(Probe):
    """`GET /health/live`: 503 when the process should be restarted."""

    def get(self) -> None:
        """Answer 200 or 503 with reasons."""
        self.query()
        reasons = self.state.liveness.stalled()
        self.reply(
            {"status": "stuck" if reasons else "live", "reasons": reasons}, 503 if reasons else 200
        )


class Readiness(Probe):
    """`GET /health/ready`: broker connected and history writable."""

    def get(self) -> None:
        """Answer 200 or 503 with reasons."""
        self.query()
        reasons = self.state.unready()
        self.reply(
            {"status": "not ready" if reasons else "ready", "reasons": reasons},
            503 if reasons else 200,
        )


class Stats(Handler):
    """`GET /stats`."""

    state: ServiceState

    async def get(self) -> None:
        """Report the counters; to a narrowed caller only those of the topics it may see."""
        self.query()
        state, within = self.state, self.caller.read
        unique_topics, topic_counts = await state.history.topic_counts(within)
        totals, metrics = state.history.totals(), state.metrics
        everything = {} if within is not None else self._of_everything()
        last_prune_us = state.recorder.last_prune_us
        self.reply(
            {
                "total_messages": totals.message_count,
                "unique_topics": unique_topics,
                "recent_messages": state.history.recent_count(state.now_us()),
                "topic_counts": topic_counts,
                "mqtt_connected": state.mqtt_connected,
                "websocket_connections": state.audience.count,
                "uptime": state.uptime_s(),
                "published_total": metrics.published_total,
                "queue_depth": state.mailbox.depth,
                "readers_behind": state.audience.behind,
                "readers_fell_behind_total": metrics.fell_behind_total,
                "oldest_id": totals.oldest_id,
                "newest_id": totals.newest_id,
                "epoch": totals.epoch,
                "retention": state.retention,
                "last_prune": None if last_prune_us is None else iso_time(last_prune_us),
                "broker": None,
                **everything,
                **(await self._narrowed(within) if within is not None else {}),
            }
        )

    def _of_everything(self) -> dict[str, object]:
        state, metrics = self.state, self.state.metrics
        return {
            "received_total": metrics.received_total,
            "stored_total": metrics.stored_total,
            "dropped_total": dict(metrics.dropped),
            "write_failures_total": dict(metrics.write_failures),
            "failures_total": dict(metrics.failures.counts),
            "rate_1m": metrics.rate.per_second(),
            **state.history.sizes(),
            "broker": dict(sorted(state.arrivals.broker_says.items())) or None,
        }

    async def _narrowed(self, within: TopicFilter) -> dict[str, object]:
        since_us = self.state.now_us() - HOUR_US
        total, recent = await self.state.history.counts_of(within, since_us)
        return {"total_messages": total, "recent_messages": recent}


class OpenApi(Handler):
    """`GET /openapi.json`."""

    def get(self) -> None:
        """Return the document that the validators are compiled from."""
        self.query()
        self.reply(self.contract.document)


class AsyncApi(Handler):
    """`GET /asyncapi.json`."""

    def get(self) -> None:
        """Return the description of the frames on /ws and /events."""
        self.query()
        self.reply(self.contract.streams)
