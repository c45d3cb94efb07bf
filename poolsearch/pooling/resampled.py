"""Poolings that resample the whole map to a given size: area, anti-aliased triangle, spectral.

The last two are one matrix an axis, so that every number of axes, any size and every device are the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.pooling.geometry import axes_of
from poolsearch.windows import pooled_size

_ADAPTIVE: tuple[Callable[..., Tensor], ...] = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)


def area_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the mean of each of the ⌈size / stride⌉ bins an axis."""
    return _ADAPTIVE[x.dim() - 3](x, pooled_size(spec, axes_of(x)))


def resize_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return x under a triangle filter as wide as the stride, as Pillow and torch's anti-aliased bilinear resize do."""
    return _each_axis(x, spec, triangle)


def spectral_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return x with only the frequencies that the output can hold, scaled so that the mean stays (Rippel 2015)."""
    return _each_axis(x, spec, lowest_frequencies)


def _each_axis(x: Tensor, spec: PoolSpec, matrix: Callable[[int, int], Tensor]) -> Tensor:
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    for axis, (size, out) in enumerate(zip(axes_of(x), pooled_size(spec, axes_of(x)), strict=True), start=2):
        weights = matrix(size, out).to(wide.device, wide.dtype)
        wide = (wide.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return wide.to(x.dtype)


@lru_cache(maxsize=128)
def triangle(size: int, out: int) -> Tensor:
    """Return the (out, size) weights of an anti-aliased bilinear resize, in float64; each row sums to 1."""
    scale = size / out
    centres = (torch.arange(out, dtype=torch.float64, device="cpu") + 0.5) * scale
    places = torch.arange(size, dtype=torch.float64, device="cpu") + 0.5
    weights = (1 - (places - centres[:, None]).abs() / scale).clamp_min(0)
    return weights / weights.sum(1, keepdim=True)


@lru_cache(maxsize=128)
def lowest_frequencies(size: int, out: int) -> Tensor:
    """Return the (out, size) weights that keep frequencies up to out / 2 waves a map, in float64; rows sum to 1.

    Of an even output the highest frequency is kept by its real part, as in the inverse of a real Fourier transform.
    """
    places = torch.arange(out, dtype=torch.float64, device="cpu")[:, None] / out
    places = places - torch.arange(size, dtype=torch.float64, device="cpu") / size
    waves = torch.arange(1, (out + 1) // 2, dtype=torch.float64, device="cpu")[:, None, None]
    weights = 1 + 2 * torch.cos(2 * torch.pi * waves * places).sum(0)
    if out % 2 == 0 and out < size:
        rows = torch.arange(out, dtype=torch.float64, device="cpu")[:, None] % 2 * -2 + 1  # cos(pi · row)
        columns = torch.arange(size, dtype=torch.float64, device="cpu") / size
        weights = weights + rows * torch.cos(torch.pi * out * columns)
    elif out % 2 == 0:
        weights = weights + torch.cos(torch.pi * out * places)
    return weights / size
