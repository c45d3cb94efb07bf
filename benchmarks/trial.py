"""What does a trial cost here, against the same trial written as the plain script most people write?

    python benchmarks/trial.py [--seeds 2] [--cap 30] [--rate 0.001]        (about 8 minutes on one core)

Ours: `rebuild` and `train` with the default recipe (3 epochs). Plain: a DataLoader (no workers, batch 128) over PIL
images, Adam, cross-entropy, NCHW, `.item()` in the loop, the poolings in torch's own words; the same network, first
weights, images, one thread. Both build, train, validate every epoch and test at the end, in turns; all of it counts,
in CPU seconds (`process_time`). Both are given the drawn images: ours as tensors, plain as PIL images in memory.

Two ratios, plain over ours. At equal accuracy: plain trains until its validation accuracy first reaches what ours has
after its last epoch (a lucky epoch counts, which favours plain), `--cap` epochs at most: then the ratio is a lower
bound. At equal epochs: the loop's speed alone. Expect 8 or more at equal accuracy, of which 1.5 to 2.3 is the loop; the
rest is the recipe (Adam at a constant 1e-3 takes 18 epochs and more here).
Not covered: GPUs, other data, larger backbones, a plain script with a better recipe (`--rate` is what it has).
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch import devices  # noqa: E402
from poolsearch.config import Training  # noqa: E402
from poolsearch.data import datasets  # noqa: E402
from poolsearch.networks.backbones import SmallNet  # noqa: E402
from poolsearch.plan import Plan, PoolSpec  # noqa: E402
from poolsearch.surgery import rebuild  # noqa: E402
from poolsearch.training import train  # noqa: E402
from poolsearch.units import left_in_words  # noqa: E402

PLANS = (
    "smallnet/1x20x20",
    "smallnet/1x20x20: stage1=avg k3 s2 p1; stage2=max-blur k3 s2 p1",
    "smallnet/1x20x20: stage1=max-blur k3 s2 p1; stage2=max-blur k3 s1 p1; stage3=lp k2 s2",
)
Loader = DataLoader[tuple[Tensor, int]]


@dataclass(frozen=True)
class Pair:
    """One Plan with one seed, trained both ways: times in CPU seconds, accuracies from 0 to 1, ratios plain / ours."""

    plan: str
    seed: int
    ours_s: float
    plain_s: float  # until our validation accuracy is reached, or the cap
    ratio: float
    plain_epochs: int
    capped: bool
    equal_epochs_s: float
    equal_epochs_ratio: float
    validation: float
    plain_validation: float  # the best so far
    test: float
    plain_test: float  # where it stopped: at the epoch that reached it, or the last


class PilImages(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """8-bit PIL images, each taken through what torchvision's ToTensor and Normalize do."""

    def __init__(self, images: datasets.Images) -> None:
        self.mean, self.std = images.mean.item(), images.deviation.item()
        pixels = (images.codes[:, 0] / datasets.LEVELS * 255).round().byte().numpy()
        self.images, self.labels = [Image.fromarray(p) for p in pixels], images.y.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        x = torch.from_numpy(np.array(self.images[index], np.uint8, copy=True))[None].to(torch.float32).div(255)
        return x.sub_(self.mean).div_(self.std), self.labels[index]


class MaxBlur(nn.Module):
    """Maximum at stride 1, then a depthwise [1, 2, 1] filter on the mirrored map, as in Zhang's own code."""

    def __init__(self, channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.max, self.pad, self.stride = nn.MaxPool2d(kernel, 1, padding), nn.ReflectionPad2d(1), stride
        taps = torch.tensor([1.0, 2.0, 1.0])
        self.weight = nn.Buffer((taps[:, None] * taps / 16).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.pad(self.max(x)), self.weight, stride=self.stride, groups=x.shape[1])


class L2Pool(nn.Module):
    """Root of the sum of squares; not nn.LPPool2d, whose gradient is NaN where a window is all zero."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        return (F.avg_pool2d(x * x, self.kernel, self.stride) * self.kernel**2 + 1e-12).sqrt()


def plain_pool(spec: PoolSpec, channels: int) -> nn.Module:
    """Return the module that a person would write for a spec of PLANS."""
    kernel, stride = spec.kernel[0], spec.stride[0]
    padding = int(spec.padding[0][0]) if spec.padding else 0
    if spec.kind == "lp":
        return L2Pool(kernel, stride)
    return nn.AvgPool2d(kernel, stride, padding) if spec.kind == "avg" else MaxBlur(channels, kernel, stride, padding)


def plain_network(plan: Plan, classes: int, seed: int) -> nn.Module:
    """Return the network of a Plan with our first weights and plain poolings."""
    model = rebuild(plan.published, classes, seed)
    for number, width in enumerate(SmallNet.widths, start=1):
        if spec := plan.spec(f"stage{number}"):
            model.get_submodule(f"stage{number}").pool = plain_pool(spec, width)
    return model


def plain_accuracy(model: nn.Module, loader: Loader) -> float:
    """Return the accuracy on a loader's images, from 0 to 1."""
    model.eval()
    right = total = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
            total += len(y)
    return right / total


def plain_epoch(model: nn.Module, loader: Loader, optimizer: torch.optim.Optimizer) -> float:
    """Return the mean loss of one epoch of training."""
    model.train()
    total = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def plain_trial(
    model: nn.Module, sets: list[PilImages], rate: float, target: float, least: int, cap: int
) -> tuple[list[float], list[float], float]:
    """Return (CPU seconds of a trial of 1, 2, ... epochs, validation accuracy after each, test accuracy).

    Goes on until the target is reached, then tests; a target reached early is tested, and `least` epochs still run.
    """
    start, test_s, test = time.process_time(), 0.0, -1.0
    training, validation, testing = (DataLoader(part, 128, shuffle=part is sets[0]) for part in sets)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    seconds, curve = list[float](), list[float]()
    while len(curve) < least or (test < 0 and len(curve) < cap):
        plain_epoch(model, training, optimizer)
        curve.append(plain_accuracy(model, validation))
        seconds.append(time.process_time() - start - test_s)
        if test < 0 and (curve[-1] >= target or len(curve) == cap):
            test = plain_accuracy(model, testing)
            test_s = time.process_time() - start - seconds[-1]
    return [s + test_s for s in seconds], curve, test


def check_equal(plan: Plan, data: datasets.Dataset, sets: list[PilImages]) -> None:
    """Stop when the plain network on plain images doesn't answer as ours does, up to the 8 bits."""
    x = torch.stack([sets[1][index][0] for index in range(256)])
    with torch.no_grad():
        theirs, mine = (
            plain_network(plan, data.classes, 0)(x),
            rebuild(plan, data.classes, 0)(data.validation.batch(slice(256))[0]),
        )
    assert (mine - theirs).abs().max() < 0.01 * mine.abs().max(), plan


def compare(plan: Plan, seed: int, data: datasets.Dataset, sets: list[PilImages], rate: float, cap: int) -> Pair:
    """Return ours and plain, one after the other."""
    recipe, start = Training(), time.process_time()
    trained = train(rebuild(plan, data.classes, seed), data, recipe, seed)
    ours_s, target = time.process_time() - start, trained.curve[-1].accuracy
    torch.manual_seed(seed)
    start = time.process_time()
    model = plain_network(plan, data.classes, seed)
    build_s = time.process_time() - start
    seconds, curve, test = plain_trial(model, sets, rate, target, recipe.epochs, cap)
    capped = max(curve) < target
    epochs = cap if capped else next(n for n, accuracy in enumerate(curve, start=1) if accuracy >= target)
    plain_s, equal_s = (build_s + seconds[n - 1] for n in (epochs, recipe.epochs))
    return Pair(
        plan=str(plan),
        seed=seed,
        ours_s=ours_s,
        plain_s=plain_s,
        ratio=plain_s / ours_s,
        plain_epochs=epochs,
        capped=capped,
        equal_epochs_s=equal_s,
        equal_epochs_ratio=equal_s / ours_s,
        validation=target,
        plain_validation=max(curve[:epochs]),
        test=trained.test_accuracy,
        plain_test=test,
    )


def spread(values: list[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": round(median(values), 2), "min": round(min(values), 2), "max": round(max(values), 2)}


def show(pairs: list[Pair], result: dict[str, dict[str, float]]) -> Table:
    """Return the pairs as a table, the medians last."""
    table = Table(title="CPU seconds a trial: ours / the plain script", title_justify="left")
    for name in ("plan", "seed", "ours", "equal accuracy", "ratio", "equal epochs", "ratio", "validation", "test"):
        table.add_column(name, justify="left" if name == "plan" else "right", no_wrap=name == "plan")
    for pair in pairs:
        times = (f"{pair.plain_s:.1f} s", f"{pair.equal_epochs_s:.1f} s")
        epochs = f"{pair.plain_epochs} epochs{', capped' if pair.capped else ''}"
        table.add_row(
            pair.plan.partition(": ")[2].replace("; ", "\n") or "published",
            str(pair.seed),
            f"{pair.ours_s:.2f} s",
            f"{times[0]} ({epochs})",
            f"{'>' * pair.capped}{pair.ratio:.2f}",
            times[1],
            f"{pair.equal_epochs_ratio:.2f}",
            f"{pair.validation:.3f} / {pair.plain_validation:.3f}",
            f"{pair.test:.3f} / {pair.plain_test:.3f}",
        )
    words = [f"{one['median']} ({one['min']} to {one['max']})" for one in result.values()]
    table.caption = "Median ratio: {} at equal accuracy, {} at equal epochs".format(*words)
    return table


def main(
    seeds: Annotated[int, typer.Option(min=1, help="seeds of each Plan")] = 2,
    cap: Annotated[int, typer.Option(min=3, help="epochs after which plain gives up")] = 30,
    rate: Annotated[float, typer.Option(help="plain's learning rate (Adam)")] = 1e-3,
) -> None:
    """Compare the CPU seconds of a trial, ours against the plain script."""
    torch.set_num_threads(1)
    plans = [Plan.parse(text) for text in PLANS]
    data = datasets.load("cluttered-digits", plans[0].size)
    sets = [PilImages(part) for part in (data.train, data.validation, data.test)]
    for plan in plans:  # the first calls, which pay what is paid once a process, don't count
        check_equal(plan, data, sets)
        train(rebuild(plan, data.classes), data, Training(epochs=1))
    plain_trial(plain_network(plans[0], data.classes, 0), sets, rate, 0.0, 1, 1)
    jobs = [(plan, seed) for seed in range(seeds) for plan in plans]
    pairs, start = list[Pair](), time.perf_counter()
    for done, (plan, seed) in enumerate(jobs, start=1):
        pairs.append(compare(plan, seed, data, sets, rate, cap))
        left = (time.perf_counter() - start) / done * (len(jobs) - done)
        words = f"{done} of {len(jobs)} pairs" + (f", {left_in_words(left)}" if left else "")
        print(f"trial: {words}", file=sys.stderr, flush=True)
    pairs.sort(key=lambda pair: PLANS.index(pair.plan))
    ratios = {
        "equal_accuracy": spread([pair.ratio for pair in pairs]),
        "equal_epochs": spread([pair.equal_epochs_ratio for pair in pairs]),
    }
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(show(pairs, ratios))
    document = {
        "benchmark": "trial",
        "date": date.today().isoformat(),
        "machine": devices.machine(),
        "plain": {"optimizer": "Adam", "rate": rate, "cap_epochs": cap, "capped": sum(pair.capped for pair in pairs)},
        "ratio": ratios,
        "pairs": [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(p).items()} for p in pairs],
    }
    print(json.dumps(document, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    typer.run(main)
