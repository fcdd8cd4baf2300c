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

from gateway.metrics import DROP_CAUSES, FAILURE_PLACES
from handlers.contract import load_document
from store.failures import CAUSES
from tests.service_process import ROOT, ServiceProcess

DASHBOARD = json.loads((ROOT / "monitoring/grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((ROOT / "monitoring/alerts.yml").read_text(encoding="utf-8"))
SCRAPE = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text(encoding="utf-8"))
# Prometheus makes this one itself.
OF_PROMETHEUS = {"up"}
SOURCES = ("gateway", "handlers", "store", "tools")
STATUSES = {
    status
    for path in load_document()["paths"].values()
    for operation in path.values()
    if isinstance(operation, dict)
    for status in operation.get("responses", {})
}


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
def samples(shared: ServiceProcess) -> dict[str, dict[str, set[str]]]:
    """Each sample that the service shows, with its labels and the values that they have."""
    shared.post("/publish", {"topic": "a", "payload": 1, "qos": 1})
    shared.wait_for(lambda: shared.get("/health").json()["message_count"] > 0)
    assert shared.get("/nowhere").status == 404
    families = list(text_string_to_metric_families(shared.get("/metrics").content.decode()))
    found: dict[str, dict[str, set[str]]] = {}
    for family in families:
        if family.type == "counter":  # shown once there is something to count
            found.setdefault(f"{family.name}_total", {})
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def test_every_expression_is_promql_and_names_what_there_is(
    samples: dict[str, dict[str, set[str]]],
) -> None:
    """No panel and no alert waits for a metric, a label, or the value of a label that does not
    exist."""
    counted = 0
    for text in expressions():
        for selector in selectors(promql_parser.parse(text)):
            counted += 1
            if selector.name in OF_PROMETHEUS:
                continue
            assert selector.name in samples, f"{selector.name} in {text}"
            values = samples[selector.name]
            for matcher in selector.matchers.matchers:
                if matcher.name in ("instance", "job"):
                    continue
                assert matcher.name in values, text
                known = STATUSES if matcher.name == "status" else values[matcher.name]
                for one in matcher.value.split("|"):
                    assert any(re.fullmatch(one, value) for value in known), f"{one} in {text}"
    assert counted > 40


def test_whatever_an_alert_counts_is_there_before_the_first_time(
    samples: dict[str, dict[str, set[str]]],
) -> None:
    """Prometheus sees no increase in a count that begins to exist at 1. So each cause and each
    place that the program can count under is shown from the start."""
    assert samples["mqtt_api_dropped_total"]["cause"] == set(DROP_CAUSES)
    assert samples["mqtt_api_write_failures_total"]["cause"] == {*CAUSES.values(), "other"}
    assert samples["mqtt_api_failures_total"]["place"] == set(FAILURE_PLACES)
    files = [file for folder in SOURCES for file in (ROOT / folder).rglob("*.py")]
    text = "\n".join(file.read_text("utf-8") for file in [*files, ROOT / "server.py"])
    place = r"(?:caught|\bfailed|_failed|_guarded)\(\s*\"(\w+)\"|failures\.counts\[\"(\w+)\"\]"
    places = {one or other for one, other in re.findall(place, text)}
    assert len(places) > 12 and places <= set(FAILURE_PLACES), places - set(FAILURE_PLACES)
    assert {*re.findall(r"_for_ever\(\"(\w+)\"", text)} <= set(FAILURE_PLACES)
    causes = set(re.findall(r"dropped\[\"(\w+)\"\]", text))
    assert causes | set(re.findall(r"\"(mailbox_full_\w+)\"", text)) == set(DROP_CAUSES)


def test_names_are_as_prometheus_has_them(shared: ServiceProcess) -> None:
    """Each family has a help and a type; counters end in _total; what has a unit names it last,
    seconds or bytes, and nothing smaller or larger."""
    text = shared.get("/metrics").content.decode()
    families = re.findall(r"(?m)^# TYPE (\S+) (\w+)$", text)
    assert {name for name, _ in families} == set(re.findall(r"(?m)^# HELP (\S+) \S", text))
    for name, kind in families:
        assert re.fullmatch(r"mqtt_api_[a-z]+(_[a-z]+)*", name), name
        assert name.endswith("_total") is (kind == "counter"), name
        assert not re.search(r"_(ms|us|milliseconds|kb|mb|percent|minutes|hours)(_|$)", name)
        assert not re.search(r"_(seconds|bytes)_(?!total)", name), f"the unit is not last: {name}"


def test_every_metric_of_ours_is_on_the_dashboard_or_in_an_alert(
    samples: dict[str, dict[str, set[str]]],
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
