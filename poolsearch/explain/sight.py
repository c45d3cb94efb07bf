"""Which pixels each output number of a pooling sees, in whole numbers: what "Pooling by hand" outlines.

Covers pictures of (H, W), signals of (1, L), and, for poolings across channels, tables of (places, channels).
"""

from __future__ import annotations

from itertools import product
from math import ceil, floor

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import Field, pooled_size, seen_through, window

Sight = tuple[range, range]  # rows and columns; outside the map where there is a border


def sights(spec: PoolSpec, shape: tuple[int, int]) -> list[Sight]:
    """Return the rows and columns that each output number sees, in reading order of the output."""
    rows, columns = shape
    kind = KINDS[spec.kind]
    if kind.reduces == "channels":
        group = int(spec.option("group")) if kind.channels == "groups" else columns
        starts = range(0, columns, group)
        return [(range(row, row + 1), range(start, start + group)) for row in range(rows) for start in starts]
    axes = sizes_of(shape)
    if kind.channels == "levels":
        levels = range(1, int(spec.option("levels")) + 1)
        return [cell for level in levels for cell in _grid([_bins(size, level) for size in axes])]
    cells = _grid(_along(spec, axes))
    return cells * 2 if kind.channels == "double" else cells


def sizes_of(shape: tuple[int, int]) -> tuple[int, ...]:
    """Return the sizes of the axes that are pooled: (H, W), or (L,) of a signal."""
    return shape if shape[0] > 1 else shape[1:]


def _grid(axes: list[list[range]]) -> list[Sight]:
    one_row = [[range(1)]] if len(axes) == 1 else []
    return [(rows, columns) for rows, columns in product(*one_row, *axes)]


def _along(spec: PoolSpec, sizes: tuple[int, ...]) -> list[list[range]]:
    """Return what each output sees along each axis."""
    kind, outputs = KINDS[spec.kind], pooled_size(spec, sizes)
    if kind.reduces == "map" or kind.sees == "map":
        return [[range(size)] * out for size, out in zip(sizes, outputs, strict=True)]
    if kind.in_bins:
        return [_bins(size, out) for size, out in zip(sizes, outputs, strict=True)]
    if kind.sees == "triangle":
        return [[_under_triangle(size / out, i) for i in range(out)] for size, out in zip(sizes, outputs, strict=True)]
    win = window(spec, sizes)
    if kind.reduces == "ratio":
        return [_uneven(*values) for values in zip(sizes, outputs, win.kernel, strict=True)]
    found = []
    for axis, (size, out, dilation) in enumerate(zip(sizes, outputs, win.dilation, strict=True)):
        field = seen_through(spec, Field(), sizes, axis)
        first, length, step = int(field.low), int(field.pixels), int(field.jump)
        # what ceil mode reads past the border is not seen; what a filter behind the window mirrors is
        last = size + (win.padding[axis][1] if kind.sees == "window" else length)
        found.append([range(i * step + first, min(i * step + first + length, last), dilation) for i in range(out)])
    return found


def _bins(size: int, out: int) -> list[range]:
    return [range(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def _under_triangle(scale: float, index: int) -> range:
    """Return the pixels that weigh anything in a resized one: nearer to its centre than the triangle is half wide.

    The scale is what torch takes: pixels that come in for each that goes out, 8 / 3 for a stride of 3 over 8 pixels.
    """
    centre = (index + 0.5) * scale - 0.5
    return range(floor(centre - scale) + 1, ceil(centre + scale))


def _uneven(size: int, out: int, kernel: int) -> list[range]:
    """Return the windows of fractional max pooling in eval, u = 1/2 (Graham 2014)."""
    alpha = (size - kernel) / (out - 1) if out > 1 else 0.0
    starts = [int((i + 0.5) * alpha) - int(0.5 * alpha) for i in range(out - 1)] + [size - kernel]
    return [range(start, start + kernel) for start in starts]
