"""`GET /metrics`: the counters in the Prometheus text format.

Answers for: names and types. Does not: count; gateway/metrics.py does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from gateway.metrics import DROP_CAUSES, FAILURE_PLACES, WRITE_FAILURE_CAUSES
from gateway.service_state import ServiceState
from handlers.base import Handler

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ServiceCollector(Collector):
    """Reads the state at each scrape."""

    def __init__(self, state: ServiceState) -> None:
        self._state = state

    def collect(self) -> Iterator[Any]:
        """Yield every family."""
        yield from self._counters()
        yield from self._labelled()
        yield from self._histograms()
        yield from self._gauges()
        yield InfoMetricFamily("mqtt_api_build", "What runs", {"version": self._state.version})

    def _counters(self) -> Iterator[CounterMetricFamily]:
        metrics, lobby = self._state.metrics, self._state.lobby
        anteroom, totals = self._state.audience.anteroom, self._state.history.totals()
        for name, sentence, value in (
            ("received", "Messages received from the broker", metrics.received_total),
            ("stored", "Messages stored in the history", metrics.stored_total),
            ("pruned", "Messages removed by retention", totals.pruned_total),
            ("published", "Messages published over the API", metrics.published_total),
            ("readers_fell_behind", "Times a live reader fell behind", metrics.fell_behind_total),
            ("connections_displaced", "Closed for others when full", lobby.displaced_total),
            ("connections_refused", "Refused when full", lobby.refused_total),
            ("anteroom_displaced", "Closed before they showed a key", anteroom.displaced_total),
        ):
            yield CounterMetricFamily(f"mqtt_api_{name}", sentence, value)

    def _labelled(self) -> Iterator[CounterMetricFamily]:
        metrics = self._state.metrics
        failed, failures = metrics.write_failures, metrics.failures.counts
        for name, sentence, label, kinds, counts in (
            ("dropped", "Deliveries not stored", "cause", DROP_CAUSES, metrics.dropped),
            ("write_failures", "Failed commits", "cause", WRITE_FAILURE_CAUSES, failed),
            ("failures", "Exceptions caught at a boundary", "place", FAILURE_PLACES, failures),
        ):
            family = CounterMetricFamily(f"mqtt_api_{name}", sentence, labels=[label])
            for kind in sorted({*kinds, *counts}):
                family.add_metric([kind], counts[kind])
            yield family
        answers = CounterMetricFamily(
            "mqtt_api_http_requests", "HTTP answers", labels=["handler", "method", "status"]
        )
        for (handler, method, status), count in sorted(metrics.http.answers.items()):
            answers.add_metric([handler, method, str(status)], count)
        yield answers

    def _histograms(self) -> Iterator[HistogramMetricFamily]:
        metrics = self._state.metrics
        for name, sentence, counted in (
            ("commit_seconds", "Duration of a commit", metrics.commit_seconds),
            ("commit_messages", "Messages stored in a commit", metrics.batch_messages),
            (
                "commit_lag_seconds",
                "From arrival to commit, of the oldest message of each commit",
                metrics.commit_lag_seconds,
            ),
            (
                "show_lag_seconds",
                "From arrival to the sockets of live readers, of the same message",
                metrics.show_lag_seconds,
            ),
        ):
            yield HistogramMetricFamily(
                f"mqtt_api_{name}", sentence, buckets=counted.buckets(), sum_value=counted.total
            )
        took = HistogramMetricFamily(
            "mqtt_api_http_request_seconds", "Duration of a request", labels=["handler"]
        )
        for handler, counted in sorted(metrics.http.seconds.items()):
            took.add_metric([handler], counted.buckets(), counted.total)
        yield took

    def _gauges(self) -> Iterator[GaugeMetricFamily]:
        state = self._state
        sizes, totals = state.history.sizes(), state.history.totals()
        pruned_us = state.recorder.last_prune_us
        for name, sentence, value in (
            ("broker_connected", "1 while connected to the broker", int(state.mqtt_connected)),
            ("history_writable", "1 while the history can be written", not state.recorder.trouble),
            ("queue_messages", "Messages received and not stored yet", state.mailbox.depth),
            ("history_messages", "Messages in the history", totals.message_count),
            ("history_newest_id", "Id of the newest message", totals.newest_id),
            ("subscriptions", "Filters held at the broker", len(state.holdings.all())),
            ("subscriptions_refused", "Filters it refused", len(state.holdings.refused)),
            ("connections", "Open connections", state.lobby.count),
            ("connections_max", "Connections that may be open", state.lobby.places),
            ("anteroom", "WebSockets without a key yet", state.audience.anteroom.count),
            ("readers", "Connected readers", state.audience.count),
            ("readers_behind", "Readers fed from the history", state.audience.behind),
            ("database_bytes", "Size of the database file", sizes["database_bytes"]),
            ("wal_bytes", "Size of its write-ahead log", sizes["wal_bytes"]),
            ("last_prune_timestamp_seconds", "When retention last removed", (pruned_us or 0) / 1e6),
            ("loop_lag_seconds", "Longest delay of a timer in a minute", state.liveness.lag_s),
            ("uptime_seconds", "Seconds since the start", state.uptime_s()),
        ):
            yield GaugeMetricFamily(f"mqtt_api_{name}", sentence, value)


class Metrics(Handler):
    """`GET /metrics`."""

    registry: CollectorRegistry

    def get(self) -> None:
        """Answer a scrape."""
        self.query()
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish_with(generate_latest(self.registry))


def make_registry(state: ServiceState) -> CollectorRegistry:
    """Return the registry of one service."""
    registry = CollectorRegistry()
    registry.register(ServiceCollector(state))
    ProcessCollector("mqtt_api", registry=registry)  # memory, CPU, files, start
    return registry
