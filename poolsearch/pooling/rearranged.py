"""Poolings that pick or regroup what is there: adaptive polyphase, blocks to channels, and pooling across channels."""

from __future__ import annotations

import torch
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import pooled_channels
from poolsearch.pooling.geometry import axes_of, bordered, on


def blocks(x: Tensor, stride: tuple[int, ...], border: str) -> Tensor:
    """Return x as (N, C, pixels of a block, *blocks): the map cut into blocks of `stride` pixels an axis.

    Where the stride does not divide the map, the border (zeros or circular) fills the last block.
    """
    x = bordered(x, tuple((0, -size % step) for size, step in zip(axes_of(x), stride, strict=True)), border)
    axes = len(stride)
    split = x.reshape(*x.shape[:2], *(n for size, step in zip(axes_of(x), stride) for n in (size // step, step)))
    outputs, inside = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    return split.permute(0, 1, *inside, *outputs).flatten(2, 1 + axes)


def aps_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return, for each image, the subsampled map of the phase with the largest energy over all channels.

    The border wraps around, so that a circular shift of the input shifts the output. Source: Chaman, Dokmanić 2021.
    """
    phases = blocks(x, on(spec, x).stride, "circular")
    wide = phases.detach().float() if x.dtype in (torch.float16, torch.bfloat16) else phases.detach()
    axes = x.dim() - 2
    energy = wide.square().sum((1, *range(3, 3 + axes)))
    best = energy.argmax(1).view(-1, 1, 1, *(1,) * axes)
    return phases.gather(2, best.expand(-1, phases.shape[1], 1, *phases.shape[3:])).squeeze(2)


def channel_avg(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the mean over all channels at each pixel, (N, 1, ...)."""
    return x.mean(1, keepdim=True)


def channel_max(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maximum over all channels at each pixel, (N, 1, ...); the gradient goes to the first winner."""
    return x.max(1, keepdim=True).values


def maxout(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the maximum over each group of neighbouring channels, (N, C / group, ...).

    Raises WindowError when the groups do not divide the channels. Source: Goodfellow et al. 2013.
    """
    groups = pooled_channels(spec, x.shape[1], x.dim() - 2)
    grouped = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    return grouped.max(2).values
