"""Does one trial's figure rank Plans? Kendall's tau between two seeds over Plans drawn evenly from the default space.

    python benchmarks/ranking.py [--plans 24] [--seeds 2]        (about 5 minutes on one core)

The data, the space and the recipe are those of experiments/configs/cluttered-digits.toml. A seed is that of the
weights and of the order of the images; the images stay the same. Scored on the validation images after the last
epoch, by loss and by accuracy. With more than two seeds tau is the mean over the pairs of seeds. The interval is a
bootstrap over Plans (what other Plans of this space would have given), not over seeds.

Expect tau between 0.6 and 0.85: 24 Plans leave an interval of about +-0.14. Beside it the standard deviation of the
Plans' means and that within a Plan: their ratio is what tau comes from.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch import devices  # noqa: E402
from poolsearch.config import SweepConfig, load  # noqa: E402
from poolsearch.data import datasets  # noqa: E402
from poolsearch.errors import PoolsearchError, TrialFailed  # noqa: E402
from poolsearch.plan import Plan  # noqa: E402
from poolsearch.surgery import rebuild  # noqa: E402
from poolsearch.sweep.search.space import space_of  # noqa: E402
from poolsearch.training import train  # noqa: E402
from poolsearch.units import left_in_words  # noqa: E402

CONFIG = ROOT / "experiments" / "configs" / "cluttered-digits.toml"
RESAMPLES = 2000
Scores = NDArray[np.float64]  # (Plans, seeds)


def draw(config: SweepConfig, count: int) -> list[Plan]:
    """Return different Plans of the config's space, drawn evenly; those that don't fit the maps are drawn again."""
    space, source = space_of(config), random.Random(config.seed)
    plans: dict[Plan, None] = {}
    for _ in range(100 * count):
        try:
            plans[space.plan(space.draw(source))] = None
        except PoolsearchError:
            continue
        if len(plans) == count:
            return list(plans)
    raise typer.BadParameter(f"only {len(plans)} different Plans were found in the space, {count} were asked for")


def score(plans: list[Plan], seeds: int, config: SweepConfig) -> tuple[dict[str, Scores], float]:
    """Return validation loss and accuracy of every Plan with every seed, and the mean CPU seconds of one training.

    A training that fails scores NaN.
    """
    found = {name: np.full((len(plans), seeds), np.nan) for name in ("loss", "accuracy")}
    jobs = [(row, column) for row in range(len(plans)) for column in range(seeds)]
    start, spent = time.perf_counter(), []
    for done, (row, column) in enumerate(jobs, start=1):
        data = datasets.load(config.data, plans[row].size, config.clutter)
        try:
            trained = train(rebuild(plans[row], data.classes, column), data, config.training, column)
            found["loss"][row, column] = trained.curve[-1].loss
            found["accuracy"][row, column] = trained.curve[-1].accuracy
            spent.append(trained.cpu_seconds)
        except TrialFailed as error:
            print(f"ranking: {plans[row]}, seed {column}: {error}", file=sys.stderr)
        left = (time.perf_counter() - start) / done * (len(jobs) - done)
        words = f"{done} of {len(jobs)} trainings" + (f", {left_in_words(left)}" if left else "")
        print(f"ranking: {words}", file=sys.stderr, flush=True)
    return found, sum(spent) / max(1, len(spent))


def tau(scores: Scores) -> float:
    """Return Kendall's tau-b between the seeds (columns), the mean over their pairs."""
    pairs = combinations(scores.T, 2)
    return float(np.mean([kendalltau(a, b).statistic for a, b in pairs]))


def figures(scores: Scores) -> dict[str, float | list[float]]:
    """Return tau with its 90 % bootstrap interval over Plans, and the deviations between and within Plans."""
    source = np.random.default_rng(0)
    resampled = [tau(scores[source.integers(len(scores), size=len(scores))]) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(resampled, (0.05, 0.95))
    return {
        "tau": round(tau(scores), 3),
        "tau_90": [round(float(low), 3), round(float(high), 3)],
        "sd_between": round(float(scores.mean(1).std(ddof=1)), 4),  # of the Plans' means
        "sd_within": round(float(np.sqrt(scores.var(1, ddof=1).mean())), 4),
        "sd_within_median": round(float(np.median(scores.std(1, ddof=1))), 4),  # what a Plan that collapses can't move
        "least": round(float(scores.min()), 4),
        "most": round(float(scores.max()), 4),
    }


def show(plans: list[Plan], scores: dict[str, Scores], found: dict[str, dict[str, float | list[float]]]) -> Table:
    """Return the Plans, best first by mean loss, with the figures below."""
    table = Table(title="validation figures of each Plan, one number a seed", title_justify="left")
    table.add_column("Plan")
    for name in scores:
        table.add_column(name, justify="right")
    for row in np.argsort(scores["loss"].mean(1)):
        name = str(plans[row]).partition(": ")[2] or "published"
        table.add_row(name, *(" ".join(f"{one:.3f}" for one in values[row]) for values in scores.values()))
    table.add_section()
    for label, key in (("tau", "tau"), ("90 % interval", "tau_90"), ("sd of Plan means", "sd_between")):
        table.add_row(label, *(str(one[key]) for one in found.values()))
    for label, key in (("sd within a Plan", "sd_within"), ("the same, median over Plans", "sd_within_median")):
        table.add_row(label, *(str(one[key]) for one in found.values()))
    return table


def main(
    plans: Annotated[int, typer.Option(min=3, help="how many Plans")] = 24,
    seeds: Annotated[int, typer.Option(min=2, help="trainings of each Plan")] = 2,
) -> None:
    """Measure how well one training ranks Plans."""
    torch.set_num_threads(1)
    config = load(CONFIG)
    drawn = draw(config, plans)
    scores, cpu_s = score(drawn, seeds, config)
    whole = [bool(np.isfinite(row).all()) for row in scores["loss"]]
    kept = [plan for plan, good in zip(drawn, whole, strict=True) if good]
    scores = {name: values[whole] for name, values in scores.items()}
    found = {name: figures(values) for name, values in scores.items()}
    console = Console()
    console = console if console.is_terminal else Console(width=130)
    console.print(show(kept, scores, found))
    document = {
        "benchmark": "ranking",
        "date": date.today().isoformat(),
        "machine": devices.machine(),
        "plans": len(kept),
        "failed": len(drawn) - len(kept),
        "seeds": seeds,
        "cpu_s_per_training": round(cpu_s, 2),
        "by": found,
        "scores": {str(p): [values[i].round(4).tolist() for values in scores.values()] for i, p in enumerate(kept)},
    }
    print(json.dumps(document, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    typer.run(main)
