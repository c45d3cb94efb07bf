"""What a trial may answer: figures that are there, finite and in range, or it counts as failed."""

from __future__ import annotations

from typing import Any

from poolsearch.config import SweepConfig
from poolsearch.errors import TrialFailed
from poolsearch.objectives import OBJECTIVES


def values(result: dict[str, Any], config: SweepConfig) -> list[float]:
    """Return a trial's values in the order of the objectives.

    Raises TrialFailed for figures that can't be: they would sit on the front for ever (Optuna takes infinity).
    """
    asked = dict.fromkeys((*(name for name, one in OBJECTIVES.items() if not one.of_totals), *config.objectives))
    try:
        figures = {name: OBJECTIVES[name].in_result(result) for name in asked}
    except (KeyError, TypeError):
        raise TrialFailed(f"The worker's answer lacks one of these: {', '.join(asked)}.") from None
    for name, value in figures.items():
        objective = OBJECTIVES[name]
        if not objective.allows(value):
            unit = objective.stored_unit and f" {objective.stored_unit}"
            raise TrialFailed(f"The {objective.label.lower()} can't be {value!r}{unit}.")
    return [float(figures[name]) for name in config.objectives]  # type: ignore[arg-type]  # allowed: a number
