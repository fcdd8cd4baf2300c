"""Rows of measurements: medians, ratios, targets, and how they are shown.

Answers for: the arithmetic and the table. Does not: measure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path

HEADER = "| work | ours | reference | ratio | spread | target | holds |"
RULE = "|---|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Row:
    """One line of the table: `ours` and `reference` hold a figure for each round.

    What is judged is the median of the rounds' ratios, or of `ours` where there is no reference.
    """

    work: str
    unit: str
    ours: Sequence[float]
    target: float
    at_least: bool = True
    reference: Sequence[float] = field(default_factory=tuple)
    reference_name: str = ""
    note: str = ""

    @property
    def figures(self) -> list[float]:
        """What is judged, for each round."""
        if not self.reference:
            return list(self.ours)
        return [
            a / b if b else float("inf") for a, b in zip(self.ours, self.reference, strict=True)
        ]

    @property
    def figure(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.figures)

    @property
    def holds(self) -> bool:
        """Whether the target is reached."""
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    def line(self) -> str:
        """Return the row as Markdown."""
        low, high = min(self.figures), max(self.figures)
        reference = ""
        if self.reference:
            reference = f"{self.reference_name} {shown(statistics.median(self.reference))}"
        ratio = f"{self.figure:.2f}" if self.reference else ""
        bound = f"{'at least' if self.at_least else 'at most'} {shown(self.target)}"
        bound += " x" if self.reference else f" {self.unit}"
        return (
            f"| {self.work} | {shown(statistics.median(self.ours))} {self.unit} | {reference} |"
            f" {ratio} | {shown(low)} to {shown(high)} | {bound} |"
            f" {'yes' if self.holds else 'NO'} |"
        )

    def record(self) -> dict[str, object]:
        """Return the row for JSON."""
        return {**asdict(self), "line": self.line(), "figure": self.figure, "holds": self.holds}


def shown(number: float) -> str:
    """Return a figure with as many digits as it deserves."""
    if abs(number) >= 1_000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if abs(number) < 100 else f"{number:.0f}"


def collect(
    sides: Iterable[Callable[[Path], dict[str, float]]],
    rounds: int,
    scratch: Callable[[], AbstractContextManager[Path]],
) -> dict[str, list[float]]:
    """Ask every side once a round, one after the other, so that a slow moment hits all alike."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        for side in sides:
            with scratch() as directory:
                figures = side(directory)
            for name, figure in figures.items():
                found.setdefault(name, []).append(figure)
        said = ", ".join(f"{name} {shown(values[-1])}" for name, values in found.items())
        print(f"  round {number + 1}: {said}", flush=True)
    return found
