"""How long one forward pass takes, told honestly on a machine that may be busy.

All candidates take turns in random order (a slow moment hits them all), after a warm-up. Both clocks are kept: the
CPU time of the one computing thread, in which preemption is not counted, and wall time. On a contended machine wall
time can't even rank networks, whatever the estimator; medians of thread time can.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from poolsearch.plan import Plan
from poolsearch.records.network import LatencyRow
from poolsearch.surgery import rebuild

_WARM_UP = 5  # calls of each candidate that don't count


def latencies(
    plans: tuple[Plan, ...],
    batch: int = 32,
    calls: int = 40,
    device: str = "cpu",
    classes: int | None = None,
    seed: int = 0,
) -> tuple[LatencyRow, ...]:
    """Return the time of one forward pass of each Plan in ms, for a batch of images, measured in turns.

    Weights are random: they don't change the time.
    """
    with _one_thread():
        models = [_ready(plan, classes, device) for plan in plans]
        inputs = [
            torch.randn(batch, *plan.size, device=device).contiguous(memory_format=torch.channels_last)
            for plan in plans
        ]
        times = np.empty((len(plans), calls, 2))
        order = random.Random(seed)
        with torch.inference_mode():
            for model, x in zip(models, inputs, strict=True):
                for _ in range(_WARM_UP):
                    model(x)
            for call in range(calls):
                for index in order.sample(range(len(plans)), len(plans)):
                    times[index, call] = _once(models[index], inputs[index])
    return tuple(_row(plan, batch, device, taken) for plan, taken in zip(plans, times, strict=True))


def _ready(plan: Plan, classes: int | None, device: str) -> nn.Module:
    model = rebuild(plan, classes, device=device).eval()
    ready: nn.Module = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in the calling thread alone, whose clock is read; put the number of threads back after."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _once(model: nn.Module, x: Tensor) -> tuple[float, float]:
    """Return (thread ms, wall ms) of one forward pass; on a GPU the wall time is that of its own events."""
    if x.device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        cpu = time.thread_time_ns()
        start.record()
        model(x)
        end.record()
        end.synchronize()
        return (time.thread_time_ns() - cpu) / 1e6, float(start.elapsed_time(end))
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    model(x)
    return (time.thread_time_ns() - cpu) / 1e6, (time.perf_counter_ns() - wall) / 1e6


def _row(plan: Plan, batch: int, device: str, taken: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> LatencyRow:
    cpu, wall = taken[:, 0], taken[:, 1]
    own = cpu if device == "cpu" else wall
    reach = 98 / len(own) ** 0.5  # percentiles around the median that hold it 19 times in 20 (binomial ranks)
    return LatencyRow(
        plan=str(plan),
        batch=batch,
        calls=len(taken),
        device=device,
        cpu_ms=float(np.median(cpu)),
        low_ms=float(np.percentile(own, max(0.0, 50 - reach))),
        high_ms=float(np.percentile(own, min(100.0, 50 + reach))),
        wall_ms=float(np.median(wall)),
        wall_p95_ms=float(np.percentile(wall, 95)),
    )
