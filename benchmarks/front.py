"""Is the gain on a front real? Trains the Plans of a finished sweep's front anew, with seeds that the sweep never used.

    python benchmarks/front.py cluttered-digits [--seeds 8]        (about 5 minutes on one core)

A sweep picks its front by one training each, on validation images, so the best of them are partly lucky. Here each
Plan of the front and the published network are trained with the same fresh seeds and scored on the test images, which
no choice was made on. The gain is the mean over seeds of the difference to the published network of the same seed, in
percentage points; its interval is Student's t over those differences, widened (Bonferroni) so that all intervals of
the table hold together 19 times in 20. A seed is that of the weights and of the order of the images; the images stay
the same. Latency is the median CPU time of a batch, all networks timed together in turns, with its 95 % interval.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch import devices  # noqa: E402
from poolsearch.config import SweepConfig  # noqa: E402
from poolsearch.data import datasets  # noqa: E402
from poolsearch.measure.latency import latencies  # noqa: E402
from poolsearch.plan import Plan  # noqa: E402
from poolsearch.surgery import rebuild  # noqa: E402
from poolsearch.sweep.folder.folder import existing_folder  # noqa: E402
from poolsearch.sweep.search.front import front  # noqa: E402
from poolsearch.sweep.study.reader import trial_rows  # noqa: E402
from poolsearch.training import train  # noqa: E402

Scores = NDArray[np.float64]  # accuracy on the test images, 0 to 1: (Plans, seeds)
CALLS = 400  # of each network, for its latency


def accuracies(plans: list[Plan], seeds: list[int], config: SweepConfig) -> Scores:
    """Return the test accuracy of every Plan with every seed."""
    scores = np.empty((len(plans), len(seeds)))
    for column, seed in enumerate(seeds):
        for row, plan in enumerate(plans):
            data = datasets.load(config.data, plan.size, config.clutter)
            scores[row, column] = train(rebuild(plan, data.classes, seed), data, config.training, seed).test_accuracy
        print(f"front: {column + 1} of {len(seeds)} seeds", file=sys.stderr, flush=True)
    return scores


def gains(scores: Scores) -> list[tuple[float, float, float]]:
    """Return (mean, low, high) in percentage points against the first row, for each of the others."""
    points = 100 * (scores[1:] - scores[0])
    count = points.shape[1]
    reach = student.ppf(1 - 0.05 / (2 * len(points)), count - 1) * points.std(axis=1, ddof=1) / count**0.5
    return [(float(mean), float(mean - by), float(mean + by)) for mean, by in zip(points.mean(axis=1), reach)]


def main(
    study: Annotated[str, typer.Argument(help="a finished sweep, as in runs/")] = "cluttered-digits",
    seeds: Annotated[int, typer.Option(min=2, help="trainings of each Plan")] = 8,
) -> None:
    """Measure the gain of each Plan on a front over the published network."""
    torch.set_num_threads(1)
    home = existing_folder(study)
    config = home.config()
    found = [row.plan for row in front(trial_rows(home)) if row.plan.sites]
    plans = [found[0].published, *found]
    fresh = [config.seed + 1000 + number for number in range(seeds)]
    scores = accuracies(plans, fresh, config)
    classes = datasets.load(config.data, plans[0].size, config.clutter).classes
    timed = latencies(tuple(plans), config.latency.batch, CALLS, classes=classes)
    table = Table(title=f"{study}: test accuracy over {seeds} fresh seeds", title_justify="left")
    for name in ("changes", "accuracy, %", "gain, points", "95 % interval", "ms", "95 % interval"):
        table.add_column(name, justify="left" if name == "changes" else "right")
    rows = []
    for plan, own, gain, time in zip(plans, scores, [None, *gains(scores)], timed):
        words = [f"{gain[0]:+.1f}", f"{gain[1]:+.1f} to {gain[2]:+.1f}"] if gain else ["", ""]
        name = str(plan).partition(": ")[2] or "none: the published network"
        table.add_row(
            name, f"{100 * own.mean():.1f}", *words, f"{time.ms:.2f}", f"{time.low_ms:.2f} to {time.high_ms:.2f}"
        )
        row = {
            "plan": str(plan),
            "accuracies": own.round(4).tolist(),
            "gain_points": gain and [round(n, 2) for n in gain],
        }
        rows.append({**row, "ms": round(time.ms, 3), "ms_95": [round(time.low_ms, 3), round(time.high_ms, 3)]})
    console = Console()
    (console if console.is_terminal else Console(width=150)).print(table)
    document = {"benchmark": "front", "date": date.today().isoformat(), "machine": devices.machine(), "study": study}
    print(json.dumps({**document, "seeds": fresh, "rows": rows}, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    typer.run(main)
