"""Poolings of the whole map: to one number a channel, (N, C, 1, ...), to several, or to a map of a given size."""

from __future__ import annotations

from collections.abc import Callable
from math import log, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poolsearch.plan import PoolSpec
from poolsearch.pooling.geometry import Specified, axes_of

_ADAPTIVE_AVG: tuple[Callable[..., Tensor], ...] = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)
_ADAPTIVE: tuple[Callable[..., Tensor], ...] = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)


def global_avg(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the mean of each map, (N, C, 1, ...)."""
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def global_max(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maximum of each map, (N, C, 1, ...).

    Not amax: that keeps its output for the backward pass, and an in-place dropout behind it would spoil it.
    """
    return _ADAPTIVE[x.dim() - 3](x, 1)


def avg_max(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the mean of each map's average and maximum, (N, C, 1, ...)."""
    return global_avg(x, spec) / 2 + global_max(x, spec) / 2  # each halved first: the sum may exceed a float16


def avg_max_cat(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the averages of all maps, then their maxima, (N, 2 C, 1, ...)."""
    return torch.cat([global_avg(x, spec), global_max(x, spec)], 1)


def statistics(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the means of all maps, then their deviations (over n, not n - 1), (N, 2 C, 1, ...).

    The variance carries 1e-10, else the gradient of a constant map would be NaN.
    """
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    maps = tuple(range(2, x.dim()))
    variance = (wide - wide.mean(maps, keepdim=True)).square().mean(maps, keepdim=True)  # var() warns of an empty batch
    return torch.cat([wide.mean(maps, keepdim=True), (variance + 1e-10).sqrt()], 1).to(x.dtype)


def adaptive_avg(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the mean of each of `size` bins an axis, (N, C, size, ...); bins overlap where size does not divide."""
    return _ADAPTIVE_AVG[x.dim() - 3](x, int(spec.option("size")))


def adaptive_max(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maximum of each of `size` bins an axis, (N, C, size, ...)."""
    return _ADAPTIVE[x.dim() - 3](x, int(spec.option("size")))


def pyramid(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maxima of 1, 2, ... levels bins an axis, one level behind the other, (N, C Σ n^axes, 1, ...)."""
    levels = range(1, int(spec.option("levels")) + 1)
    found = torch.cat([_ADAPTIVE[x.dim() - 3](x, n).flatten(1) for n in levels], 1)
    return found.view(*found.shape, *(1,) * (x.dim() - 2))


class GeM(Specified):
    """Return (mean max(x, ε)^p)^(1/p) of each map, (N, C, 1, ...); p is learned and shared by all channels.

    Computed as exp((logsumexp(p log x) - log n) / p) in float32: x^p itself is infinite in float16 at x = 50, p = 3.
    Values below ε get no gradient. Source: Radenović, Tolias, Chum 2019.
    """

    def __init__(self, spec: PoolSpec, channels: int, axes: int = 2) -> None:
        super().__init__(spec)
        self.epsilon = 1e-6
        self.p = nn.Parameter(torch.tensor([spec.option("p")]))

    def pooled(self, x: Tensor) -> Tensor:
        maps = tuple(range(2, x.dim()))
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        p = self.p.to(wide.dtype)
        pixels = prod(axes_of(x))
        logs = torch.logsumexp(p * wide.clamp_min(self.epsilon).log(), maps, keepdim=True)
        # a copy: exp keeps its output for the backward pass, and an in-place dropout may follow
        return ((logs - log(pixels)) / p).exp().to(x.dtype, copy=True)
