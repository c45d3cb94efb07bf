"""Poolings that low-pass before they subsample: blur, and maximum at stride 1 followed by blur (Zhang 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import comb

import torch.nn.functional as F
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.pooling.geometry import on, pad
from poolsearch.pooling.windowed import maximum

_CONV: tuple[Callable[..., Tensor], ...] = (F.conv1d, F.conv2d, F.conv3d)


def binomial(taps: tuple[int, ...]) -> list[list[float]]:
    """Return the binomial weights of each axis, summing to 1: 3 taps are 1/4, 1/2, 1/4."""
    return [[comb(n - 1, i) / 2 ** (n - 1) for i in range(n)] for n in taps]


def filtered(x: Tensor, taps: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Return x (already padded) under the binomial filter, every stride-th value; channels stay apart."""
    weight = x.new_ones(())
    for axis, weights in enumerate(binomial(taps)):
        shape = [1] * len(taps)
        shape[axis] = -1
        weight = weight * x.new_tensor(weights).view(shape)
    channels = x.shape[1]
    return _CONV[len(taps) - 1](x, weight.expand(channels, 1, *weight.shape), stride=stride, groups=channels)


def blur_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the binomial-filtered map at every stride-th place; the padding mirrors the map."""
    win = on(spec, x)
    return filtered(pad(x, win.padding, mode="reflect"), win.kernel, win.stride)


def max_blur_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maximum at stride 1, blurred and subsampled: sizes are those of a plain maximum with this spec."""
    win = on(spec, x)
    taps = (int(spec.option("taps")),) * len(win.kernel)
    dense = maximum(x, replace(win, stride=(1,) * len(win.kernel)))
    reach = tuple(((n - 1) // 2, (n - 1) // 2) for n in taps)
    return filtered(pad(dense, reach, mode="reflect"), taps, win.stride)
