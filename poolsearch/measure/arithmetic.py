"""What a pooling computes on one map: multiply-accumulates, comparisons and additions, as its kind's record says.

Counted is what the formula in `kinds.py` says, for one image in eval mode; not what an implementation adds so that
nothing overflows. MACs are those of convolutions, filters and matrices; the rest stands in `Operations`. A maximum of n
numbers is n - 1 comparisons, an average n - 1 additions and a division, a median a sort of n log2 n comparisons.
Padding counts like pixels, as it does in the MACs of a convolution. Other tools count all of this as 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log2, prod

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import spread, window

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """The operations of one pooling on one map."""

    macs: int = 0
    comparisons: int = 0
    additions: int = 0


def work(spec: PoolSpec, source: Shape, out: Shape, weights: int = 0) -> Work:
    """Return the operations of a pooling with so many weights from a map (C, H, W) to a map (C, H, W)."""
    windows, numbers = _taken(spec, source, out)
    each = KINDS[spec.kind].operations
    comparisons = each.comparisons * numbers + each.window_comparisons * windows
    additions = each.additions * numbers + each.window_additions * windows
    if each.sorts and windows:
        held = numbers // windows
        comparisons += ceil(numbers * log2(held))
        additions += 0 if held % 2 else 2 * windows  # of an even number, the mean of the two middle ones
    return Work(_macs(spec, source, out, weights), comparisons, additions)


def _taken(spec: PoolSpec, source: Shape, out: Shape) -> tuple[int, int]:
    """Return how many windows are reduced, and how many numbers they hold together."""
    kind = KINDS[spec.kind]
    if kind.reduces == "channels":
        return prod(out), prod(source)
    if kind.channels == "levels":
        levels = [(n, n) for n in range(1, int(spec.option("levels")) + 1)]
        return source[0] * sum(map(prod, levels)), source[0] * sum(_in_bins(source, bins) for bins in levels)
    if kind.reduces == "map":
        return prod(out) // (2 if kind.channels == "double" else 1), prod(source)
    if kind.in_bins:
        return prod(out), source[0] * _in_bins(source, out[1:])
    windows = source[0] * prod(_dense(spec, source)) if kind.sees == "filtered" else prod(out)
    if _weighs_dense(spec):  # one number for each that its convolution leaves
        return windows, windows
    return windows, windows * prod(spread(spec.kernel or spec.stride, 2, 1))


def _in_bins(source: Shape, bins: tuple[int, ...]) -> int:
    """Return how many numbers of one channel the adaptive bins hold together; bins may overlap."""
    axes = zip(source[1:], bins, strict=True)
    return prod(sum(-(-(i + 1) * size // n) - i * size // n for i in range(n)) for size, n in axes)


def _dense(spec: PoolSpec, source: Shape) -> tuple[int, ...]:
    """Return the size of the map that the window leaves at stride 1, before the filter behind it."""
    return replace(window(spec, source[1:]), stride=(1, 1)).output(source[1:])


def _weighs_dense(spec: PoolSpec) -> bool:
    """Return whether a convolution stands before the filter, on the map at stride 1."""
    kind = KINDS[spec.kind]
    return kind.sees == "filtered" and kind.multiplies == "weights"


def _macs(spec: PoolSpec, source: Shape, out: Shape, weights: int) -> int:
    kind = KINDS[spec.kind]
    if (
        kind.multiplies_at == "input"
    ):  # a 1x1 convolution on the map that enters, with its border where that is real numbers
        map_ = source[1:]
        if spec.border:
            map_ = tuple(n + sum(pads) for n, pads in zip(map_, window(spec, map_).padding, strict=True))
        return source[0] ** 2 * prod(map_)
    if kind.multiplies_at == "axes":  # one matrix an axis: rows first, then columns
        (channels, height, width), (_, rows, columns) = source, out
        return channels * rows * width * (height + columns)
    blurred = prod(out) * int(spec.option("taps")) ** 2 if kind.sees == "filtered" else 0
    if _weighs_dense(spec):
        return prod(_dense(spec, source)) * weights + blurred
    if kind.multiplies == "weights":
        return prod(out[1:]) * weights
    if kind.multiplies == "filter":
        return blurred or prod(out) * prod(spread(spec.kernel, 2, 1))
    return 0
