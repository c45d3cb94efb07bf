"""What does each pooling cost, forward and backward, against the average of the same window?

    python benchmarks/pooling.py [--rounds 15]           (about half a minute on one core)

Input (8, 32, 32, 32), one thread, kernel 2 (blurs 3) and stride 2; all candidates in turns, CPU time of the computing
thread, medians with the 10th and 90th percentile. `kept` is what autograd saves for the backward pass, as a multiple of
the input. Natively torch's own: max and average must cost what torch's call costs (the last two rows, ratio to torch).
Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
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

from poolsearch import devices  # noqa: E402
from poolsearch.kinds import KINDS  # noqa: E402
from poolsearch.plan import PoolSpec  # noqa: E402
from poolsearch.pooling import build  # noqa: E402

SIZE = (8, 32, 32, 32)
WANTED = {"max-blur": 8, "soft": 4, "lse": 4, "lp": 5, "gem": 6, "mixed": 3, "stochastic": 10}  # times the average
PEERS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "torch max": ("max", lambda x: F.max_pool2d(x, 2, 2)),
    "torch avg": ("avg", lambda x: F.avg_pool2d(x, 2, 2)),
}


def a_spec(kind: str) -> PoolSpec:
    """Return the usual window of a kind: 2x2 at stride 2, a 3-tap filter where it blurs."""
    if KINDS[kind].reduces == "map":
        return PoolSpec(kind)
    if kind == "subsample":
        return PoolSpec.parse("subsample s2")
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
    functions |= {name: function for name, (_, function) in PEERS.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 2):
        for name in random.sample(list(functions), len(functions)):
            taken = step(functions[name], x)
            if turn >= 2:  # the first two turns warm up
                times[name].append(taken)
    return {name: (np.array(values), kept(functions[name], x)) for name, values in times.items()}


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    found = measure(rounds)
    average = float(np.median(found["avg"][0]))
    table = Table(title=f"forward + backward on {SIZE}, {rounds} rounds in turns, one thread")
    for column in ("kind", "median, ms", "10th to 90th", "x average", "wanted", "kept, x input"):
        table.add_column(column, justify="left" if column == "kind" else "right")
    result = {}
    for name, (values, bytes_kept) in found.items():
        against = (
            float(np.median(found[PEERS[name][0]][0] / values)) if name in PEERS else float(np.median(values)) / average
        )
        low, middle, high = np.percentile(values, (10, 50, 90))
        wanted = "ours <= 1.05 x this" if name in PEERS else f"{WANTED[name]}" if name in WANTED else ""
        ratio = f"ours is {against:.2f} x" if name in PEERS else f"{against:.1f}"
        table.add_row(name, f"{middle:.2f}", f"{low:.2f} to {high:.2f}", ratio, wanted, f"{bytes_kept:.2f}")
        result[name] = {"ms": round(float(middle), 3), "ratio": round(against, 2), "kept": round(bytes_kept, 2)}
    Console(width=110).print(table)
    print(json.dumps({"date": f"{datetime.date.today()}", "machine": devices.machine(), "kinds": result}))  # fmt: skip


if __name__ == "__main__":
    main()
