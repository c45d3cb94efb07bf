"""What does each pooling cost, forward and backward, against the average of the same window?

    python benchmarks/pooling.py [--rounds 15]           (about half a minute on one core)

Input (8, 32, 32, 32), one thread, kernel 2 (blurs 3) and stride 2; all candidates in turns, CPU time of the computing
thread, medians with the 10th and 90th percentile. `kept` is what autograd saves for the backward pass, as a multiple of
the input. The last rows are other people's: torch's max and average (ours may cost 1.05 times as much), and the blurs
of timm and antialiased-cnns where they are installed (pip install -r requirements-benchmarks.txt; ours may cost 1.00).
Prints a table and one JSON line; --write keeps the figures for `python -m poolsearch poolings` and its docs page.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch import costs, devices, vision  # noqa: E402
from poolsearch.kinds import KINDS  # noqa: E402
from poolsearch.plan import PoolSpec  # noqa: E402
from poolsearch.pooling import build  # noqa: E402

SIZE = (8, 32, 32, 32)
# times the average
WANTED = {
    "max-blur": 8,
    "soft": 4,
    "lse": 4,
    "lp": 5,
    "gem": 6,
    "gem-window": 6,
    "mixed": 3,
    "stochastic": 10,
}  # times the average


def peers() -> dict[str, tuple[str, float, Callable[[Tensor], Tensor]]]:
    """Return what others make: the kind of ours to compare with, the ratio wanted, the function."""
    found: dict[str, tuple[str, float, Callable[[Tensor], Tensor]]] = {
        "torch max": ("max", 1.05, lambda x: F.max_pool2d(x, 2, 2)),
        "torch avg": ("avg", 1.05, lambda x: F.avg_pool2d(x, 2, 2)),
    }
    vision.models()  # both of these import torchvision
    with contextlib.suppress(ImportError):
        from timm.layers import BlurPool2d

        found["timm blur"] = ("blur", 1.0, BlurPool2d(SIZE[1], filt_size=3, stride=2))
    with contextlib.suppress(ImportError):
        from antialiased_cnns import BlurPool

        found["antialiased-cnns blur"] = ("blur", 1.0, BlurPool(SIZE[1], filt_size=3, stride=2))
    return found


def a_spec(kind: str) -> PoolSpec:
    """Return the usual window of a kind: 2x2 at stride 2, a 3-tap filter where it blurs."""
    takes = KINDS[kind].takes
    if "stride" not in takes:
        return PoolSpec.of(kind, 2 if "kernel" in takes else ())
    if "kernel" not in takes:
        return PoolSpec.of(kind, stride=2)
    return PoolSpec.parse(f"{kind} k3 s2 p1" if kind == "blur" else f"{kind} k2 s2")


def step(function: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Return the milliseconds of one forward and backward pass, in CPU time of this thread."""
    x.grad = None
    start = time.thread_time_ns()
    y = function(x)
    y.backward(torch.ones_like(y))
    return (time.thread_time_ns() - start) / 1e6


def kept(function: Callable[[Tensor], Tensor], x: Tensor) -> float:
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


def measure(rounds: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return the times of each candidate in ms, and what it keeps."""
    torch.manual_seed(0)
    x = torch.randn(SIZE).requires_grad_()
    functions: dict[str, Callable[[Tensor], Tensor]] = {kind: build(a_spec(kind), SIZE[1]) for kind in KINDS}
    functions |= {name: function for name, (_, _, function) in peers().items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name in random.sample(list(functions), len(functions)):
            taken = step(functions[name], x)
            if turn >= 2:  # the first two turns warm up
                times[name].append(taken)
    return {name: (np.array(values), kept(functions[name], x)) for name, values in times.items()}


def table_of(found: dict[str, tuple[np.ndarray, float]], rounds: int) -> tuple[Table, dict[str, dict[str, float]]]:
    """Return the table, and the same as numbers."""
    average = float(np.median(found["avg"][0]))
    table = Table(title=f"forward + backward on {SIZE}, {rounds} rounds in turns, one thread")
    for column in ("kind", "median, ms", "10th to 90th", "x average", "wanted", "kept, x input"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    numbers: dict[str, dict[str, float]] = {}
    others = peers()
    for name, (values, bytes_kept) in found.items():
        low, middle, high = np.percentile(values, (10, 50, 90))
        if name in others:
            ours, limit, _ = others[name]
            ratio = float(np.median(found[ours][0] / values))
            words = (f"ours is {ratio:.2f} x", f"<= {limit:.2f}")
        else:
            ratio = float(middle) / average
            words = (f"{ratio:.1f}", f"{WANTED.get(name, '')}")
        table.add_row(name, f"{middle:.2f}", f"{low:.2f} to {high:.2f}", *words, f"{bytes_kept:.2f}")
        numbers[name] = {"ms": round(float(middle), 3), "ratio": round(ratio, 2), "kept": round(bytes_kept, 2)}
    return table, numbers


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {costs.FILE.name}")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table, numbers = table_of(measure(asked.rounds), asked.rounds)
    Console(width=110).print(table)
    result = {"date": f"{datetime.date.today()}", "machine": devices.machine(), "kinds": numbers}
    print(json.dumps(result))
    if asked.write:
        costs.FILE.write_text(
            json.dumps({**result, "kinds": {k: v for k, v in numbers.items() if k in KINDS}}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
