"""Window arithmetic in whole numbers: output sizes exactly as torch computes them, legality, receptive field.

Covers one axis at a time, and a PoolSpec over all axes of a map. Knows nothing of networks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

from poolsearch.errors import WindowError
from poolsearch.plan.kinds import KINDS

if TYPE_CHECKING:
    from poolsearch.plan import PoolSpec


def effective(kernel: int, dilation: int = 1) -> int:
    """Return the length in pixels that a dilated kernel spans."""
    return dilation * (kernel - 1) + 1


def output_size(
    size: int, kernel: int, stride: int, begin: int = 0, end: int = 0, dilation: int = 1, ceil: bool = False
) -> int:
    """Return the output size in pixels; below 1 means that no window fits.

    In ceil mode the last window is dropped when it would start behind the input and its begin padding
    (aten/src/ATen/native/Pool.h: a window must start inside the input or the left padding).
    """
    room = size + begin + end - effective(kernel, dilation) + (stride - 1 if ceil else 0)
    out = room // stride + 1  # floor division, also of a negative room: ceil mode lets a window overhang a small map
    if ceil and (out - 1) * stride >= size + begin:
        out -= 1
    return max(out, 0)


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1, lower: bool = False) -> tuple[int, int]:
    """Return (begin, end) in pixels so that the output is ceil(size / stride): ONNX SAME_UPPER, or SAME_LOWER."""
    total = max((-(-size // stride) - 1) * stride + effective(kernel, dilation) - size, 0)
    small, large = total // 2, total - total // 2
    return (large, small) if lower else (small, large)


@dataclass(frozen=True)
class Window:
    """A PoolSpec's window on a map of known size, one entry an axis."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    ceil: bool

    begins: tuple[int, ...] = field(init=False, repr=False, compare=False)  # padding at the beginning of each axis
    # whether torch takes this padding as it is: same at both ends, at most half the kernel
    symmetric: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # set once, not cached at the first use: a compiler that traces a pooling can't enter the cache's lock
        object.__setattr__(self, "begins", tuple(begin for begin, _ in self.padding))
        pairs = zip(self.padding, self.kernel, strict=True)
        object.__setattr__(self, "symmetric", all(begin == end and begin <= k // 2 for (begin, end), k in pairs))

    def output(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Return the output size in pixels of each axis."""
        axes = zip(sizes, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(output_size(n, k, s, b, e, d, self.ceil) for n, k, s, (b, e), d in axes)

    def overhang(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Return how many pixels the last window reaches past the end padding (ceil mode), for each axis."""
        axes = zip(sizes, self.output(sizes), self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple(max(0, (o - 1) * s + effective(k, d) - (n + b + e)) for n, o, k, s, (b, e), d in axes)


def spread(values: tuple[int, ...], axes: int, default: int) -> tuple[int, ...]:
    """Return one value an axis: none given is the default, one given counts for all."""
    if not values:
        return (default,) * axes
    return values * axes if len(values) == 1 else values


def window(spec: PoolSpec, sizes: tuple[int, ...]) -> Window:
    """Return the window of a windowed spec on a map of these sizes (SAME padding becomes numbers here)."""
    return _window(spec, sizes) if known(sizes) else _window.__wrapped__(spec, sizes)


def known(sizes: tuple[int, ...]) -> bool:
    """Return whether all sizes are numbers. A symbol, for which an exporter traces, can't be a cache's key."""
    return all(type(size) is int for size in sizes)


@lru_cache(maxsize=4096)
def _window(spec: PoolSpec, sizes: tuple[int, ...]) -> Window:
    axes = len(sizes)
    for name, values in (("kernel", spec.kernel), ("stride", spec.stride), ("dilation", spec.dilation)):
        if len(values) > 1 and len(values) != axes:
            raise WindowError(f"'{spec}' gives {len(values)} {name} values, but the map has {axes} axes.")
    kernel, stride = spread(spec.kernel, axes, 1), spread(spec.stride, axes, 1)
    dilation = spread(spec.dilation, axes, 1)
    if isinstance(spec.padding, str):
        lower = spec.padding == "same-lower"
        zipped = zip(sizes, kernel, stride, dilation, strict=True)
        padding = tuple(same_padding(n, k, s, d, lower) for n, k, s, d in zipped)
    elif not spec.padding:
        padding = ((0, 0),) * axes
    elif len(spec.padding) in (1, axes):
        padding = spec.padding * axes if len(spec.padding) == 1 else spec.padding
    else:
        raise WindowError(f"'{spec}' gives {len(spec.padding)} paddings, but the map has {axes} axes.")
    return Window(kernel, stride, padding, dilation, spec.ceil)


def pooled_size(spec: PoolSpec, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the output size of each axis, in pixels.

    Raises WindowError when the window can't stand on this map, with the nearest legal value.
    """
    reduces = KINDS[spec.kind].reduces
    if reduces == "map":
        return (1,) * len(sizes)
    if reduces == "channels":
        return sizes
    if reduces == "bins":
        return (int(spec.option("size")),) * len(sizes)
    win = window(spec, sizes)
    if reduces == "ratio":
        return tuple(_by_ratio(spec, size, kernel, len(sizes)) for size, kernel in zip(sizes, win.kernel, strict=True))
    for size, kernel, stride, (begin, end), dilation in zip(
        sizes, win.kernel, win.stride, win.padding, win.dilation, strict=True
    ):
        _fits(spec, size, kernel, stride, begin, end, dilation)
    return win.output(sizes)


def pooled_channels(spec: PoolSpec, channels: int, axes: int) -> int:
    """Return how many channels come out. Raises WindowError when they do not divide into the groups asked for."""
    how = KINDS[spec.kind].channels
    if how == "levels":
        return channels * sum(int(n**axes) for n in range(1, int(spec.option("levels")) + 1))
    if how == "groups":
        group = int(spec.option("group"))
        if channels % group:
            possible = [n for n in range(2, channels + 1) if channels % n == 0]
            near = f" Nearest: group={min(possible, key=lambda n: abs(n - group))}." if possible else ""
            raise WindowError(f"'{spec}' needs a number of channels that {group} divides, got {channels}.{near}")
        return channels // group
    return {"double": 2 * channels, "one": 1}.get(how, channels)


def _by_ratio(spec: PoolSpec, size: int, kernel: int, axes: int) -> int:
    """Return the output size of windows of uneven distance: as in torch, each must start at a pixel of its own."""
    out = int(size * spec.option("ratio"))
    most = size - kernel + (axes < 3)  # torch's operator for three axes asks for a pixel more
    if not 1 <= out <= most:
        near = f"The largest ratio here is {100 * most // size / 100:g}." if most > 0 else "Take a smaller kernel."
        raise WindowError(f"'{spec}' would make {out} of {size} pixels with kernel {kernel}. {near}")
    return out


def _fits(spec: PoolSpec, size: int, kernel: int, stride: int, begin: int, end: int, dilation: int) -> None:
    padded = size + begin + end
    padding = f" ({padded} with its padding)" if padded > size else ""
    overhangs = spec.ceil and output_size(size, kernel, stride, begin, end, dilation, True) > 0
    if effective(kernel, dilation) > padded and not overhangs:
        spans = f" spans {effective(kernel, dilation)} pixels at dilation {dilation} and" if dilation > 1 else ""
        largest = (padded - 1) // dilation + 1
        raise WindowError(
            f"Kernel {kernel}{spans} is larger than the {size}-pixel map{padding}, in '{spec}'. "
            f"The largest kernel that fits is {largest}."
        )
    if stride > padded:
        raise WindowError(
            f"Stride {stride} is larger than the {size}-pixel map{padding}, in '{spec}': one window would be left "
            f"and the rest never seen. The largest stride here is {padded}."
        )
    border = spec.border or KINDS[spec.kind].border
    _has_border(spec, border, max(begin, end), size)
    if KINDS[spec.kind].sees == "filtered":  # the filter mirrors the map that the first window leaves
        _has_border(spec, spec.border or "reflect", int(spec.option("taps")) // 2, padded - effective(kernel) + 1)


def _has_border(spec: PoolSpec, border: str, need: int, there: int) -> None:
    """Raise WindowError when a border of `need` pixels can't be read from a map of `there` pixels."""
    if border == "reflect" and need >= there:
        raise WindowError(
            f"'{spec}' mirrors {need} pixels at the border, but only {there} are there; "
            f"a mirrored border must be smaller than the map. Take a map of {need + 1} pixels or more, or kind avg."
        )
    if border == "circular" and need > there:
        raise WindowError(
            f"'{spec}' wraps {need} pixels around, but only {there} are there. "
            f"Take a map of {need} pixels or more, or less padding."
        )


@dataclass(frozen=True)
class Field:
    """A receptive field on one axis: output u sees the input pixels from u·jump + low to u·jump + high."""

    jump: float = 1
    low: float = 0
    high: float = 0

    @property
    def pixels(self) -> float:
        """Return its length in input pixels."""
        return self.high - self.low + 1

    def through(self, kernel: int, stride: int, begin: int = 0, dilation: int = 1) -> Field:
        """Return the field behind one more window (Araujo, Norris, Sim 2019, distill.pub)."""
        low = self.low - self.jump * begin
        high = self.high + self.jump * (effective(kernel, dilation) - 1 - begin)
        return Field(self.jump * stride, low, high)

    def join(self, other: Field) -> Field:
        """Return the field of a sum or concatenation of two maps: it sees what either of them sees."""
        return Field(max(self.jump, other.jump), min(self.low, other.low), max(self.high, other.high))


def seen_through(spec: PoolSpec, field: Field, sizes: tuple[int, ...], axis: int = 0) -> Field:
    """Return the receptive field, along one axis, behind a pooling of a map of these sizes."""
    sees = KINDS[spec.kind].sees
    if KINDS[spec.kind].reduces == "channels":
        return field
    if sees == "map" or KINDS[spec.kind].reduces in ("map", "bins"):
        return Field(inf, -inf, inf)
    win = window(spec, sizes)
    kernel, stride, begin = win.kernel[axis], win.stride[axis], win.padding[axis][0]
    if sees == "filtered":  # the window at stride 1, then the filter with the stride
        taps = int(spec.option("taps"))
        return field.through(kernel, 1, begin).through(taps, stride, (taps - 1) // 2)
    if sees == "stride":
        return field.through(stride, stride)
    if sees == "triangle":  # from the block before to the block behind
        return field.through(2 * stride - stride % 2, stride, stride // 2)
    return field.through(kernel, stride, begin, win.dilation[axis])
