"""The process that trains and times one Plan at a time: JSON lines in, JSON lines out. It knows no study.

The lines that come in are those of `jobs`, the answers those that `engine` names. When its input closes it ends, as it
does with the process that started it (`tied`).
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from poolsearch import files, processes
from poolsearch.errors import EngineError, PoolsearchError, TrialFailed
from poolsearch.records.network import LatencyRow
from poolsearch.records.sweep import EpochRow
from poolsearch.sweep.engines.device_lock import OnWait, device_alone, say_so
from poolsearch.sweep.engines.engine import Message, attempt_id
from poolsearch.sweep.engines.jobs import Job, TimingJob, TrialJob, job_of

if TYPE_CHECKING:  # torch is imported late: the parent's pipe is watched before that
    from torch import nn

    from poolsearch.config import SweepConfig
    from poolsearch.plan import Plan

Say = Callable[[Message], None]


def _jobs() -> SimpleQueue[str]:
    """Return the jobs as they come; the whole process ends, even in the middle of one, when the input closes."""
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        os._exit(0)  # the parent is gone or has closed the pipe: nobody waits for the result

    threading.Thread(target=read, daemon=True).start()
    return lines


def main(device: str = "cpu") -> None:
    """Answer jobs until the input closes."""
    jobs = _jobs()  # before the imports: the input may close meanwhile
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints goes to the log, not among answers
    gc.disable()  # what is imported stays: collecting meanwhile takes 0.2 s of the start and frees nothing
    import torch

    torch.set_num_threads(1)
    _import_all()
    gc.freeze()
    gc.enable()

    def say(message: Message) -> None:
        try:
            print(json.dumps(message), file=answers)
        except BrokenPipeError:  # the parent is gone: nobody hears it
            os._exit(0)

    say({"id": None, "event": "ready"})
    while True:
        line = jobs.get()
        try:
            job = job_of(line)
        except EngineError as error:
            say({**_whose(line), "event": "failed", "kind": "bug", "reason": str(error)})
        else:
            answer(job, device, say)


def _whose(line: str) -> Message:
    """Return the id and attempt of a job that can't be read; where it has none the process ends, which is an answer."""
    message = json.loads(line)
    return {"id": message["id"], "attempt": message["attempt"]}


def _import_all() -> None:
    """Import what a trial needs before the first job, so that a job's time is its own."""
    from poolsearch import training  # noqa: F401
    from poolsearch.data import datasets
    from poolsearch.measure import cost, latency  # noqa: F401

    datasets.scans()


def answer(job: Job, device: str, say: Say) -> None:
    """Do a job and send its answers: each epoch as it ends, then the outcome, whatever that is."""
    import torch

    from poolsearch import devices

    answered = attempt_id(job)

    def failed(kind: str, reason: str) -> None:
        broken = _broken(device)
        around = {} if broken else {"environment": devices.environment(device)}
        say({**answered, "event": "failed", "kind": kind, "reason": reason, "broken": broken, **around})

    def epoch(row: EpochRow) -> None:
        say({**answered, "event": "epoch", "row": asdict(row)})

    def wait(holder: str) -> None:
        say_so(holder)
        say({**answered, "event": "waits", "for": holder})

    try:
        say({**answered, "event": "done", **_DO[job.do](job, device, epoch, wait)})
    except TrialFailed as error:
        failed("non_finite", str(error))
    except PoolsearchError as error:
        failed("refused", str(error))
    except (torch.OutOfMemoryError, MemoryError):
        failed("memory", f"Out of memory on {device}. Use a smaller batch or input.")
    except Exception as error:
        if files.is_full(error):
            say({**answered, "event": "full"})
            return
        traceback.print_exc()  # into the log
        if any(phrase in str(error).lower() for phrase in _NO_MEMORY):
            failed("memory", "Out of memory. Use a smaller batch or input.")
        else:  # a bug of ours or of a library: the sweep goes on
            failed("bug", f"{type(error).__name__}: {error}")


def _broken(device: str) -> bool:
    """Return whether the device is of no more use to this process: after most CUDA errors every further call fails."""
    import torch

    if device != "cuda":
        return False
    try:
        torch.ones(1, device=device).sum().item()
    except Exception:
        return True
    return False


# What torch's CPU allocator raises, and CUDA's libraries where they allocate by themselves
_NO_MEMORY = ("can't allocate memory", "cuda error: out of memory", "alloc_failed")


def run_trial(
    job: TrialJob,
    device: str = "cpu",
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
    on_wait: OnWait = say_so,
) -> dict[str, Any]:
    """Return the figures of one trial: trained, tested, timed beside the published network."""
    from poolsearch import config
    from poolsearch.measure.cost import layer_rows, totals
    from poolsearch.measure.latency import latencies
    from poolsearch.modelfiles import checkpoint
    from poolsearch.objectives import costs_of
    from poolsearch.plan import Plan

    settings, plan, seed = config.parse(job.config), Plan.parse(job.plan), job.seed
    model, classes, learned = train_plan(plan, seed, settings, device, on_epoch)
    timing = settings.latency
    with device_alone(device, on_wait):
        timed = latencies((plan, plan.published), timing.batch, timing.calls, device, classes, seed)
    if job.weights:
        checkpoint.save(model, plan, classes, Path(job.weights))
    costs = costs_of(totals(layer_rows(plan)))
    return {**learned, "latency": _figures(timed[0]), "published_ms": timed[1].ms, "costs": costs}


def train_plan(
    plan: Plan,
    seed: int,
    settings: SweepConfig,
    device: str = "cpu",
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
) -> tuple[nn.Module, int, dict[str, Any]]:
    """Return a Plan's trained network, how many classes it tells apart, and what a trial says of its training."""
    from poolsearch import devices
    from poolsearch.data import datasets
    from poolsearch.surgery import rebuild
    from poolsearch.training import train

    data = datasets.load(settings.data, plan.size, settings.clutter)
    model = rebuild(plan, data.classes, seed)
    trained = train(model, data, settings.training, seed, device, on_epoch)
    last = trained.curve[-1]
    learned = {
        "accuracy": last.accuracy,
        "loss": last.loss,
        "test_accuracy": trained.test_accuracy,
        "test_loss": trained.test_loss,
        "seconds": trained.seconds,
        "cpu_seconds": trained.cpu_seconds,
        "curve": [asdict(row) for row in trained.curve],
        "environment": devices.environment(device, settings.training.precision),
    }
    return model, data.classes, learned


def run_latency(
    job: TimingJob,
    device: str = "cpu",
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
    on_wait: OnWait = say_so,
) -> dict[str, Any]:
    """Return the times of several Plans, measured together in turns."""
    from poolsearch import config
    from poolsearch.data import datasets
    from poolsearch.measure.latency import latencies
    from poolsearch.plan import Plan

    settings = config.parse(job.config)
    plans = tuple(Plan.parse(text) for text in job.plans)
    classes = datasets.load(settings.data, plans[0].size, settings.clutter).classes
    with device_alone(device, on_wait):
        timed = latencies(plans, settings.latency.batch, settings.latency.calls, device, classes, settings.seed)
    return {"latencies": [_figures(row) for row in timed]}


def _figures(row: LatencyRow) -> dict[str, Any]:
    return {**asdict(row), "ms": row.ms}


_DO: dict[str, Callable[..., dict[str, Any]]] = {"trial": run_trial, "latency": run_latency}

if __name__ == "__main__":
    processes.give_way()  # the browser and the person at the machine come first
    main(*sys.argv[1:])
