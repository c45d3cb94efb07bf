"""What does each pooling cost, forward and backward, against the average of the same window?

    python benchmarks/pooling.py [--rounds 15]           (about two minutes on one core)

In both layouts, channels_last (which trains) and NCHW: every kind at its usual window on (8, 32, 32, 32), then the
kinds of any window at three windows on two sizes. One thread; all candidates of a case in turns, CPU time of the
computing thread, the median over the turns of the time divided by torch's average of the same turn. `kept` is what
autograd saves for the backward pass, as a multiple of the input. Other people's stand in the same turns: torch's max,
average and Lp, and timm's blur and median and antialiased-cnns's blur where they are installed (pip install -r
requirements-benchmarks.txt). Prints two tables and one JSON line, and ends with 1 where a limit is missed; --write
keeps the figures for `python -m poolsearch poolings` and its docs page.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch import devices  # noqa: E402
from poolsearch.networks import vision  # noqa: E402
from poolsearch.plan import PoolSpec, costs  # noqa: E402
from poolsearch.plan.kinds import KINDS  # noqa: E402
from poolsearch.pooling import build  # noqa: E402

Function = Callable[[Tensor], Tensor]

LAYOUTS = {"channels_last": torch.channels_last, "NCHW": torch.contiguous_format}
USUAL = (8, 32, 32, 32)
SIZES = ((128, 16, 20, 20), USUAL)
WINDOWS = ((2, 2), (3, 1), (3, 2))  # kernel, stride
# times the average in channels_last, at every window and size
LIMITS = {
    "lp": 5, "gem-window": 7, "soft": 9, "lse": 9, "mixed": 4, "max-blur": 7, "stochastic": 20, "median": 25,
}  # fmt: skip
# others', and which of ours each is compared with, at the usual window
AGAINST = {
    "torch max": "max",
    "torch average": "avg",
    "torch Lp": "lp",
    "timm blur": "blur",
    "timm median": "median",
    "antialiased-cnns blur": "blur",
}


class Measured(NamedTuple):
    """One candidate of one case."""

    ms: float
    ratio: float  # to the average
    low: float  # 10th percentile of the ratio over the turns
    high: float  # 90th
    kept: float  # times the input


def any_window() -> list[str]:
    """Return the kinds that stand at any window and do not mix channels."""
    return [
        kind
        for kind, record in KINDS.items()
        if {"kernel", "stride"} <= set(record.takes) and record.kernels is None and record.multiplies != "weights"
    ]


def torchs(kernel: int, stride: int) -> dict[str, Function]:
    """Return torch's own poolings at a window; the average is what all others are divided by."""
    return {
        "torch average": lambda x: F.avg_pool2d(x, kernel, stride),
        "torch max": lambda x: F.max_pool2d(x, kernel, stride),
        "torch Lp": lambda x: F.lp_pool2d(x, 2, kernel, stride),
    }


def others(channels: int) -> dict[str, Function]:
    """Return other libraries' poolings at their usual window, where they are installed."""
    found: dict[str, Function] = {}
    vision.models()  # all of these import torchvision
    with contextlib.suppress(ImportError):
        from timm.layers import BlurPool2d
        from timm.layers.median_pool import MedianPool2d

        found["timm blur"] = BlurPool2d(channels, filt_size=3, stride=2)
        found["timm median"] = MedianPool2d(2, 2)
    with contextlib.suppress(ImportError):
        from antialiased_cnns import BlurPool

        found["antialiased-cnns blur"] = BlurPool(channels, filt_size=3, stride=2)
    return found


def usual_spec(kind: str) -> PoolSpec:
    """Return the usual window of a kind: 2x2 at stride 2, a 3-tap filter where it blurs."""
    takes = KINDS[kind].takes
    if "stride" not in takes:
        return PoolSpec.of(kind, 2 if "kernel" in takes else ())
    if "kernel" not in takes:
        return PoolSpec.of(kind, stride=2)
    return PoolSpec.parse(f"{kind} k3 s2 p1" if kind == "blur" else f"{kind} k2 s2")


def step(function: Function, x: Tensor) -> float:
    """Return the milliseconds of one forward and backward pass, in CPU time of this thread."""
    x.grad = None
    start = time.thread_time_ns()
    y = function(x)
    y.backward(torch.ones_like(y))
    return (time.thread_time_ns() - start) / 1e6


def kept(function: Function, x: Tensor) -> float:
    """Return the bytes that autograd keeps for the backward pass, as a multiple of the input's."""
    seen: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() != x.untyped_storage().data_ptr():
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function(x)
    del result
    return sum(seen.values()) / (x.numel() * x.element_size())


def measure(functions: dict[str, Function], size: tuple[int, ...], layout: str, rounds: int) -> dict[str, Measured]:
    """Return the figures of each candidate; `torch average` is one of them."""
    torch.manual_seed(0)
    x = torch.randn(size).contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name in random.sample(list(functions), len(functions)):
            taken = step(functions[name], x)
            if turn >= 2:  # the first two turns warm up
                times[name].append(taken)
    result = {}
    for name, values in times.items():
        low, ratio, high = np.percentile(np.array(values) / times["torch average"], (10, 50, 90))
        result[name] = Measured(
            float(np.median(values)), float(ratio), float(low), float(high), kept(functions[name], x)
        )
    return result


def usual(rounds: int) -> dict[str, dict[str, Measured]]:
    """Return, for each layout, every kind at its usual window, and other people's."""
    functions: dict[str, Function] = {kind: build(usual_spec(kind), USUAL[1]) for kind in KINDS}
    functions |= torchs(2, 2) | others(USUAL[1])
    return {layout: measure(functions, USUAL, layout, rounds) for layout in LAYOUTS}


def windows(rounds: int) -> dict[str, dict[str, Measured]]:
    """Return, for each layout, size and window, the kinds of any window and torch's own."""
    found = {}
    for layout in LAYOUTS:
        for size in SIZES:
            for kernel, stride in WINDOWS:
                specs = {kind: PoolSpec.of(kind, kernel, stride) for kind in any_window()}
                functions = {kind: build(spec, size[1]) for kind, spec in specs.items()} | torchs(kernel, stride)
                name = f"{layout} {'x'.join(map(str, size))} k{kernel} s{stride}"
                found[name] = measure(functions, size, layout, rounds)
    return found


def usual_table(found: dict[str, dict[str, Measured]], rounds: int) -> Table:
    """Return the table of the usual windows."""
    table = Table(title=f"forward + backward at the usual window on {USUAL}, {rounds} turns, one thread")
    table.add_column("kind")
    for layout in LAYOUTS:
        for column in (f"{layout}, ms", "x average", "10th to 90th", "kept, x input"):
            table.add_column(column, justify="right")
    for name in found["NCHW"]:
        cells = []
        for figures in (found[layout][name] for layout in LAYOUTS):
            spread = f"{figures.low:.1f} to {figures.high:.1f}"
            cells += [f"{figures.ms:.2f}", f"{figures.ratio:.2f}", spread, f"{figures.kept:.2f}"]
        table.add_row(name, *cells)
    return table


def windows_table(found: dict[str, dict[str, Measured]]) -> Table:
    """Return the table of all windows: times the average, and the bytes kept."""
    table = Table(title="times torch's average of the same window / kept, times the input")
    table.add_column("kind")
    cases = [case.split(" ", 1) for case in found]
    for layout, rest in cases:
        size, window = rest.split(" ", 1)
        table.add_column(f"{layout}\n{size}\n{window}", justify="right")
    table.add_column("limit\nchannels_last", justify="right")
    for name in next(iter(found.values())):
        cells = [f"{case[name].ratio:.1f} / {case[name].kept:.1f}" for case in found.values()]
        table.add_row(name, *cells, str(LIMITS.get(name, "")))
    return table


def against(found: dict[str, Measured]) -> dict[str, float]:
    """Return how many times others' each of ours costs."""
    return {name: round(found[ours].ratio / found[name].ratio, 2) for name, ours in AGAINST.items() if name in found}


def missed(cases: dict[str, dict[str, Measured]]) -> Iterator[str]:
    """Yield each limit that was missed, in words."""
    for case, found in cases.items():
        for kind, limit in LIMITS.items():
            if case.startswith("channels_last") and found[kind].ratio > limit:
                yield f"{kind} at {case}: {found[kind].ratio:.1f} times the average, at most {limit} wanted"


def numbers(found: dict[str, Measured]) -> dict[str, dict[str, float]]:
    """Return the figures of one case for the JSON line."""
    return {
        name: {"ms": round(each.ms, 3), "ratio": round(each.ratio, 2), "kept": round(each.kept, 2)}
        for name, each in found.items()
    }


def main() -> int:
    """Measure, print the tables and the JSON line; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {costs.FILE.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    usually, cases = usual(asked.rounds), windows(asked.rounds)
    console = Console(width=200)
    console.print(usual_table(usually, asked.rounds))
    console.print(windows_table(cases))
    times = {layout: against(found) for layout, found in usually.items()}
    for layout, values in times.items():
        console.print(f"ours against others', {layout}:", ", ".join(f"{name} {v:.2f}" for name, v in values.items()))
    misses = list(missed(cases))
    console.print("\n".join(misses) or "every limit is kept")
    head = {"date": f"{datetime.date.today()}", "machine": devices.machine()}
    layouts = {layout: numbers(found) for layout, found in usually.items()}
    print(
        json.dumps(
            {**head, "usual": layouts, "windows": {case: numbers(f) for case, f in cases.items()}, "against": times}
        )
    )
    if asked.write:
        last, first = layouts["channels_last"], layouts["NCHW"]
        kinds = {
            kind: {**last[kind], "nchw": {"ms": first[kind]["ms"], "ratio": first[kind]["ratio"]}} for kind in KINDS
        }
        costs.FILE.write_text(json.dumps({**head, "kinds": kinds}, indent=1) + "\n")
    return bool(misses)


if __name__ == "__main__":
    raise SystemExit(main())
