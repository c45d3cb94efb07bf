"""Poolings over the gathered numbers of each window: min, median, log-sum-exp, power mean, mixed, stochastic.

Each sees real pixels only: padding has no rank, no weight and no chance. For x of (N, C, L), (N, C, H, W) or
(N, C, D, H, W).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.plan.windows import Window, pooled_size, spread
from poolsearch.pooling.geometry import axes_of, channels_second, framed, gather, real, with_overhang
from poolsearch.pooling.picked import drawn_by_value, median_by_exchanges
from poolsearch.pooling.sums import lse_by_sums, power_mean_by_sums
from poolsearch.pooling.windowed import avg_real, maximum


def min_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the smallest value of each window."""
    x, win = framed(x, spec)
    return -maximum(-x, win)


def real_numbers(x: Tensor, win: Window, value: float) -> tuple[Tensor, Tensor | None]:
    """Return every window's numbers, the padding holding `value`, and which are pixels (None: all of them)."""
    mask = real(x, win) if any(map(any, with_overhang(win, axes_of(x)))) else None
    return gather(x, win, value), mask


def median_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the middle value of each window's pixels; the mean of the two middle ones of an even number."""
    x, win = framed(x, spec)
    if (y := median_by_exchanges(x, win)) is not None:
        return y
    numbers, mask = real_numbers(x, win, float("inf"))  # sorted last, and never reached
    ordered = numbers.sort(0).values
    if mask is None:
        size = len(numbers)
        low, high = ordered[(size - 1) // 2], ordered[size // 2]
    else:
        count = mask.sum(0, keepdim=True).expand(1, *ordered.shape[1:])
        low, high = (ordered.gather(0, index).squeeze(0) for index in ((count - 1) // 2, count // 2))
    half = x.dtype in (torch.float16, torch.bfloat16)  # whose sum of two may be infinite
    middle = channels_second((((low.float() + high.float()) if half else low + high) / 2).to(x.dtype), x)
    unordered = maximum(x.detach(), win).isnan()  # a sort puts NaN last; the median of a window with one is NaN
    return middle.masked_fill(unordered, float("nan"))


def lse_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return (1/r) log mean exp(r x) of each window, finite for any x: the window's maximum is taken out first."""
    r = spec.option("r")
    x, win = framed(x, spec)
    if (y := lse_by_sums(x, win, r)) is not None:
        return y
    numbers, mask = real_numbers(x, win, float("-inf"))
    wide = numbers.float() if x.dtype in (torch.float16, torch.bfloat16) else numbers
    size = len(numbers) if mask is None else mask.sum(0).to(wide.dtype)
    log = torch.as_tensor(size, dtype=wide.dtype, device=x.device).log()
    return channels_second(((torch.logsumexp(r * wide, 0) - log) / r).to(x.dtype), x)


def power_mean(x: Tensor, spec: PoolSpec, p: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Return (mean max(x, ε)^p)^(1/p) of each window's pixels, as exp of a log-sum-exp."""
    x, win = framed(x, spec)
    if (y := power_mean_by_sums(x, win, p, epsilon)) is not None:
        return y
    numbers, mask = real_numbers(x, win, 1.0)
    wide = numbers.float() if x.dtype in (torch.float16, torch.bfloat16) else numbers
    powers = p.to(wide.dtype) * wide.clamp_min(epsilon).log()
    if mask is not None:
        powers = powers.masked_fill(~mask, float("-inf"))
    size = len(numbers) if mask is None else mask.sum(0).to(wide.dtype)
    mean = (torch.logsumexp(powers, 0) - torch.as_tensor(size, dtype=wide.dtype, device=x.device).log()) / p
    # a copy: exp keeps its output for the backward pass, and an in-place change may follow
    return channels_second(mean.exp().to(x.dtype, copy=True), x)


def fractional_max(x: Tensor, spec: PoolSpec, training: bool = False) -> Tensor:
    """Return the maximum of each window of uneven distance; u is drawn for each map (training) or 1/2 (eval).

    torch draws in eval mode, too; here its samples are given.
    """
    sizes, axes = pooled_size(spec, axes_of(x)), x.dim() - 2
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    draws = (*x.shape[:2], max(axes, 2))
    u = torch.rand(draws, dtype=wide.dtype, device=x.device) if training else wide.new_full(draws, 0.5)
    kernel = spread(spec.kernel, axes, 1)
    if axes == 1:  # as a picture of one row
        y = F.fractional_max_pool2d(wide.unsqueeze(2), (1, *kernel), (1, *sizes), _random_samples=u).squeeze(2)
    else:
        native = F.fractional_max_pool2d if axes == 2 else F.fractional_max_pool3d
        y = native(wide, kernel, sizes, _random_samples=u)
    return y.to(x.dtype)


def mixed_pool(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return alpha · max + (1 − alpha) · mean of each window's pixels."""
    return blend(x, spec, spec.option("alpha"))


def blend(x: Tensor, spec: PoolSpec, share: float | Tensor) -> Tensor:
    """Return share · max + (1 − share) · mean of each window's pixels."""
    x, win = framed(x, spec)
    return share * maximum(x, win) + (1 - share) * avg_real(x, win)


def stochastic_pool(x: Tensor, spec: PoolSpec, training: bool = False) -> Tensor:
    """Return one pixel of each window, drawn by its value (training), or the mean of such draws (eval).

    Values below 0 count as 0; a window of zeros gives 0. One uniform number a window, held against the running sums:
    a third of the time of a race of exponentials, one for each pixel.
    """
    x, win = framed(x.clamp_min(0), spec)
    if training and (y := drawn_by_value(x, win)) is not None:
        return y
    numbers, _ = real_numbers(x, win, 0.0)
    if training:
        heights = numbers.detach().float().cumsum(0)
        drawn = torch.rand_like(heights[:1]) * heights[-1:]
        chosen = (heights <= drawn).sum(0, keepdim=True).clamp_max(len(numbers) - 1)
        return channels_second(numbers.gather(0, chosen).squeeze(0), x)
    wide = numbers.float() if x.dtype in (torch.float16, torch.bfloat16) else numbers
    # scaled by each window's maximum, so that squares neither overflow nor vanish
    largest = wide.detach().amax(0, keepdim=True)
    scaled = wide / torch.where(largest > 0, largest, 1.0)
    total = scaled.sum(0)
    share = scaled.square().sum(0) / torch.where(total > 0, total, 1.0)
    return channels_second((share * largest.squeeze(0)).to(x.dtype), x)
