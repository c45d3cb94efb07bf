"""Poolings that low-pass before they subsample: blur, maximum at stride 1 then blur (Zhang 2019), wavelets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from itertools import product
from math import comb, prod, sqrt

import torch.nn.functional as F
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.pooling.geometry import bordered, channels_of, constant, framed, on
from poolsearch.pooling.windowed import maximum

_CONV: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)

# Low-pass filters with 1, 2 and 3 vanishing moments, by their number of taps (Daubechies 1988, table 1)
DAUBECHIES = {
    2: [1 / sqrt(2), 1 / sqrt(2)],
    4: [n / (4 * sqrt(2)) for n in (1 + sqrt(3), 3 + sqrt(3), 3 - sqrt(3), 1 - sqrt(3))],
    6: [
        0.3326705529500826, 0.8068915093110925, 0.4598775021184915,
        -0.1350110200102545, -0.0854412738820267, 0.0352262918857095,
    ],
}  # fmt: skip


def binomial(taps: int) -> list[float]:
    """Return the binomial weights, summing to 1: 3 taps are 1/4, 1/2, 1/4."""
    return [comb(taps - 1, i) / 2 ** (taps - 1) for i in range(taps)]


def daubechies(taps: int) -> list[float]:
    """Return the wavelet's low-pass weights, summing to √2."""
    return DAUBECHIES[taps]


def filtered(x: Tensor, of: Callable[[int], list[float]], taps: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Return x (already padded) under one filter of(taps) an axis, every stride-th value; channels stay apart."""
    channels = channels_of(x)
    weight = constant(_product(of, taps), x).view(1, 1, *taps).repeat(channels, *(1,) * (len(taps) + 1))
    return _CONV[len(taps) - 1](x, weight, stride=stride, groups=channels)


@lru_cache(maxsize=256)
def _product(of: Callable[[int], list[float]], taps: tuple[int, ...]) -> list[float]:
    """Return the product of one filter an axis, row by row."""
    return [prod(weights) for weights in product(*map(of, taps))]


def blur_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the binomial-filtered map at every stride-th place; padding mirrors the map unless the spec says it."""
    x, win = framed(x, spec)
    return filtered(x, binomial, win.kernel, win.stride)


def wavelet_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the map under Daubechies' low-pass filter at every stride-th place; the border wraps around."""
    x, win = framed(x, spec)
    return filtered(x, daubechies, win.kernel, win.stride)


def max_blur_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maximum at stride 1, blurred and subsampled: sizes are those of a plain maximum with this spec."""
    x, win = framed(x, spec)
    return blurred(maximum(x, replace(win, stride=(1,) * len(win.kernel))), spec)


def blurred(dense: Tensor, spec: PoolSpec) -> Tensor:
    """Return a map (that a window left at stride 1) under the spec's filter of `taps`, every stride-th value.

    Its border mirrors the map unless the spec says it. An even filter has no middle: its longer half lies behind, so
    that it reaches one pixel further at the end.
    """
    axes, taps = dense.dim() - 2, int(spec.option("taps"))
    reach = (((taps - 1) // 2, taps // 2),) * axes
    return filtered(bordered(dense, reach, spec.border or "reflect"), binomial, (taps,) * axes, on(spec, dense).stride)
