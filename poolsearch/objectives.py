"""What a sweep trades against what: one record an objective, which config, study, front, tables, figures, pages read.

A new objective is one entry of `OBJECTIVES` where it follows from the Plan alone (`of_totals`). What has to be
measured needs, beside its entry, the measurement that writes it into a trial's result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from poolsearch.records.network import Totals
from poolsearch.records.sweep import TrialRow


@dataclass(frozen=True)
class Objective:
    """One figure of a trial that a sweep can ask for."""

    name: str  # in a config; what is stored is in the unit that it ends in
    label: str
    best: str  # what the best value of a sweep is called
    meaning: str
    higher_is_better: bool = False
    trained: bool = False  # how well a network does, for one of which a sweep asks; the others are what it costs
    low: float = 0.0  # the range of the stored number
    high: float = math.inf
    zero: bool = True  # it may be zero
    scale: float = 1  # from the stored number to the shown one: accuracy is stored from 0 to 1 and shown in percent
    digits: int = 2
    unit: str = ""  # of the shown number
    ticks: str = ".3~g"  # d3 format of an axis over stored numbers
    full_scale: bool = False  # from `low` to `high` is a scale that a bar can show
    synonyms: tuple[str, ...] = ()  # what others call it
    stored: tuple[str, ...] = ()  # the keys to it in a trial's result, where that is not its name
    of_totals: Callable[[Totals], float] | None = None  # how it follows from a Plan's totals; None: it is measured

    def of(self, row: TrialRow) -> float | None:
        """Return the figure of a trial as stored, None where it has none."""
        value: float | None = dict(row.costs).get(self.name) if self.of_totals else getattr(row, self.name)
        return value

    def scaled(self, row: TrialRow) -> float | None:
        """Return the figure of a trial as shown, None where it has none."""
        value = self.of(row)
        return None if value is None else self.scale * value

    def in_result(self, result: Mapping[str, Any]) -> object:
        """Return the figure in what a worker answered. Raises KeyError or TypeError where it lacks it."""
        value: Any = result
        for key in self.stored or (("costs", self.name) if self.of_totals else (self.name,)):
            value = value[key]
        return value

    def allows(self, value: object) -> bool:
        """Return whether a stored figure can be: a finite number in range."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return self.low <= value <= self.high and (self.zero or value != 0)

    def shown(self, value: float | None) -> str:
        """Return a figure with its unit, a dash for none."""
        return "–" if value is None else f"{self.scale * value:.{self.digits}f}{self.unit and f' {self.unit}'}"

    @property
    def column(self) -> str:
        """Return the head of a table's column: the name and the unit of what is shown."""
        return f"{self.label.lower()}{self.unit and f', {self.unit}'}"

    @property
    def stored_unit(self) -> str:
        """Return the unit of the stored number; "" of a share, which is shown in percent."""
        return self.unit if self.scale == 1 else ""

    @property
    def axis(self) -> str:
        """Return the title of an axis: the name, its unit, and which way is better."""
        unit = self.stored_unit and f", {self.stored_unit}"  # percent is written at its ticks
        return f"{self.label.lower()}{unit} ({'higher' if self.higher_is_better else 'lower'} is better)"

    def best_of(self, rows: Sequence[TrialRow]) -> TrialRow | None:
        """Return the row with the best figure, the first of equals; None where no row has one."""
        having = [row for row in rows if self.of(row) is not None]
        pick = max if self.higher_is_better else min
        return pick(having, key=lambda row: self.of(row) or 0.0, default=None)


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            "accuracy",
            "Accuracy",
            "Best accuracy",
            "top-1 on validation images",
            higher_is_better=True,
            trained=True,
            high=1.0,
            scale=100,
            digits=1,
            unit="%",
            ticks=".3~p",
            full_scale=True,
            synonyms=("acc", "top1", "top-1", "val_accuracy", "val_acc"),
        ),
        Objective(
            "loss",
            "Loss",
            "Lowest loss",
            "mean cross-entropy on validation images",
            trained=True,
            digits=3,
            synonyms=("val_loss",),
        ),
        Objective(
            "latency_ms",
            "Latency",
            "Fastest",
            "median time of a forward pass",
            zero=False,
            unit="ms",
            synonyms=("latency", "speed", "time", "runtime"),
            stored=("latency", "ms"),
        ),
        Objective(
            "peak_mib",
            "Peak memory",
            "Smallest peak",
            "all activations that are needed at once, of one image at inference in float32",
            zero=False,
            unit="MiB",
            synonyms=("peak", "memory", "peak_bytes", "peak_memory", "activation_memory"),
            of_totals=lambda totals: totals.peak_bytes / 2**20,
        ),
    )
}
USUAL = ("accuracy", "latency_ms")
MOST = 3  # objectives of one sweep: a picture shows no more


def costs_of(totals: Totals) -> dict[str, float]:
    """Return the figures that follow from a Plan's totals, by objective."""
    return {one.name: one.of_totals(totals) for one in OBJECTIVES.values() if one.of_totals}


def possible(objectives: Sequence[str]) -> bool:
    """Return whether a sweep can trade these: one figure of how well a network does, and what it costs."""
    trained = [name for name in objectives if OBJECTIVES[name].trained]
    return len(trained) == 1 and 2 <= len(objectives) <= MOST and len(set(objectives)) == len(objectives)


def axes(objectives: Sequence[str] = USUAL) -> tuple[Objective, Objective]:
    """Return what lies along x and along y in a picture of trials: the first cost, and how well networks do."""
    cost = next(name for name in objectives if not OBJECTIVES[name].trained)
    trained = next(name for name in objectives if OBJECTIVES[name].trained)
    return OBJECTIVES[cost], OBJECTIVES[trained]


def third(objectives: Sequence[str]) -> Objective | None:
    """Return what the colours of a picture of trials show, None where two axes show all."""
    shown = {objective.name for objective in axes(objectives)}
    return next((OBJECTIVES[name] for name in objectives if name not in shown), None)
