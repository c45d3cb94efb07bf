"""What a pooling computes on one map: multiply-accumulates, comparisons and additions, by kind.

Counted is what the formula in `kinds.py` says, for one image in eval mode; not what an implementation adds so that
nothing overflows. MACs are those of convolutions, filters and matrices. Of the rest a comparison counts as one, and
so does an addition, and as an addition each division, multiplication, power, root, exponential, logarithm or sigmoid.
A maximum of n numbers is n - 1 comparisons, an average n - 1 additions and a division, a median a sort of n log2 n
comparisons. Padding counts like pixels, as it does in the MACs of a convolution. Other tools count all of this as 0.
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


_MAXIMUM = (1, -1, 0, 0)
_MEAN = (0, 0, 1, 0)
_NOTHING = (0, 0, 0, 0)  # beside MACs

# kind: comparisons for each number of a window and for each window, additions for each number and for each window
OPERATIONS: dict[str, tuple[int, int, int, int]] = {
    **dict.fromkeys(("max", "min", "fractional-max", "max-blur", "global-max", "adaptive-max", "pyramid"), _MAXIMUM),
    **dict.fromkeys(("channel-max", "maxout"), _MAXIMUM),
    **dict.fromkeys(("avg", "area", "avg-conv", "global-avg", "adaptive-avg", "channel-avg"), _MEAN),
    **dict.fromkeys(("conv", "conv-depthwise", "space-to-depth", "blur", "wavelet", "resize", "spectral"), _NOTHING),
    "subsample": _NOTHING,
    "median": _NOTHING,  # a sort: see `work`
    "lp": (0, 0, 2, 0),  # n powers, n - 1 additions, a root
    "lse": (0, 0, 3, 2),  # n times r, n exponentials, n - 1 additions, then / n, log, / r
    "soft": (0, 0, 5, -1),  # n times beta, n exponentials, n times x, two sums, a division
    "stochastic": (1, 0, 3, -1),  # n against 0, n squares, two sums, a division
    "gem": (1, 0, 2, 1),  # n against ε, n powers, n - 1 additions, / n, a root
    "gem-window": (1, 0, 2, 1),
    "mixed": (1, -1, 1, 3),  # both, each times its share, their sum
    "mixed-learned": (1, -1, 1, 3),
    "gated": (1, -1, 1, 5),  # and a sigmoid and 1 - g an output; w · x is in the MACs
    "lip": (0, 0, 4, -1),  # n exponentials, n times x, two sums, a division; its logits count as their MACs only
    "conv-blur": (1, 0, 0, 0),  # the ReLU between its convolution and its filter
    "aps": (0, 0, 2, 0),  # the energies: n squares, n additions
    "avg-max": (1, -1, 1, 2),
    "avg-max-cat": (1, -1, 1, 0),
    "statistics": (0, 0, 4, 1),  # the mean; n differences, n squares, n - 1 additions, / n, a root
}


def work(spec: PoolSpec, source: Shape, out: Shape, weights: int = 0) -> Work:
    """Return the operations of a pooling with so many weights from a map (C, H, W) to a map (C, H, W)."""
    windows, numbers = _taken(spec, source, out)
    comparing, compared, adding, added = OPERATIONS[spec.kind]
    comparisons = comparing * numbers + compared * windows
    additions = adding * numbers + added * windows
    if spec.kind == "median" and windows:
        each = numbers // windows
        comparisons = ceil(numbers * log2(each))
        additions = 0 if each % 2 else 2 * windows  # of an even number, the mean of the two middle ones
    return Work(_macs(spec, source, out, weights), comparisons, additions)


def _taken(spec: PoolSpec, source: Shape, out: Shape) -> tuple[int, int]:
    """Return how many windows are reduced, and how many numbers they hold together."""
    kind = KINDS[spec.kind]
    if kind.reduces == "channels":
        return prod(out), prod(source)
    if spec.kind == "pyramid":
        levels = [(n, n) for n in range(1, int(spec.option("levels")) + 1)]
        return source[0] * sum(map(prod, levels)), source[0] * sum(_in_bins(source, bins) for bins in levels)
    if kind.reduces == "map":
        return prod(out) // (2 if kind.channels == "double" else 1), prod(source)
    if kind.reduces == "bins" or spec.kind == "area":
        return prod(out), source[0] * _in_bins(source, out[1:])
    windows = source[0] * prod(_dense(spec, source)) if kind.sees == "blur" else prod(out)
    if spec.kind == "conv-blur":
        return windows, windows
    return windows, windows * prod(spread(spec.kernel or spec.stride, 2, 1))


def _in_bins(source: Shape, bins: tuple[int, ...]) -> int:
    """Return how many numbers of one channel the adaptive bins hold together; bins may overlap."""
    axes = zip(source[1:], bins, strict=True)
    return prod(sum(-(-(i + 1) * size // n) - i * size // n for i in range(n)) for size, n in axes)


def _dense(spec: PoolSpec, source: Shape) -> tuple[int, ...]:
    """Return the size of the map that the window leaves at stride 1, before the filter behind it."""
    return replace(window(spec, source[1:]), stride=(1, 1)).output(source[1:])


def _macs(spec: PoolSpec, source: Shape, out: Shape, weights: int) -> int:
    multiplies = KINDS[spec.kind].multiplies
    if spec.kind == "lip":  # a 1x1 convolution on the map that enters, with its border where that is real numbers
        map_ = source[1:]
        if spec.border:
            map_ = tuple(n + sum(pads) for n, pads in zip(map_, window(spec, map_).padding, strict=True))
        return source[0] ** 2 * prod(map_)
    if spec.kind in ("resize", "spectral"):  # one matrix an axis: rows first, then columns
        (channels, height, width), (_, rows, columns) = source, out
        return channels * rows * width * (height + columns)
    blurred = prod(out) * int(spec.option("taps")) ** 2 if KINDS[spec.kind].sees == "blur" else 0
    if spec.kind == "conv-blur":
        return prod(_dense(spec, source)) * weights + blurred
    if multiplies == "weights":
        return prod(out[1:]) * weights
    if multiplies == "filter":
        return blurred or prod(out) * prod(spread(spec.kernel, 2, 1))
    return 0
