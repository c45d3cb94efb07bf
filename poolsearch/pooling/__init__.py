"""Every pooling there is, under the names of `poolsearch.plan.kinds`: one registry, one way to build, one way to apply.

A new pooling is one function here, its line below, and its record in `kinds.KINDS` (or one call of `register`, which
adds both); the battery in tests/pooling/test_pooling.py then runs over it, and the pages, the search space and the docs
show it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from poolsearch.errors import PlanError, shortened
from poolsearch.plan import PoolSpec, as_spec
from poolsearch.plan.kinds import KINDS, Kind
from poolsearch.plan.windows import pooled_channels, pooled_size
from poolsearch.pooling.antialiased import blur_pool, max_blur_pool, wavelet_pool
from poolsearch.pooling.asked import as_batch
from poolsearch.pooling.geometry import Specified, axes_of
from poolsearch.pooling.heads import (
    GeM,
    adaptive_avg,
    adaptive_max,
    avg_max,
    avg_max_cat,
    global_avg,
    global_max,
    pyramid,
    statistics,
)
from poolsearch.pooling.learned import (
    LIP,
    AverageConv,
    ConvBlur,
    DepthwiseConv,
    FractionalMax,
    Gated,
    MixedLearned,
    PowerMean,
    SpaceToDepth,
    Stochastic,
    StridedConv,
)
from poolsearch.pooling.ordered import lse_pool, median_pool, min_pool, mixed_pool
from poolsearch.pooling.rearranged import aps_pool, channel_avg, channel_max, maxout
from poolsearch.pooling.resampled import area_pool, resize_pool, spectral_pool
from poolsearch.pooling.windowed import avg_pool, lp_pool, max_pool, soft_pool, subsample

Function = Callable[[Tensor, PoolSpec], Tensor]
Build = Callable[[PoolSpec, int, int], nn.Module]


class Pooling(Specified):
    """Return function(x, spec): the module of a pooling without learned numbers."""

    def __init__(self, function: Function, spec: PoolSpec) -> None:
        super().__init__(spec)
        self.function = function

    def pooled(self, x: Tensor) -> Tensor:
        return self.function(x, self.spec)


def fixed(function: Function) -> Build:
    """Return the builder of a pooling that is a plain function."""
    return lambda spec, channels, axes: Pooling(function, spec)


POOLINGS: dict[str, Build] = {
    "max": fixed(max_pool),
    "avg": fixed(avg_pool),
    "min": fixed(min_pool),
    "median": fixed(median_pool),
    "lp": fixed(lp_pool),
    "lse": fixed(lse_pool),
    "soft": fixed(soft_pool),
    "gem-window": PowerMean,
    "mixed": fixed(mixed_pool),
    "stochastic": Stochastic,
    "fractional-max": FractionalMax,
    "mixed-learned": MixedLearned,
    "gated": Gated,
    "lip": LIP,
    "conv": StridedConv,
    "conv-depthwise": DepthwiseConv,
    "conv-blur": ConvBlur,
    "space-to-depth": SpaceToDepth,
    "avg-conv": AverageConv,
    "blur": fixed(blur_pool),
    "max-blur": fixed(max_blur_pool),
    "area": fixed(area_pool),
    "resize": fixed(resize_pool),
    "spectral": fixed(spectral_pool),
    "wavelet": fixed(wavelet_pool),
    "aps": fixed(aps_pool),
    "subsample": fixed(subsample),
    "global-avg": fixed(global_avg),
    "global-max": fixed(global_max),
    "avg-max": fixed(avg_max),
    "gem": GeM,
    "avg-max-cat": fixed(avg_max_cat),
    "statistics": fixed(statistics),
    "adaptive-avg": fixed(adaptive_avg),
    "adaptive-max": fixed(adaptive_max),
    "pyramid": fixed(pyramid),
    "channel-avg": fixed(channel_avg),
    "channel-max": fixed(channel_max),
    "maxout": fixed(maxout),
}


def register(name: str, kind: Kind, make: Build) -> None:
    """Add a pooling of your own, last in every list: its record, and what builds its module (`fixed` of a function).

    It holds for this process; a sweep's workers and a cluster's nodes must register it as well.
    Raises PlanError for a name that is taken, or that the text of a Plan can't hold.
    """
    if name in KINDS:
        raise PlanError(f"There is a pooling '{name}' already.")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise PlanError(
            f"'{shortened(name)}' can't name a pooling. Possible: small letters, digits and single hyphens."
        )
    KINDS[name], POOLINGS[name] = kind, make


def unregister(name: str) -> None:
    """Take a pooling away that was registered."""
    del KINDS[name], POOLINGS[name]


def build(spec: PoolSpec, channels: int, axes: int = 2) -> nn.Module:
    """Return the module of a spec for maps of this many channels and axes."""
    return POOLINGS[spec.kind](spec, channels, axes)


def pool(x: Tensor, spec: PoolSpec | str, dims: int | None = None) -> Tensor:
    """Return x pooled, (N, C, *output) or with `pooled_channels`: x is (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    `dims` says over how many axes where the shape leaves it open: 1 for (N, C, L), 2 for one picture of (C, H, W), 3
    for one volume of (C, D, H, W); such a single map comes back without N. A learned kind is built with the weights of
    seed 0, a stochastic one in eval mode.
    Raises MapError for what is no map, PlanError for what is no spec, and WindowError when the window doesn't fit, or
    the groups do not divide the channels.
    """
    spec = as_spec(spec)
    batch = as_batch(x, spec, dims)
    pooled_size(spec, axes_of(batch))
    pooled_channels(spec, batch.shape[1], batch.dim() - 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build(spec, batch.shape[1], batch.dim() - 2).to(batch.device, batch.dtype).eval()
    y: Tensor = module(batch)
    if not x.is_floating_point() and KINDS[spec.kind].integers == "same":
        y = y.to(x.dtype)
    return y if batch.dim() == x.dim() else y.squeeze(0)
