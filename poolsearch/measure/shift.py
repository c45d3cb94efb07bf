"""How much a pooling's output changes when the picture moves by single pixels: what aliasing looks like as a number.

Covers one pooling on one picture, moved along its width. A pooling that keeps what it should would give, for a picture
moved by s pixels, its old output moved by s / stride. The distance from that is what its stride folded over.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.pooling import pool
from poolsearch.rows import Array

SHIFTS = tuple(range(9))  # pixels
_BORDER = 2  # columns of the output at either side that a mirrored border reaches


def moved(picture: Array, shift: int) -> Array:
    """Return the picture (C, H, W) seen `shift` pixels further right, (C, H, W - 8): every shift keeps that width."""
    return picture[:, :, shift : picture.shape[2] - SHIFTS[-1] + shift]


def pooled(picture: Array, spec: PoolSpec) -> Array:
    """Return the picture pooled, (C, H', W')."""
    result: Array = pool(torch.from_numpy(np.ascontiguousarray(picture))[None], spec)[0].numpy()
    return result


def shift_changes(picture: Array, spec: PoolSpec) -> tuple[float, ...]:
    """Return, for shifts of 0 to 8 pixels, how far the output is from the moved output, in its own deviations.

    0 at every multiple of the stride, for every pooling; between them the old output is interpolated linearly. The
    two outermost columns are left out: what stands beyond the picture's border is not the picture's.
    """
    stride = spec.stride[-1]
    first = torch.from_numpy(pooled(moved(picture, 0), spec))
    deviation = float(first.std())
    if deviation == 0:
        return (0.0,) * len(SHIFTS)
    found = []
    for shift in SHIFTS:
        now = torch.from_numpy(pooled(moved(picture, shift), spec))
        wanted = _interpolated(first, shift / stride)
        away = (now[..., : wanted.shape[-1]] - wanted)[..., _BORDER:-_BORDER]
        found.append(float(away.square().mean().sqrt()) / deviation)
    return tuple(found)


def _interpolated(map_: Tensor, places: float) -> Tensor:
    """Return a map read `places` columns further right, linearly between columns; the last ones are dropped."""
    whole, part = int(places), places - int(places)
    left = map_[..., whole:]
    if part == 0:
        return left
    return (1 - part) * left[..., :-1] + part * left[..., 1:]
