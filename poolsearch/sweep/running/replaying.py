"""A trial run again: its Plan, seed and recipe on its own kind of device; and what is other than it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from poolsearch import devices
from poolsearch.errors import PoolsearchError
from poolsearch.records.sweep import TrialRow
from poolsearch.sweep.engines.worker import train_plan
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.sweep.study.reader import find_trial


@dataclass(frozen=True)
class Replay:
    """A recorded trial beside the same trial now."""

    study: str
    row: TrialRow
    again: dict[str, Any]  # as a worker says it
    here: str  # the kind of device that it ran on now

    @property
    def same(self) -> bool:
        """Return whether every epoch's losses and accuracies, and the test's accuracy, are the recorded bits."""
        curve = [(r.epoch, r.train_loss, r.loss, r.accuracy) for r in self.row.curve]
        now = [(r["epoch"], r["train_loss"], r["loss"], r["accuracy"]) for r in self.again["curve"]]
        return curve == now and self.row.test_accuracy == self.again["test_accuracy"]

    @property
    def away(self) -> dict[str, float]:
        """Return how far accuracy (from 0 to 1) and validation loss are from the recorded ones."""
        return {name: self.again[name] - getattr(self.row, name) for name in ("accuracy", "loss")}

    @property
    def differs(self) -> tuple[tuple[str, str, str], ...]:
        """Return (name, recorded, now) of everything around the trial that is other than it was."""
        now: dict[str, str] = self.again["environment"]
        return tuple((name, was, now.get(name, "none")) for name, was in self.row.environment if was != now.get(name))

    @property
    def verdict(self) -> str:
        """Return in one sentence whether the result is the same, and if not, why it may be another."""
        if self.same:
            return "The same result, bit for bit."
        points = f"within {100 * abs(self.away['accuracy']):.2f} points of accuracy"
        if self.differs:
            changes = "; ".join(f"{name} was {was}, is {now}" for name, was, now in self.differs)
            return f"Not the same bits, {points}: {changes}."
        if self.here == "cuda":
            return f"Not the same bits, {points}: on a GPU some sums are added in another order each time."
        if len(self.row.environment) < 2:
            return f"Not the same bits, {points}: the trial was recorded before versions and threads were kept with it."
        return f"Not the same bits, {points}, though versions, device, threads, dtype and layout are those recorded."


def replay_trial(home: SweepFolder, number: int, device: str = "") -> Replay:
    """Return a trial of a sweep beside the same trial run now, on its own kind of device or another that is named.

    Raises PoolsearchError when there is no such trial, it has no result, or its device is not here.
    """
    row, study = find_trial(home, number), home.study
    if row.accuracy is None or row.loss is None:
        raise PoolsearchError(f"Trial {number} of '{study}' has no result to compare with: {row.reason or row.state}.")
    around = dict(row.environment)
    recorded = around.get("device", "cpu")
    if not device and recorded == "cuda" and not torch.cuda.is_available():
        raise PoolsearchError(
            f"Trial {number} of '{study}' ran on a GPU ({around.get('processor', 'cuda')}), and torch has none here. "
            "Replay it on a machine with a GPU, or with --device cpu for a close but not identical result."
        )
    here, before = devices.resolve(device or recorded), torch.get_num_threads()
    torch.set_num_threads(int(around.get("threads", 1)))  # as in the sweep: sums are added in the same order
    try:
        _, _, again = train_plan(row.plan, row.seed, home.config(), here)
    finally:
        torch.set_num_threads(before)
    return Replay(study, row, again, here)
