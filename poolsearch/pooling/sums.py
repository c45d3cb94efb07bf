"""Lp, soft, log-sum-exp and power mean as sums over windows of one map, by torch's own average pooling.

A third to a tenth of the time of gathering every window's numbers, and of the bytes kept for the backward pass. The
plain formulas overflow, or vanish, far from 1; so each looks at the sums it made and returns None where one of them
lies outside SAFE. The callers then gather, and take each window's maximum out first. A sum can be looked at in
eager mode on the CPU alone: compilers, exporters and transforms see the gathered form, which has no branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch.pooling.geometry import axes_of, pad, with_overhang
from poolsearch.windows import Window

_AVG: tuple[Callable[..., Tensor], ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)

# Powers of the smallest normal number, 1e-38 in float32: sums of 5e-31 to 9e18. Below, a term that became subnormal
# could matter in its window; above, a gradient divided by the sum could itself become subnormal.
SAFE = (0.8, -0.5)


def total(x: Tensor, win: Window) -> Tensor:
    """Return the sum of each window; padding is zeros."""
    if len(win.kernel) == 2 and win.symmetric and not win.ceil:
        return F.avg_pool2d(x, win.kernel, win.stride, win.begins, divisor_override=1)
    padded = pad(x, with_overhang(win, axes_of(x)))
    return _AVG[len(win.kernel) - 1](padded, win.kernel, win.stride) * torch.Size(win.kernel).numel()


def mean(x: Tensor, win: Window) -> Tensor:
    """Return the mean of each window's pixels; padding is not counted."""
    if any(map(any, with_overhang(win, axes_of(x)))):
        return total(x, win) / total(x.new_ones((1, 1, *axes_of(x))), win)
    return _AVG[len(win.kernel) - 1](x, win.kernel, win.stride)


def wide(x: Tensor) -> Tensor:
    """Return x in float32 where it is half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def eager(x: Tensor) -> bool:
    """Return whether a branch on the numbers of x costs nothing and is seen by nobody."""
    plain = type(x) in (Tensor, torch.nn.Parameter) and x.device.type == "cpu"  # no FakeTensor
    return plain and not torch.compiler.is_compiling() and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def within(x: Tensor, low: float, high: float) -> bool:
    """Return whether all numbers lie from low to high; no where there are none, or where they can't be looked at."""
    try:
        return low <= x.detach().amin().item() and x.detach().amax().item() <= high
    except RuntimeError:  # an empty map; a FakeTensor, make_fx or vmap
        return False


def safe(sums: Tensor) -> bool:
    """Return whether all sums lie in SAFE."""
    tiny = torch.finfo(sums.dtype).tiny
    return within(sums, tiny ** SAFE[0], tiny ** SAFE[1])


def soft_by_sums(x: Tensor, win: Window, beta: float) -> Tensor | None:
    """Return Σ e^(beta·x) x / Σ e^(beta·x) of each window, or None."""
    if not eager(x):
        return None
    numbers = wide(x)
    weights = (beta * numbers).exp()
    weight = total(weights, win)
    if not safe(weight):
        return None
    weighted = total(weights * numbers, win)
    largest = torch.finfo(weighted.dtype).max
    return (weighted / weight).to(x.dtype) if within(weighted, -largest, largest) else None


def lse_by_sums(x: Tensor, win: Window, r: float) -> Tensor | None:
    """Return (1/r) log mean e^(r x) of each window's pixels, or None."""
    if not eager(x):
        return None
    average = mean((r * wide(x)).exp(), win)
    return (average.log() / r).to(x.dtype) if safe(average) else None


def power_mean_by_sums(x: Tensor, win: Window, p: Tensor, epsilon: float) -> Tensor | None:
    """Return (mean max(x, ε)^p)^(1/p) of each window's pixels, or None."""
    if not eager(x):
        return None
    # threshold, whose backward pass is a tenth of that of a clamp
    logs = F.threshold(wide(x), epsilon, epsilon).log()
    p = p.to(logs.dtype)
    average = mean((p * logs).exp(), win)
    # a copy: exp keeps its output for the backward pass, and an in-place change may follow
    return (average.log() / p).exp().to(x.dtype, copy=True) if safe(average) else None


def lp_by_sums(x: Tensor, win: Window, norm: float) -> Tensor | None:
    """Return (Σ |x|^norm)^(1/norm) of each window, or None. The gradient of an all-zero window is zero."""
    if not eager(x):
        return None
    numbers = wide(x)
    sums = total(power(numbers, norm), win)
    if not safe(sums) and not _safe_but_for_zeros(numbers, sums, win):
        return None
    root: Tensor = _Root.apply(sums, norm)  # type: ignore[no-untyped-call]
    # a copy: the root keeps its output for the backward pass, and an in-place change may follow
    return root.to(x.dtype, copy=True)


def power(x: Tensor, exponent: float) -> Tensor:
    """Return |x|^exponent; whole exponents by products, a tenth of the time of torch's pow above 3."""
    if exponent == 1:
        return x.abs()
    if exponent in (2, 3) or exponent % 1:
        return x.square() if exponent == 2 else x.abs().pow(exponent)
    half = power(x, exponent // 2)
    return half * half if exponent % 2 == 0 else half * half * x.abs()


def _safe_but_for_zeros(x: Tensor, sums: Tensor, win: Window) -> bool:
    """Return whether all sums are safe but those of windows that hold zeros alone."""
    tiny = torch.finfo(sums.dtype).tiny
    if not within(sums, 0, tiny ** SAFE[1]):
        return False
    low, some = sums.detach() < tiny ** SAFE[0], total(x.detach().abs(), win) > 0
    return not bool((low & some).any())


class _Root(torch.autograd.Function):
    """Return sums^(1/norm), whose gradient at 0 is a large finite number: what is behind it is 0 there."""

    generate_vmap_rule = True

    @staticmethod
    def forward(sums: Tensor, norm: float) -> Tensor:
        return sums.sqrt() if norm == 2 else sums.pow(1 / norm)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)
        ctx.norm = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Root.jvp(ctx, gradient), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        sums, root = ctx.saved_tensors
        slope: Tensor = root / (ctx.norm * sums.clamp_min(torch.finfo(sums.dtype).tiny))
        return tangent * slope
