"""`python -m bench [PART ...]`: measure, print one table, write it as Markdown and JSON.

Answers for: which parts there are and what they are written into (bench/results/). Does not:
measure, or touch the documentation (bench/tables.py does).
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench import fanout, ingest, latency, memory, publish, queries, stored
from bench.machine import facts
from bench.report import HEADER, RULE, Row

RESULTS = Path(__file__).parent / "results"
ROUNDS = 5
PARTS: dict[str, Callable[[int], list[Row]]] = {
    "ingest": ingest.measure,
    "fanout": fanout.measure,
    "publish": publish.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "stored": stored.measure,
}

QUERIES = "queries"


def main() -> None:
    """Run the parts that were asked for, or all."""
    parser = argparse.ArgumentParser(prog="bench", description="measure the service")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, QUERIES, []], help="all, unless named")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    machine, started = facts(), time.monotonic()
    machine["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    rows: dict[str, list[Row]] = {}
    broken: list[str] = []
    for name in options.parts or [*PARTS, QUERIES]:
        print(f"{name} ...", flush=True)
        try:
            if name == QUERIES:
                ask(machine)
            else:
                rows[name] = PARTS[name](options.rounds)
                write(name, rows[name], machine, options.rounds)
        except Exception:  # the other parts are worth having
            traceback.print_exc()
            broken.append(name)
    print(f"\n{HEADER}\n{RULE}")
    for row in [row for part in rows.values() for row in part]:
        print(row.line())
    print(f"\n{options.rounds} rounds; " + ", ".join(f"{n} {t}" for n, t in machine.items()))
    print(f"took {time.monotonic() - started:.0f} s; written to bench/results/")
    if broken:
        raise SystemExit(f"without a result: {', '.join(broken)}")


def ask(machine: dict[str, str]) -> None:
    """Run the questions, which have a table of their own."""
    figures = queries.measure()
    text = queries.report(figures)
    print(text)
    _write(QUERIES, text, {"machine": machine, "figures": asdict(figures)})


def write(name: str, rows: list[Row], machine: dict[str, str], rounds: int) -> None:
    """Write one part's table and figures."""
    lines = [HEADER, RULE, *[row.line() for row in rows]]
    record = {"machine": machine, "rounds": rounds, "rows": [row.record() for row in rows]}
    _write(name, "\n".join(lines), record)


def _write(name: str, table: str, record: dict[str, object]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(table + "\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
