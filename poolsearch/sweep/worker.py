"""The process that trains and times one Plan at a time: JSON lines in, JSON lines out. It knows no study.

    {"id": 3, "do": "trial", "plan": "...", "seed": 0, "config": "<toml>", "weights": "path"}
    {"id": -1, "do": "latency", "plans": ["...", "..."], "config": "<toml>"}

It answers with {"id", "event": "epoch" | "done" | "failed", ...}. When its input closes it ends, so that no worker
outlives the process that started it.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from poolsearch.errors import PoolsearchError, TrialFailed
from poolsearch.rows import EpochRow, LatencyRow


def _jobs() -> Iterator[dict[str, Any]]:
    """Yield jobs; end the whole process, even in the middle of one, when the input closes."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # the parent is gone or has closed the pipe: nobody waits for the result

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield json.loads(lines.get())


def main(device: str = "cpu") -> None:
    """Answer jobs until the input closes."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints goes to the log, not among answers
    import torch

    torch.set_num_threads(1)

    def say(job: dict[str, Any], event: str, **fields: Any) -> None:
        print(json.dumps({"id": job["id"], "event": event, **fields}), file=answers)

    say({"id": None}, "ready")
    for job in _jobs():
        try:
            say(job, "done", **_DO[job["do"]](job, device, answers))
        except PoolsearchError as error:
            say(job, "failed", reason=str(error))
        except torch.OutOfMemoryError:
            say(job, "failed", reason=f"Out of memory on {device}. Take a smaller batch or input.")
        except Exception as error:  # a bug of ours or of a library: the sweep goes on, the log keeps the traceback
            traceback.print_exc()
            say(job, "failed", reason=f"{type(error).__name__}: {error}")


def run_trial(job: dict[str, Any], device: str = "cpu", answers: TextIO | None = None) -> dict[str, Any]:
    """Return the figures of one trial: trained, tested, timed beside the published network."""
    from poolsearch import checkpoint, config, datasets
    from poolsearch.measure.latency import latencies
    from poolsearch.plan import Plan
    from poolsearch.surgery import rebuild
    from poolsearch.training import train

    settings, plan, seed = config.parse(job["config"]), Plan.parse(job["plan"]), int(job["seed"])
    data = datasets.load(settings.data, plan.size, settings.clutter)
    model = rebuild(plan, data.classes, seed)

    def report(row: EpochRow) -> None:
        if answers:
            print(json.dumps({"id": job["id"], "event": "epoch", "row": asdict(row)}), file=answers)

    trained = train(model, data, settings.training, seed, device, report)
    timing = settings.latency
    timed = latencies((plan, plan.published), timing.batch, timing.calls, device, data.classes, seed)
    if job.get("weights"):
        checkpoint.save(model, plan, data.classes, Path(job["weights"]))
    last = trained.curve[-1]
    _finite(last.accuracy, last.loss, timed[0].ms)
    return {
        "accuracy": last.accuracy,
        "loss": last.loss,
        "test_accuracy": trained.test_accuracy,
        "test_loss": trained.test_loss,
        "latency": _figures(timed[0]),
        "published_ms": timed[1].ms,
        "seconds": trained.seconds,
        "cpu_seconds": trained.cpu_seconds,
        "curve": [asdict(row) for row in trained.curve],
    }


def run_latency(job: dict[str, Any], device: str = "cpu", answers: TextIO | None = None) -> dict[str, Any]:
    """Return the times of several Plans, measured together in turns."""
    from poolsearch import config, datasets
    from poolsearch.measure.latency import latencies
    from poolsearch.plan import Plan

    settings = config.parse(job["config"])
    plans = tuple(Plan.parse(text) for text in job["plans"])
    classes = datasets.load(settings.data, plans[0].size, settings.clutter).classes
    timed = latencies(plans, settings.latency.batch, settings.latency.calls, device, classes, settings.seed)
    return {"latencies": [_figures(row) for row in timed]}


def _figures(row: LatencyRow) -> dict[str, Any]:
    return {**asdict(row), "ms": row.ms}


def _finite(accuracy: float, loss: float, ms: float) -> None:
    """Refuse figures that can't be: they would sit on the front for ever."""
    if not (0 <= accuracy <= 1 and math.isfinite(loss) and 0 < ms < math.inf):
        raise TrialFailed(f"The figures can't be: accuracy {accuracy}, loss {loss}, latency {ms} ms.")


_DO = {"trial": run_trial, "latency": run_latency}

if __name__ == "__main__":
    os.nice(5)  # the browser and the person at the machine come first
    main(*sys.argv[1:])
