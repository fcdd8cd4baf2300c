"""The Grafana dashboard and the alert rules ask for metrics that the service has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.service_process import ROOT, ServiceProcess

DASHBOARD = json.loads((ROOT / "monitoring/grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text(encoding="utf-8"))
SCRAPE = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text(encoding="utf-8"))
# Prometheus makes this one itself.
OF_PROMETHEUS = {"up"}


def expressions() -> Iterator[str]:
    """Yield every expression of both files, with Grafana's variables filled in."""
    texts = [one["expr"] for panel in DASHBOARD["panels"] for one in panel["targets"]]
    texts += [one["expr"] for one in DASHBOARD["annotations"]["list"]]
    for text in texts:
        yield text.replace("$__rate_interval", "1m").replace("$instance", ".*")
    yield from (rule["expr"] for group in RULES["groups"] for rule in group["rules"])


def selectors(expression: Any) -> Iterator[Any]:
    """Yield every choice of a metric in a parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
        return
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        part = getattr(expression, name, None)
        if part is not None:
            yield from selectors(part)
    for part in getattr(expression, "args", ()):
        yield from selectors(part)


@pytest.fixture(scope="module")
def samples(shared: ServiceProcess) -> dict[str, set[str]]:
    """Each sample that the service shows, with the names of its labels."""
    shared.post("/publish", {"topic": "a", "payload": 1, "qos": 1})
    shared.wait_for(lambda: shared.get("/health").json()["message_count"] > 0)
    assert shared.get("/nowhere").status == 404
    families = list(text_string_to_metric_families(shared.get("/metrics").content.decode()))
    found: dict[str, set[str]] = {}
    for family in families:
        if family.type == "counter":  # shown once there is something to count
            found.setdefault(f"{family.name}_total", set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_every_expression_is_promql_and_names_what_there_is(samples: dict[str, set[str]]) -> None:
    """No panel and no alert waits for a metric or a label that does not exist."""
    counted = 0
    for text in expressions():
        for selector in selectors(promql_parser.parse(text)):
            counted += 1
            if selector.name in OF_PROMETHEUS:
                continue
            assert selector.name in samples, f"{selector.name} in {text}"
            labels = {one.name for one in selector.matchers.matchers} - {"instance", "job"}
            if samples[selector.name]:
                assert labels <= samples[selector.name], text
    assert counted > 40


def test_every_metric_of_ours_is_on_the_dashboard_or_in_an_alert(
    samples: dict[str, set[str]],
) -> None:
    """What is measured can be seen: but for a few that say the same in another way."""
    shown = " ".join(expressions())
    elsewhere = {
        "mqtt_api_history_newest_id",
        "mqtt_api_subscriptions",
        "mqtt_api_last_prune_timestamp_seconds",
        "mqtt_api_readers_fell_behind_total",
        "mqtt_api_anteroom_displaced_total",
    }
    ours = {name for name in samples if not re.search(r"_(sum|count)$|_process_", name)}
    assert {name for name in ours if name not in shown} <= elsewhere


def test_alerts_say_what_is_wrong_and_what_to_do() -> None:
    """Each has a severity, a sentence and an explanation, and docs/operations.md lists it."""
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    rules = [rule for group in RULES["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["description"].endswith(".")
        assert f"`{rule['alert']}`" in page, rule["alert"]


def test_panels_do_not_overlap_and_each_is_explained() -> None:
    """Every panel has a title, a description, and a place of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"] and panel["description"].endswith(".")
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken and at["x"] + at["w"] <= 24
        taken |= cells


def test_the_scrape_asks_where_the_metrics_are(shared: ServiceProcess) -> None:
    """The example for prometheus.yml has the path, and the job that the alerts name."""
    (job,) = SCRAPE["scrape_configs"]
    assert shared.get(job["metrics_path"]).status == 200
    assert f'job="{job["job_name"]}"' in RULES["groups"][0]["rules"][0]["expr"]
    assert SCRAPE["rule_files"] == ["alerts.yml"]
