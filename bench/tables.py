"""`python -m bench.tables`: put what was measured last into README.md and docs/performance.md.

Answers for: what stands between `<!-- bench: PARTS -->` and `<!-- end of bench -->`. Does not:
measure; it reads bench/results/.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench.report import HEADER, RULE

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
PAGES = ("README.md", "docs/performance.md")
PLACE = re.compile(r"(<!-- bench: ([\w ]+) -->\n).*?(<!-- end of bench -->)", re.DOTALL)
WIDTH = 105
PARTS = ("ingest", "fanout", "publish", "latency", "memory", "stored")
# What the README shows: the first row that begins like this, of each.
SUMMARY = (
    "QoS 1 ingest",
    "CPU a stored message",
    "fan-out to 100 readers, as",
    "POST /publish QoS 0",
    "publish to WebSocket receive",
    "GET /messages",
    "memory, idle",
    "disk",
    "start to ready",
)


def main() -> None:
    """Rewrite every place that there are results for."""
    for name in PAGES:
        page = ROOT / name
        page.write_text(PLACE.sub(_filled, page.read_text("utf-8")), "utf-8")


def _filled(place: re.Match[str]) -> str:
    summary = place.group(2) == "summary"
    names = PARTS if summary else place.group(2).split()
    files = [RESULTS / f"{name}.json" for name in names]
    if not all(file.exists() for file in files):
        return place.group(0)
    records = [json.loads(file.read_text("utf-8")) for file in files]
    if summary:
        table = _summary([row for record in records for row in record["rows"]])
    elif "rows" in records[0]:
        lines = [row["line"] for record in records for row in record["rows"]]
        table = "\n".join([HEADER, RULE, *lines])
    else:
        table = (RESULTS / f"{names[0]}.md").read_text("utf-8").strip()
    return f"{place.group(1)}{_when(records[0]['machine'])}\n\n{table}\n{place.group(3)}"


def _summary(rows: list[dict[str, Any]]) -> str:
    lines = ["| | measured | beside |", "|---|---|---|"]
    for begins in SUMMARY:
        row = next(row for row in rows if row["work"].startswith(begins))
        cells = [cell.strip() for cell in row["line"].strip("|").split("|")]
        beside = f"{cells[2]}: {cells[3]} times that" if cells[2] else ""
        lines.append(f"| {cells[0]} | {cells[1]} | {beside} |")
    return "\n".join(lines)


def _when(machine: dict[str, Any]) -> str:
    """Say when and where, wrapped."""
    facts = ", ".join(
        f"{name} {text}" if name not in ("CPU", "system") else text
        for name, text in machine.items()
        if name not in ("date", "load before")
    )
    words = (
        f"Measured on {machine['date']}: {facts}. Load before: {machine['load before']}.".split()
    )
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 1 > WIDTH:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


if __name__ == "__main__":
    main()
