"""What a sweep trades against what: one record an objective, read by fronts, figures, tables and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from poolsearch.records.sweep import TrialRow


@dataclass(frozen=True)
class Objective:
    """One figure of a trial that a sweep can ask for."""

    field: str  # of a TrialRow
    label: str
    best: str  # what the best value of a sweep is called
    higher_is_better: bool
    scale: float  # from the stored number to the shown one: accuracy is stored from 0 to 1 and shown in percent
    digits: int
    unit: str
    ticks: str  # d3 format of an axis over stored numbers

    def of(self, row: TrialRow) -> float | None:
        """Return the figure of a trial as stored, None where it has none."""
        value: float | None = getattr(row, self.field)
        return value

    def shown(self, value: float | None) -> str:
        """Return a figure with its unit, a dash for none."""
        return "–" if value is None else f"{self.scale * value:.{self.digits}f}{self.unit}"

    @property
    def axis(self) -> str:
        """Return the title of an axis: the name, its unit, and which way is better."""
        unit = ", ms" if self.unit == " ms" else ""
        return f"{self.label.lower()}{unit} ({'higher' if self.higher_is_better else 'lower'} is better)"

    def best_of(self, rows: Sequence[TrialRow]) -> TrialRow | None:
        """Return the row with the best figure, the first of equals; None where no row has one."""
        having = [row for row in rows if self.of(row) is not None]
        pick = max if self.higher_is_better else min
        return pick(having, key=lambda row: self.of(row) or 0.0, default=None)


OBJECTIVES: dict[str, Objective] = {
    "accuracy": Objective("accuracy", "Accuracy", "Best accuracy", True, 100, 1, " %", ".3~p"),
    "loss": Objective("loss", "Loss", "Lowest loss", False, 1, 3, "", ".3~g"),
    "latency_ms": Objective("latency_ms", "Latency", "Fastest", False, 1, 2, " ms", ".3~g"),
}
USUAL = ("accuracy", "latency_ms")


def axes(objectives: Sequence[str] = USUAL) -> tuple[Objective, Objective]:
    """Return what lies along x and along y in a picture of trials: latency and the first of the others."""
    first = next(name for name in objectives if name != "latency_ms")
    return OBJECTIVES["latency_ms"], OBJECTIVES[first]
