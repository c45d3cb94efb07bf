"""How much a pooling's output changes when the picture moves by single pixels: what aliasing looks like as a number.

Covers one pooling on one picture, moved along its width. A pooling that keeps what it should would give, for a picture
moved by s pixels, its old output moved by s / stride. The distance from that is what its stride folded over.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import pooled_size
from poolsearch.pooling import pool
from poolsearch.records.network import Array

SHIFTS = tuple(range(9))  # pixels
_BORDER = 2  # columns of the output at either side that a mirrored border reaches


def moved(picture: Array, shift: int) -> Array:
    """Return the picture (C, H, W) seen `shift` pixels further right, (C, H, W - 8): every shift keeps that width."""
    return picture[:, :, shift : picture.shape[2] - SHIFTS[-1] + shift]


def pooled(picture: Array, spec: PoolSpec) -> Array:
    """Return the picture pooled, (C, H', W')."""
    with torch.no_grad():
        result: Array = pool(torch.from_numpy(np.ascontiguousarray(picture))[None], spec)[0].numpy()
    return result


@lru_cache(maxsize=256)
def gain(spec: PoolSpec) -> float:
    """Return what a constant picture of 1 becomes: 1 for a mean, sqrt(n) for an L2 sum over n pixels."""
    flat = pooled(np.ones((1, 64, 64), np.float32), spec)
    return float(flat[0, flat.shape[1] // 2, flat.shape[2] // 2])


def step(spec: PoolSpec) -> float:
    """Return how many pixels of the input lie between two columns of the output, on average."""
    return float(spec.stride[-1]) if "stride" in KINDS[spec.kind].takes else 1 / spec.option("ratio")


def shifted_outputs(picture: Array, spec: PoolSpec) -> tuple[Array, ...]:
    """Return the pooled picture at shifts of 0 to 8 pixels.

    Windows without padding are pooled once, at every column, and each shift takes its own; the outermost columns of a
    mirrored filter then see the picture where `pooled` mirrors it. All others are pooled nine times.
    """
    takes = KINDS[spec.kind].takes
    if not {"kernel", "stride"} <= set(takes) or spec.padding or spec.ceil:
        return tuple(pooled(moved(picture, shift), spec) for shift in SHIFTS)
    rows, columns = spec.stride[0], spec.stride[-1]
    every = pooled(picture, replace(spec, stride=(rows, 1)))
    width = pooled_size(spec, moved(picture, 0).shape[1:])[1]
    return tuple(every[:, :, shift::columns][:, :, :width] for shift in SHIFTS)


def difference(first: Array, now: Array, places: float) -> Array:
    """Return `now` less the first output moved by `places` columns, (C, H', fewer columns).

    Between columns the first output is interpolated linearly, which is too smooth for the finest waves of a sharp
    output: what spectral pooling changes is mostly that. The two outermost columns of what both have are left out:
    what stands beyond the picture's border is not the picture's.
    """
    whole, part = int(places), places - int(places)
    wanted = first[..., whole:]
    if part:
        wanted = (1 - part) * wanted[..., :-1] + part * wanted[..., 1:]
    result: Array = (now[..., : wanted.shape[-1]] - wanted)[..., _BORDER:-_BORDER]
    return result


def change_picture(first: Array, now: Array, places: float) -> Array:
    """Return where the output changed, (H', W'): the root mean square of `difference` over channels, at its place.

    The columns that are not compared are 0.
    """
    away = difference(first, now, places)
    result = np.zeros(now.shape[1:], np.float32)
    result[:, _BORDER : _BORDER + away.shape[-1]] = np.sqrt(np.square(away).mean(0))
    return result


def shift_changes(picture: Array, spec: PoolSpec) -> tuple[float, ...]:
    """Return, for shifts of 0 to 8 pixels, how far the output is from the moved output, in its own deviations.

    The root mean square of `difference` over the standard deviation of the unmoved output. 0 at every multiple of the
    stride, for every pooling of plain windows.
    """
    outputs = shifted_outputs(picture, spec)
    deviation = float(outputs[0].std())
    if deviation == 0:
        return (0.0,) * len(SHIFTS)
    away = (difference(outputs[0], now, shift / step(spec)) for shift, now in zip(SHIFTS, outputs, strict=True))
    return tuple(_rms(one) / deviation for one in away)


def mean_change(changes: tuple[float, ...]) -> float:
    """Return the mean of the changes at shifts of 1 to 8 pixels: (1/8) Σ change(s), s = 1 to 8.

    Eight pixels are whole turns of the strides 2, 4 and 8, so every position against the stride counts alike.
    """
    return float(np.mean(changes[1:]))


def distance(now: Array, clean: Array) -> float:
    """Return the root mean square of now - clean, in standard deviations of `clean`; 0 for a constant `clean`."""
    deviation = float(clean.std())
    return _rms(now - clean) / deviation if deviation else 0.0


def _rms(values: Array) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))
