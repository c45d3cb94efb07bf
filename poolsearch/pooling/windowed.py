"""Poolings over a window without learned numbers: max, average, Lp, soft, subsample.

Each is a function of (x, spec) for x of (N, C, L), (N, C, H, W) or (N, C, D, H, W), and returns the pooled map with
the sizes of `windows.pooled_size`. torch's own operator is used wherever torch has it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import Window, effective
from poolsearch.pooling.geometry import axes_of, channels_second, framed, gather, on, pad, real, with_overhang
from poolsearch.pooling.sums import lp_by_sums, soft_by_sums

_MAX: tuple[Callable[..., Tensor], ...] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_AVG: tuple[Callable[..., Tensor], ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def max_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the largest value of each window; padding never wins, the gradient goes to the first winner."""
    return maximum(*framed(x, spec))


def maximum(x: Tensor, win: Window) -> Tensor:
    """Return the maximum of each window of a window given in numbers."""
    native = _MAX[len(win.kernel) - 1]
    if _native(x, win):
        return native(x, win.kernel, win.stride, win.begins, win.dilation, ceil_mode=win.ceil)
    padded = pad(x, with_overhang(win, axes_of(x)), float("-inf"))
    return native(padded, win.kernel, win.stride, 0, win.dilation)


def _native(x: Tensor, win: Window) -> bool:
    """Return whether torch's own operator takes this window on this map.

    In three axes torch refuses a kernel larger than the map, also where ceil mode or the padding makes it fit.
    """
    fits = len(win.kernel) < 3 or all(n >= effective(*kd) for n, *kd in zip(axes_of(x), win.kernel, win.dilation))
    return win.symmetric and fits


def avg_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the mean of each window. Counted padding is zeros in the sum and in the divisor; ceil's overhang never.

    With explicit or SAME padding the mean of the map is divided by the mean of what counts, which is the same rule.
    Option `divisor` divides every sum by itself instead.
    """
    if divisor := spec.option("divisor"):
        x, win = framed(x, spec)
        elements = torch.Size(win.kernel).numel()
        padded = pad(x, with_overhang(win, axes_of(x)))
        return _AVG[len(win.kernel) - 1](padded, win.kernel, win.stride) * (elements / divisor)
    if spec.border:
        return avg_real(*framed(x, spec))
    return average(x, on(spec, x), spec.counted)


def avg_real(x: Tensor, win: Window) -> Tensor:
    """Return the mean of the pixels of each window; padding is not counted."""
    return average(x, win, counted=False)


def average(x: Tensor, win: Window, counted: bool) -> Tensor:
    """Return the mean of each window of a window given in numbers."""
    native = _AVG[len(win.kernel) - 1]
    if _native(x, win):
        return native(x, win.kernel, win.stride, win.begins, win.ceil, counted)
    sizes = axes_of(x)
    ones = x.new_ones((1, 1, *sizes))
    if counted:
        ones = pad(ones, win.padding, 1.0)
        ones = pad(ones, tuple((0, over) for over in win.overhang(sizes)))
    else:
        ones = pad(ones, with_overhang(win, sizes))
    total = native(pad(x, with_overhang(win, sizes)), win.kernel, win.stride)
    return total / native(ones, win.kernel, win.stride)


def lp_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return (Σ |x|^norm)^(1/norm) of each window: the sum form of torch and ONNX, with |x|, so never NaN.

    Each window is divided by its largest |x| first, so that neither 1e-23 vanishes nor 1e20 overflows; the gradient of
    an all-zero window is zero. Unlike torch's lp_pool2d, ceil mode does not inflate the last windows.
    """
    norm = spec.option("norm")
    bare = spec.border in ("", "zeros")  # zeros add nothing to a sum: torch's own padding does
    if (y := lp_by_sums(*((x, on(spec, x)) if bare else framed(x, spec)), norm)) is not None:
        return y
    x, win = framed(x, spec)
    numbers = gather(x, win)
    wide = (numbers.float() if x.dtype in (torch.float16, torch.bfloat16) else numbers).abs()
    largest = wide.detach().amax(0)
    some = largest > 0
    scaled = wide / torch.where(some, largest, 1.0)
    root = torch.where(some, scaled.pow(norm).sum(0), 1.0).pow(1.0 / norm)
    powers = torch.where(largest.isinf(), largest, torch.where(some, root, 0.0) * largest)  # inf / inf would be NaN
    powers = torch.where(largest.isnan(), largest, powers)  # NaN > 0 is false, as if there were nothing
    return channels_second(powers.to(x.dtype), x)


def soft_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return Σ softmax(beta·x) x of each window; padding has no weight. beta 0 is the average of the real pixels.

    The softmax subtracts each window's own maximum, so it is finite for any spread (the ratio form exp(x)·x / exp(x)
    overflows at 10 in float16). Its gradient may be negative for small values of a window.
    """
    x, win = framed(x, spec)
    if (y := soft_by_sums(x, win, spec.option("beta"))) is not None:
        return y
    values = gather(x, win)
    wide = values.float() if x.dtype in (torch.float16, torch.bfloat16) else values  # beta x may exceed a float16
    return weighted(wide, wide * spec.option("beta"), x, win).to(x.dtype)


def weighted(values: Tensor, logits: Tensor, x: Tensor, win: Window) -> Tensor:
    """Return Σ softmax(logits) values over the windows of x, both as `gather` lays them; padding has no weight."""
    if any(map(any, with_overhang(win, axes_of(x)))):
        logits = logits.masked_fill(~real(x, win), float("-inf"))
    return channels_second((torch.softmax(logits, 0) * values).sum(0), x)


def subsample(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return every stride-th value, no filter: what a stride alone does."""
    for axis, step in enumerate(on(spec, x).stride, start=2):
        x = x[(slice(None),) * axis + (slice(None, None, step),)]
    return x.clone()
