"""Does surgery hold on every network, and how fast is it?

    python benchmarks/surgery.py [NAME ...]      (without names: all of torchvision; about 10 minutes on one core)
    python benchmarks/surgery.py --all           (and a sample of timm, pip install -r requirements-benchmarks.txt)

For each network: the reductions observed at operator level when it runs (a dispatch mode under autograd, which knows
nothing of modules) against the members of its sites; the empty Plan bit-equal in eval and train mode; max <-> average
at every trunk pooling, and blur behind every strided convolution, each run forward and backward at three input sizes,
one of them odd; state-dict keys and order; CPU seconds of opening (build on meta, record, sites, cost), of a changed
setting (replay: sizes, conflicts, fields), of its table of layers, and of a committed Plan (rebuild on meta, recorded
again). A network that fails is named with its reason. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import resource
import sys
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch import devices, memory  # noqa: E402
from poolsearch.errors import PoolsearchError  # noqa: E402
from poolsearch.measure import cost  # noqa: E402
from poolsearch.networks import backbones, sizes  # noqa: E402
from poolsearch.plan import Plan, PoolSpec  # noqa: E402
from poolsearch.records.network import Site  # noqa: E402
from poolsearch.surgery import check, checking, find_sites, rebuild  # noqa: E402
from poolsearch.surgery.record import record_calls  # noqa: E402
from poolsearch.surgery.suggest import suggest  # noqa: E402

LARGEST = 45_000_000  # parameters: above this, forward and backward run on meta tensors, not on numbers
TIMM = """
resnet10t resnet18d resnet26 resnet26d resnet26t resnet50d resnetaa50 resnetblur50 resnext26ts seresnet33ts
resnest14d res2net50_26w_4s res2net50_14w_8s ecaresnet26t gcresnext26ts skresnet18 densenetblur121d dla34 dla60
dpn68 hrnet_w18_small vovnet39a ese_vovnet19b_dw repvgg_a0 repvgg_b0 mobileone_s0 mobileone_s1 mobilenetv2_050
mobilenetv2_100 mobilenetv3_small_050 mobilenetv3_large_100 mobilenetv4_conv_small mobilenetv4_conv_medium
efficientnet_lite0 tf_efficientnet_b0 tf_efficientnetv2_b0 tf_mobilenetv3_small_100 efficientnet_es gernet_s
mixnet_s mnasnet_small semnasnet_075 fbnetc_100 spnasnet_100 lcnet_050 lcnet_100 ghostnet_050 ghostnet_100
ghostnetv2_100 hardcorenas_a tinynet_a tinynet_e regnetx_002 regnety_002 regnetz_b16 convnext_atto
convnext_femto convnextv2_atto poolformer_s12 poolformerv2_s12 inception_v4 inception_resnet_v2 xception41
selecsls42 cspresnet50 cspdarknet53 darknet53 nf_resnet26 dm_nfnet_f0 nfnet_l0 edgenext_xx_small_none rexnet_100
starnet_s1 fasternet_t0 hgnetv2_b0 pvt_v2_none tresnet_m vgg11_bn legacy_senet154_none
""".split()


class _Observed(TorchDispatchMode):
    """Counts what shrinks height or width at operator level: strided kernels, means and maxima over the map, steps."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.name().split("::")[1].split(".")[0]
        x = args[0] if args else None
        y = out[0] if isinstance(out, tuple) else out
        if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor) or x.dim() != 4:
            return out
        if name == "convolution" and max(args[3]) > 1 and not args[6]:
            self.found["kernel"] += min(x.shape[2:]) > 1
        elif "pool2d" in name and "adaptive" not in name:
            stride = args[2] or args[1]
            self.found["kernel"] += max(stride if isinstance(stride, list | tuple) else [stride]) > 1
        elif "adaptive" in name or (name in ("mean", "amax") and {d % 4 for d in args[1]} >= {2, 3}):
            self.found["collapse"] += max(x.shape[2:]) > 1
        return out


def observed(name: str, size: tuple[int, int, int]) -> Counter[str]:
    """Return how many kernels with a stride and how many collapses ran."""
    model = backbones.build(Plan(name, size), device="meta").eval()
    with torch.no_grad(), _Observed() as mode:
        model(torch.empty(1, *size, device="meta"))
    return mode.found


def recorded(name: str, size: tuple[int, int, int]) -> Counter[str]:
    """Return the same of the members of all sites."""
    found: Counter[str] = Counter()
    for site in find_sites(name, size):
        if not site.keeps_size and site.role != "aux":
            found["collapse" if max(site.after) == 1 or site.role == "head" else "kernel"] += len(site.members)
    return found


def identity(name: str, size: tuple[int, int, int], large: bool) -> str:
    """Return "" when the empty Plan gives the published network's very outputs, in eval and in train mode."""
    if large:
        return ""
    plan = check(Plan(name, size))
    ours, theirs = rebuild(plan), backbones.build(plan)
    if list(ours.state_dict()) != list(theirs.state_dict()):
        return "keys differ"
    x = torch.rand(2, *size)
    for training in (False, True):
        results = []
        for model in (ours, theirs):
            torch.manual_seed(0)
            out = model.train(training)(x)
            results.append(out if isinstance(out, torch.Tensor) else out[0])
        if not torch.equal(*results):
            return f"outputs differ, training {training}"
    return ""


def swapped(name: str, size: tuple[int, int, int]) -> list[Plan]:
    """Return the Plans to try: max <-> average at every trunk pooling, blur behind every strided convolution."""
    pools, blurs = Plan(name, size), Plan(name, size)
    for site in find_sites(name, size):
        if site.locked or site.role != "trunk" or site.published is None:
            continue
        own = site.published
        if site.form == "convolution":
            blurs = blurs.put(site.name, suggest(site, "blur"))
        elif own.kind in ("max", "avg"):
            spec = suggest(site, "avg" if own.kind == "max" else "max")
            pools = pools.put(site.name, replace(spec, counted=spec.kind == "max"))
    return [plan for plan in (pools, blurs) if plan.sites]


def runs(plan: Plan, large: bool, keys: list[str]) -> str:
    """Return "" when the Plan's network runs forward and backward and keeps the keys, or the reason."""
    model = rebuild(plan, device="meta" if large else "cpu").train()
    if list(model.state_dict()) != keys:
        return "keys differ"
    x = torch.empty(2, *plan.size, device="meta") if large else torch.rand(2, *plan.size)
    for module in model.modules():  # a batch of two on a map of one pixel is enough for no statistics
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    out = model(x)
    out = out if isinstance(out, torch.Tensor) else out[0]
    if large:
        return ""
    out.float().square().mean().backward()
    bad = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    return f"gradient of {bad[0]} is not finite" if bad else ""


def timed(function: Any) -> float:
    """Return the CPU milliseconds of this thread."""
    start = time.thread_time_ns()
    function()
    return (time.thread_time_ns() - start) / 1e6


def clear() -> None:
    """Forget what is cached about networks, so that opening one is opening it."""
    memory.forget()
    checking._check.cache_clear()


def one(name: str) -> dict[str, Any]:
    """Return what was found about one network."""
    size = backbones.backbone(name).size
    clear()
    row: dict[str, Any] = {"name": name, "problems": []}
    row["open_ms"] = timed(lambda: cost.layer_rows(check(Plan(name, size))))
    sites = find_sites(name, size)
    row["sites"] = sum(site.role in ("trunk", "head") for site in sites)
    row["gates"] = sum(site.role == "gate" for site in sites)
    row["locked"] = [site.name for site in sites if site.locked and site.role in ("trunk", "head")]
    seen, ours = observed(name, size), recorded(name, size)
    if seen != ours:
        row["problems"].append(f"observed {dict(seen)}, at sites {dict(ours)}")
    model = backbones.build(Plan(name, size), device="meta")
    row["parameters"] = sum(p.numel() for p in model.parameters())
    large, keys = row["parameters"] > LARGEST, list(model.state_dict())
    smaller = usable(name, size)
    problem = attempt(lambda: identity(name, smaller[0], large))
    row["problems"] += [f"empty Plan: {problem}"] if problem else []
    row["swaps"] = 0
    for place in smaller:
        for plan in swapped(name, place):
            problem = attempt(lambda plan=plan: runs(plan, large, keys))
            row["swaps"] += 1
            words = f"{plan.size[1]} px, {plan.sites[0][0]}={plan.sites[0][1]}: {problem}"
            row["problems"] += [words] if problem else []
    row |= speeds(name, size, sites)
    return row


def attempt(function: Any) -> str:
    """Return what the function says, or why it failed."""
    try:
        return str(function())
    except PoolsearchError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


def usable(name: str, size: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Return three input sizes, one of them odd, at which the published network runs; else its own."""
    found = []
    for side in (96, 129, 160, 192, 225, 256, size[1], 331):
        place = (size[0], side, side)
        try:
            check(Plan(name, place))
            for training in (False, True):  # an auxiliary head may need a larger input than the network itself
                model = backbones.build(Plan(name, place), device="meta").train(training)
                model(torch.empty(2, *place, device="meta"))
        except Exception:
            continue
        found.append(place)
        if len(found) == 3:
            break
    return found or [size]


def speeds(name: str, size: tuple[int, int, int], sites: tuple[Site, ...]) -> dict[str, float]:
    """Return the CPU milliseconds of a changed setting (median of 5) and of a committed Plan."""
    strides = [site for site in sites if site.role == "trunk" and not site.locked and not site.keeps_size]
    if not strides:
        return {}
    times, rows = [], []
    for stride in (1, 3, 4, 5, 6):
        spec = strides[-1].published
        assert spec is not None
        plan = Plan(name, size, ((strides[-1].name, PoolSpec.of(spec.kind, spec.kernel, stride, spec.padding)),))
        times.append(timed(lambda plan=plan: attempt(lambda: check(plan))))
        rows.append(timed(lambda plan=plan: attempt(lambda: cost.layer_rows(plan))))
    plan = check(Plan(name, size, ((strides[0].name, PoolSpec.of("max", 2, 2)),))) if strides else None
    commit = timed(lambda: record_calls(rebuild(plan, device="meta").eval(), plan.size)) if plan else 0.0
    return {"setting_ms": float(np.median(times)), "rows_ms": float(np.median(rows)), "commit_ms": commit}


def memory_of(names: list[str]) -> float:
    """Return how many MiB the process grows for each network that is opened and kept."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    attempt(lambda: cost.layer_rows(check(Plan("resnet18", (3, 224, 224)))))  # what every process loads once
    before = resident()
    for name in names:
        attempt(lambda name=name: cost.layer_rows(check(Plan(name, backbones.backbone(name).size))))
    return round((resident() - before) / len(names) / 2**20, 1)


def write(names: tuple[str, ...]) -> None:
    """Keep parameters, MACs and the published input size (pixels) of our networks and torchvision's."""
    found = {}
    for name in names:
        with contextlib.suppress(PoolsearchError):
            if not name.startswith("timm."):
                sums = cost.totals(cost.layer_rows(Plan(name, backbones.backbone(name).size)))
                found[name] = [sums.parameters, sums.macs, backbones.backbone(name).size[1]]
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(figures)}" for name, figures in found.items())
    sizes.NETWORKS.write_text(f"{{\n{lines}\n}}\n")


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true", help="torchvision and the sample of timm")
    parser.add_argument("--write", action="store_true", help="only keep parameters and MACs for the page Backbone")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    known = backbones.known()
    names = asked.names or [name for name in known if not name.startswith(("timm.", "vit_", "swin", "maxvit"))]
    names += [f"timm.{name}" for name in TIMM if f"timm.{name}" in known] if asked.all else []
    if asked.write:
        write(backbones.known())
        return
    table = Table(title=f"{len(names)} networks")
    for column in (
        "network",
        "sites",
        "gates",
        "swaps run",
        "open, ms",
        "setting, ms",
        "rows, ms",
        "commit, ms",
        "problems",
    ):
        table.add_column(column, justify="left" if column in ("network", "problems") else "right")
    rows = []
    opened = memory_of(names)
    for number, name in enumerate(names, start=1):
        print(f"\r{number} of {len(names)}: {name:40s}", end="", file=sys.stderr, flush=True)
        try:
            row = one(name)
        except Exception as error:
            row = {"name": name, "problems": [f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"]}
        rows.append(row)
        figures = (f"{row[key]:.1f}" if key in row else "" for key in ("open_ms", "setting_ms", "rows_ms", "commit_ms"))
        counts = (str(row.get(key, "")) for key in ("sites", "gates", "swaps"))
        table.add_row(name, *counts, *figures, "; ".join(row["problems"]))
    print(file=sys.stderr)
    Console(width=180).print(table)
    summary: dict[str, Any] = {"networks": len(rows), "without problems": sum(not row["problems"] for row in rows)}
    for key in ("open_ms", "setting_ms", "rows_ms", "commit_ms"):
        values = [row[key] for row in rows if key in row]
        summary[key] = {f"p{p}": round(float(np.percentile(values, p)), 2) for p in (50, 95)}
    summary["mib_per_network"] = opened
    problems = {row["name"]: row["problems"] for row in rows if row["problems"]}
    print(
        json.dumps({"date": f"{datetime.date.today()}", "machine": devices.machine(), **summary, "problems": problems})
    )


if __name__ == "__main__":
    main()
