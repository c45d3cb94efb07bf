"""Poolings that resample the whole map to a given size: area, anti-aliased triangle, spectral.

The last two are one matrix an axis, so that every number of axes, any size and every device are the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import pooled_size
from poolsearch.pooling.geometry import axes_of, constant

Array = NDArray[np.float64]

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


def _each_axis(x: Tensor, spec: PoolSpec, matrix: Callable[[int, int], Array]) -> Tensor:
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    for axis, (size, out) in enumerate(zip(axes_of(x), pooled_size(spec, axes_of(x)), strict=True), start=2):
        weights = constant(_weights(matrix, int(size), int(out)), wide)  # a symbol of an exporter becomes its number
        wide = (wide.movedim(axis, -1) @ weights.T).movedim(-1, axis)
    return wide.to(x.dtype)


def _weights(matrix: Callable[[int, int], Array], size: int, out: int) -> Array:
    """Return matrix(size, out); kept for the next call when it is small: making it takes longer than a small map."""
    return _small_weights(matrix, size, out) if size * out <= 1 << 16 else matrix(size, out)


@lru_cache(maxsize=64)  # of half a MB at most
def _small_weights(matrix: Callable[[int, int], Array], size: int, out: int) -> Array:
    return matrix(size, out)


def triangle(size: int, out: int) -> Array:
    """Return the (out, size) weights of an anti-aliased bilinear resize, in float64; each row sums to 1."""
    scale = size / out
    centres = (np.arange(out)[:, None] + 0.5) * scale
    weights = np.maximum(1 - abs(np.arange(size) + 0.5 - centres) / scale, 0)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def lowest_frequencies(size: int, out: int) -> Array:
    """Return the (out, size) weights that keep frequencies up to out / 2 waves a map, in float64; rows sum to 1.

    Of an even output the highest frequency is kept by its real part, as in the inverse of a real Fourier transform.
    """
    places = np.arange(out)[:, None] / out - np.arange(size) / size
    most = (out - 1) // 2  # waves
    # 1 + 2 Σ cos(2 pi n place) for n from 1 to most is sin((2 most + 1) pi place) / sin(pi place) (Dirichlet)
    height = np.sin(np.pi * places)
    here = abs(height) < 1e-9
    weights = np.where(here, 2 * most + 1.0, np.sin((2 * most + 1) * np.pi * places) / np.where(here, 1.0, height))
    if out % 2 == 0 and out < size:
        rows = 1 - 2 * (np.arange(out)[:, None] % 2)  # cos(pi · row)
        weights = weights + rows * np.cos(np.pi * out * np.arange(size) / size)
    elif out % 2 == 0:
        weights = weights + np.cos(np.pi * out * places)
    return np.asarray(weights / size)
