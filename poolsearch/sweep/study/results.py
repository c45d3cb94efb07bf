"""What a trial may answer: figures that are there, finite and in range, or it counts as failed."""

from __future__ import annotations

import math
from typing import Any, Literal

from poolsearch.config import SweepConfig
from poolsearch.errors import TrialFailed
from poolsearch.objectives import OBJECTIVES


def directions(config: SweepConfig) -> list[Literal["minimize", "maximize"]]:
    """Return Optuna's direction of each objective."""
    return ["maximize" if OBJECTIVES[name].higher_is_better else "minimize" for name in config.objectives]


def values(result: dict[str, Any], config: SweepConfig) -> list[float]:
    """Return a trial's values in the order of the objectives.

    Raises TrialFailed for figures that can't be: they would sit on the front for ever (Optuna takes infinity).
    """
    try:
        figures = {"accuracy": result["accuracy"], "loss": result["loss"], "latency_ms": result["latency"]["ms"]}
    except (KeyError, TypeError):
        raise TrialFailed("The worker's answer lacks the accuracy, the loss or the latency.") from None
    for name, (low, high, unit) in _RANGES.items():
        value = figures[name]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high or (name == "latency_ms" and value == 0):
            raise TrialFailed(f"The {name.removesuffix('_ms')} can't be {value!r}{unit}.")
    return [float(figures[name]) for name in config.objectives]


_RANGES = {"accuracy": (0.0, 1.0, ""), "loss": (0.0, math.inf, ""), "latency_ms": (0.0, math.inf, " ms")}
