"""What is known of a sweep: its trials, their epochs, and its status.

Frozen records of plain numbers, each with its unit in its name. No torch, no study, no session; arrays are numpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from poolsearch.plan import Plan

FailureKind = Literal["memory", "non_finite", "time", "crash", "refused", "bug", "cancelled"]


@dataclass(frozen=True)
class EpochRow:
    """One epoch of training, measured on the validation images."""

    epoch: int
    train_loss: float
    loss: float
    accuracy: float  # top-1, 0 to 1


@dataclass(frozen=True)
class TrialRow:
    """One trial of a sweep as pages and tables see it."""

    number: int
    state: Literal["waiting", "running", "complete", "failed", "cancelled"]
    plan: Plan
    accuracy: float | None = None  # top-1 on the validation images
    loss: float | None = None
    test_accuracy: float | None = None
    latency_ms: float | None = None
    latency_low_ms: float | None = None  # 95 % interval of the median
    latency_high_ms: float | None = None
    costs: tuple[tuple[str, float], ...] = ()  # what follows from the Plan alone: (objective, value)
    seconds: float | None = None
    cpu_seconds: float | None = None
    seed: int = 0
    reason: str = ""  # why it failed, in a sentence
    kind: str = ""  # of the failure: memory, non_finite, time, crash, refused or bug; cancelled for one ended by hand
    attempts: int = 1
    curve: tuple[EpochRow, ...] = ()
    on_front: bool = False
    published: bool = False
    environment: tuple[tuple[str, str], ...] = ()  # versions, device, threads, ...: (name, value); none of old trials


@dataclass(frozen=True)
class RunningTrial:
    """A trial at work, as far as its worker has told."""

    number: int
    plan: str
    attempt: int = 1
    seconds: float = 0.0
    curve: tuple[EpochRow, ...] = ()


@dataclass(frozen=True)
class SweepStatus:
    """Where a sweep stands, as its coordinator last wrote it."""

    study: str
    state: Literal[
        "queued",
        "starting",
        "running",
        "pausing",
        "paused",
        "stopping",
        "stopped",
        "done",
        "incomplete",
        "failed",
        "lost",
    ]
    trials: int
    complete: int = 0
    failed: int = 0
    cancelled: int = 0  # ended by hand: neither complete nor failed
    lost: int = 0  # of the failed, those whose worker died in every attempt: they can be tried anew
    running: tuple[RunningTrial, ...] = ()
    elapsed_s: float = 0.0  # at work, over all runs; time asleep is not in it
    left_s: float | None = None  # None until three trials are done
    message: str = ""
    minutes: float | None = None  # the budget, where it is one of time
    workers: int = 0
    device: str = ""
    cpu_percent: float | None = None  # of all workers, 100 for a core
    memory_bytes: int | None = None  # resident, of all workers
    silent_s: float = 0.0  # since the coordinator wrote this; it may be asleep

    @property
    def ended(self) -> int:
        """Return how many trials have ended, in whatever way."""
        return self.complete + self.failed + self.cancelled

    @property
    def alive(self) -> bool:
        """Return whether its coordinator is at work, waits for its turn, or is paused."""
        return self.state in ("queued", "starting", "running", "pausing", "paused", "stopping")
