"""Which trials no other trial beats, in numpy (optuna's own takes 0.1 s at 600 trials)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from poolsearch.rows import TrialRow


def unbeaten(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return, for rows of two figures that should be small, whether no other row is as good in both and better in one.

    In the order of the first figure (then the second) a row is unbeaten when its second is below all before it;
    equals keep each other.
    """
    keep = np.zeros(len(values), dtype=bool)
    order = np.lexsort((values[:, 1], values[:, 0]))
    best, last = np.inf, -1
    for index in order:
        if values[index, 1] < best:
            best, last = values[index, 1], index
            keep[index] = True
        elif last >= 0 and (values[index] == values[last]).all():
            keep[index] = True
    return keep


def losses(row: TrialRow, objectives: Sequence[str]) -> tuple[float, ...] | None:
    """Return a trial's figures with small being good, or None when one is missing."""
    signed = {
        "accuracy": None if row.accuracy is None else -row.accuracy,
        "loss": row.loss,
        "latency_ms": row.latency_ms,
    }
    values = tuple(signed[name] for name in objectives)
    return None if any(value is None for value in values) else values  # type: ignore[return-value]


def mark_front(rows: Sequence[TrialRow], objectives: Sequence[str]) -> tuple[TrialRow, ...]:
    """Return the rows with `on_front` set where no other complete trial beats them."""
    figures = {row.number: losses(row, objectives) for row in rows if row.state == "complete"}
    numbers = [number for number, value in figures.items() if value is not None]
    keep = unbeaten(
        np.array([figures[number] for number in numbers], dtype=float).reshape(len(numbers), len(objectives))
    )
    best = {number for number, kept in zip(numbers, keep, strict=True) if kept}
    changed = {row.number for row in rows if row.on_front != (row.number in best)}
    return tuple(replace(row, on_front=not row.on_front) if row.number in changed else row for row in rows)


def front(rows: Sequence[TrialRow]) -> tuple[TrialRow, ...]:
    """Return the marked trials, fastest first."""
    return tuple(sorted((row for row in rows if row.on_front), key=lambda row: row.latency_ms or 0.0))
