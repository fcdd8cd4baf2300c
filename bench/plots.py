"""`python -m bench.plots`: how cost grows, drawn into docs/performance.svg.

Answers for: ingest against stored messages, topics and readers, and questions against stored
messages. The figures are kept in bench/results/curves.json.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from bench.ingest import TOPICS, rate, stored
from bench.machine import facts
from bench.queries import ask
from bench.stage import Tool, broker, scratch, service

ROOT = Path(__file__).parent.parent
STEP, STEPS = 100_000, 10
SMALL = 50_000
TOPIC_COUNTS = (10, 100, 1_000, 10_000)
READER_COUNTS = (0, 1, 10, 50, 100, 200)
ANSWERS = 5
QUESTIONS = {
    "latest 100 of all": "/messages?limit=100",
    "latest 100 of one topic": "/messages?limit=100&topic=bench/line3/t123",
    "100 from the middle": "/messages?limit=100&before={middle}",
    "1,000 topics in detail": "/topics?details=true",
}
Curve = list[tuple[float, float]]


def against_stored() -> tuple[Curve, dict[str, Curve]]:
    """Messages a second, and milliseconds of each question, while the history grows."""
    rates: Curve = []
    took: dict[str, Curve] = {name: [] for name in QUESTIONS}
    with scratch() as directory, broker(directory) as port, service(directory, port) as running:
        assert running.service is not None
        for step in range(1, STEPS + 1):
            rates.append((step * STEP, stored(running, port, STEP)[0]))
            for name, path in QUESTIONS.items():
                asked = path.format(middle=step * STEP // 2)
                times = [ask(running.service, asked) for _ in range(ANSWERS)]
                took[name].append((step * STEP, statistics.median(times)))
    return rates, took


def against_topics() -> Curve:
    """Messages a second by topics."""
    curve: Curve = []
    for topics in TOPIC_COUNTS:
        with scratch() as directory, broker(directory) as port, service(directory, port) as one:
            stored(one, port, topics, topics)  # the names are known from here on
            curve.append((topics, stored(one, port, SMALL, topics)[0]))
    return curve


def against_readers() -> Curve:
    """Messages a second that are stored and that every reader has, by readers."""
    curve: Curve = []
    for readers in READER_COUNTS:
        with scratch() as directory, broker(directory) as port, service(directory, port) as one:
            if not readers:
                curve.append((readers, stored(one, port, SMALL)[0]))
                continue
            receiver = Tool("ws_receive", one.port, "/ws", readers, SMALL // 5)
            Tool("blast", port, SMALL // 5, TOPICS, 1, 0).result()
            found = receiver.result()
            curve.append((readers, rate(SMALL // 5, found["first_ns"], found["last_ns"])))
    return curve


def draw(curves: dict[str, Curve], took: dict[str, Curve], when: str) -> None:
    """Draw four panels."""
    matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9})
    figure, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    panels = ((a, "stored messages", "linear"), (b, "topics", "log"), (c, "readers", "linear"))
    for panel, name, scale in panels:
        panel.plot(*zip(*curves[name], strict=True), marker="o", color="#2a6f97")
        panel.set(xlabel=name, ylabel="messages stored a second", xscale=scale)
        panel.set_ylim(0, 1.1 * panel.get_ylim()[1])
    for name, curve in took.items():
        d.plot(*zip(*curve, strict=True), marker=".", label=name)
    d.set(xlabel="stored messages", ylabel="ms an answer", yscale="log")
    d.legend(fontsize=8)
    for panel in (a, b, c, d):
        panel.grid(alpha=0.3)
        panel.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    figure.suptitle(when, fontsize=9)
    figure.savefig(ROOT / "docs" / "performance.svg", metadata={"Date": None})


def main() -> None:
    """Measure, keep, draw."""
    machine = facts()
    rates, took = against_stored()
    curves = {"stored messages": rates, "topics": against_topics(), "readers": against_readers()}
    when = f"{time.strftime('%Y-%m-%d', time.gmtime())}, {machine['CPU']}"
    record = {"machine": machine, "curves": curves, "questions_ms": took}
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "curves.json").write_text(json.dumps(record, indent=1) + "\n")
    draw(curves, took, when)
    for name, curve in curves.items():
        print(name, ", ".join(f"{x:,.0f}: {y:,.0f}/s" for x, y in curve))


if __name__ == "__main__":
    main()
