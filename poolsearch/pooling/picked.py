"""Poolings that pick one pixel of each window: the middle one (median), or a drawn one (stochastic).

Which one is found on strided views of the map, one for each place in the window, without a sort and without a copy of
every window; then the map is gathered at those pixels, so that the gradient goes to them. In eager mode on the CPU:
compilers and exporters would write one node for each comparison.
"""

from __future__ import annotations

from itertools import accumulate, product

import torch
from torch import Tensor

from poolsearch.plan.windows import Window
from poolsearch.pooling.geometry import axes_of, is_channels_last, pad, with_overhang
from poolsearch.pooling.sums import eager, within

_MOST = 25  # elements of a window, 5 x 5: beyond, a sort takes less than the comparisons


def places(x: Tensor, win: Window) -> list[Tensor]:
    """Return a view of the map (padded before) for each place in the window, all of the output's size."""
    views = []
    for starts in product(*(range(0, k * d, d) for k, d in zip(win.kernel, win.dilation, strict=True))):
        view = x
        for axis, (start, out, step) in enumerate(zip(starts, _outputs(x, win), win.stride, strict=True), start=2):
            view = view.narrow(axis, start, (out - 1) * step + 1)[(slice(None),) * axis + (slice(None, None, step),)]
        views.append(view)
    return views


def pick(x: Tensor, place: Tensor, win: Window) -> Tensor:
    """Return the number at a place of each window, (N, C, *output); `place` counts its elements, row by row."""
    starts, offsets = torch.zeros((), dtype=torch.long), torch.zeros(1, dtype=torch.long)
    for size, out, kernel, step, dilation in zip(
        axes_of(x), _outputs(x, win), win.kernel, win.stride, win.dilation, strict=True
    ):
        starts = starts.unsqueeze(-1) * size + torch.arange(out) * step
        offsets = (offsets.unsqueeze(-1) * size + torch.arange(kernel) * dilation).flatten()
    pixels = (offsets[place.long()] + starts).flatten(2)
    if is_channels_last(x):
        picked = x.flatten(2).transpose(1, 2).gather(1, pixels.transpose(1, 2)).transpose(1, 2)
    else:
        picked = x.flatten(2).gather(2, pixels)
    return picked.reshape(*x.shape[:2], *starts.shape)


def _outputs(x: Tensor, win: Window) -> tuple[int, ...]:
    """Return the output size on a map that was padded before."""
    axes = zip(axes_of(x), win.kernel, win.stride, win.dilation, strict=True)
    return tuple((size - d * (k - 1) - 1) // s + 1 for size, k, s, d in axes)


def median_by_exchanges(x: Tensor, win: Window) -> Tensor | None:
    """Return the median of each window's pixels; None where a NaN takes part, or a window is large."""
    large = torch.Size(win.kernel).numel() > _MOST or any(d > 1 for d in win.dilation)
    if large or not eager(x) or not within(x, -torch.inf, torch.inf):
        return None
    return _median(x, win.kernel, win.stride, with_overhang(win, axes_of(x)))


def _median(
    x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[tuple[int, int], ...]
) -> Tensor | None:
    """Return the median of each window; one that reaches into the padding is a smaller window on the pixels alone."""
    for axis, (begin, end) in enumerate(padding):
        if begin or end:
            rest = (*padding[:axis], (0, 0), *padding[axis + 1 :])
            parts = []
            for start, stop, k in _parts(x.shape[2 + axis], kernel[axis], stride[axis], begin, end):
                window = (*kernel[:axis], k, *kernel[axis + 1 :])
                part = _median(x.narrow(2 + axis, start, stop - start), window, stride, rest) if k else None
                if part is None:  # a window that holds no pixel
                    return None
                parts.append(part)
            return torch.cat(parts, 2 + axis)
    win = Window(kernel, stride, padding, (1,) * len(kernel), ceil=False)
    views = places(x.detach(), win)
    middle = middle_of(views)
    first = pick(x, _first(views, middle[0]), win)
    if len(middle) == 1:
        return first
    # of equal numbers the last one, so that two pixels share the gradient
    last = pick(x, len(views) - 1 - _first(views[::-1], middle[1]), win)
    return first / 2 + last / 2


def _parts(size: int, kernel: int, step: int, begin: int, end: int) -> list[tuple[int, int, int]]:
    """Return (first pixel, last + 1, kernel) of the windows inside the map as one part, of the others one by one."""
    parts: list[tuple[int, int, int]] = []
    for start in range(-begin, size + end - kernel + 1, step):
        low, high = max(start, 0), min(start + kernel, size)
        if high - low == kernel and parts and parts[-1][2] == kernel:
            low = parts.pop()[0]
        parts.append((low, high, max(min(kernel, high - low), 0)))
    return parts


def drawn_by_value(x: Tensor, win: Window) -> Tensor | None:
    """Return one pixel of each window of a map without negative numbers, drawn by its value; None where not eager."""
    if not eager(x):
        return None
    padded = pad(x, with_overhang(win, axes_of(x)))
    heights = list(accumulate(view.float() for view in places(padded.detach(), win)))
    drawn = torch.rand_like(heights[0]) * heights[-1]
    place, below = torch.zeros_like(drawn), torch.empty_like(drawn)
    for height in heights[:-1]:
        place += torch.le(height, drawn, out=below)
    return pick(padded, place, win)


def middle_of(numbers: list[Tensor]) -> list[Tensor]:
    """Return the middle one of an odd number of maps, element by element, or the two middle ones.

    Forgetful selection: the smallest and the largest of more than half of them can't be the middle, and are dropped;
    the next one comes in.
    """
    group, rest = numbers[: len(numbers) // 2 + 2], numbers[len(numbers) // 2 + 2 :]
    while len(group) > 2:
        for i in range(len(group) // 2):
            _exchange(group, i, len(group) - 1 - i)
        for i in range(1, (len(group) + 1) // 2):
            _exchange(group, 0, i)
            _exchange(group, len(group) - 1 - i, len(group) - 1)
        group, rest = group[1:-1] + rest[:1], rest[1:]
    return group


def _exchange(group: list[Tensor], low: int, high: int) -> None:
    """Put the smaller numbers of two maps in the place `low`, the larger ones in the place `high`."""
    if low != high:
        group[low], group[high] = torch.minimum(group[low], group[high]), torch.maximum(group[low], group[high])


def _first(views: list[Tensor], value: Tensor) -> Tensor:
    """Return the place of the first view that holds the value; counted in numbers, which is faster than in truth."""
    found = torch.zeros_like(value, dtype=torch.float32)
    same = torch.empty_like(found)
    for i, view in enumerate(views):
        torch.eq(view, value, out=same)
        torch.maximum(found, same.mul_(len(views) - i), out=found)
    return len(views) - found
