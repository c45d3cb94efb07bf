"""Lp, soft, log-sum-exp and power mean as sums over windows of one map, by torch's own average pooling.

A third to a tenth of the time of gathering every window's numbers, and of the bytes kept for the backward pass. The
plain formulas overflow, or vanish, far from 1; so each looks at the sums it made and returns None where one of them
lies outside SAFE. The callers then gather, and take each window's maximum out first. A sum can be looked at in
eager mode on the CPU alone: compilers, exporters and transforms see the gathered form, which has no branch.
"""

from __future__ import annotations

from collections.abc import Callable
from math import e, log2
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from poolsearch.plan.windows import Window
from poolsearch.pooling.geometry import axes_of, pad, with_overhang
from poolsearch.torch_private import transforms_active

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
    if type(x) not in (Tensor, torch.nn.Parameter) or x.device.type != "cpu":  # no FakeTensor
        return False
    return not (transforms_active() or torch.compiler.is_compiling() or torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


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
    numbers = wide(x)
    p = p.to(numbers.dtype)
    powers, _ = _LearnedPower.apply(numbers, p, epsilon)  # type: ignore[no-untyped-call]
    average = mean(powers, win)
    # a copy: exp keeps its output for the backward pass, and an in-place change may follow
    return (average.log() * (1 / p)).exp().to(x.dtype, copy=True) if safe(average) else None


def lp_by_sums(x: Tensor, win: Window, norm: float) -> Tensor | None:
    """Return (Σ |x|^norm)^(1/norm) of each window, or None. The gradient of an all-zero window is zero."""
    if not eager(x):
        return None
    numbers = wide(x)
    sums = total(_Power.apply(numbers, norm), win)  # type: ignore[no-untyped-call]
    if not safe(sums) and not _safe_but_for_zeros(numbers, sums, win):
        return None
    root: Tensor = _Root.apply(sums, norm)  # type: ignore[no-untyped-call]
    # a copy: the root keeps its output for the backward pass, and an in-place change may follow
    return root.to(x.dtype, copy=True)


def power(x: Tensor, exponent: float) -> Tensor:
    """Return |x|^exponent; whole exponents by products, a tenth of the time of torch's pow above 3."""
    if exponent <= 1 or exponent % 1:
        return x.abs().pow(exponent) if exponent != 1 else x.abs()
    if exponent in (2, 3):
        return x * x if exponent == 2 else x.abs().pow(3)
    half = power(x, exponent // 2)
    return half * half if exponent % 2 == 0 else half * half * x.abs()


def _safe_but_for_zeros(x: Tensor, sums: Tensor, win: Window) -> bool:
    """Return whether all sums are safe but those of windows that hold zeros alone."""
    tiny = torch.finfo(sums.dtype).tiny
    if not within(sums, 0, tiny ** SAFE[1]):
        return False
    low, some = sums.detach() < tiny ** SAFE[0], total(x.detach().abs(), win) > 0
    return not bool((low & some).any())


# Autograd would keep every intermediate map and walk it once more; these keep their inputs and outputs alone. With a
# `setup_context` they would work under torch.func, and take 50 µs more a call; there `eager` says no.


class _Power(torch.autograd.Function):
    """Return |x|^norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        ctx.norm = norm
        return power(x, norm)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Power.jvp(ctx, gradient), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        (x,) = ctx.saved_tensors
        slope = x if ctx.norm == 2 else x.sign() * power(x, ctx.norm - 1)
        result: Tensor = tangent * slope * ctx.norm
        return result


class _Root(torch.autograd.Function):
    """Return sums^(1/norm). Its derivative at 0 is a large finite number: what is behind it is 0 there."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor, norm: float) -> Tensor:
        root = sums.sqrt() if norm == 2 else sums.pow(1 / norm)
        ctx.save_for_backward(sums, root)
        ctx.save_for_forward(sums, root)
        ctx.norm = norm
        return root

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Root.jvp(ctx, gradient), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        sums, root = ctx.saved_tensors
        slope: Tensor = root / (ctx.norm * sums.clamp_min(torch.finfo(sums.dtype).tiny))
        return tangent * slope


class _LearnedPower(torch.autograd.Function):
    """Return max(x, ε)^p and log max(x, ε), for p of one number; up to ε there is no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        logs = F.threshold(x, epsilon, epsilon).log_()
        powers = (logs * (p * log2(e))).exp2_()  # half the time of exp
        ctx.save_for_backward(x, p, powers, logs)
        ctx.save_for_forward(x, p, powers, logs)
        ctx.epsilon = epsilon
        ctx.set_materialize_grads(False)
        return powers, logs

    @staticmethod
    def backward(
        ctx: Any, to_powers: Tensor | None, to_logs: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None]:
        x, p, powers, logs = ctx.saved_tensors
        slope, to_p = None if to_logs is None else to_logs.clone(), None
        if to_powers is not None:
            weighted = to_powers * powers
            to_p = (weighted * logs).sum().view_as(p)
            weighted = weighted * p if torch.is_grad_enabled() else weighted.mul_(p)  # a new map costs page faults
            slope = weighted if slope is None else weighted + slope
        return None if slope is None else _by_number(slope, x, ctx.epsilon), to_p, None

    @staticmethod
    def jvp(ctx: Any, x_t: Tensor | None, p_t: Tensor | None, _: None) -> tuple[Tensor, Tensor]:
        x, p, powers, logs = ctx.saved_tensors
        log_t = torch.zeros_like(x) if x_t is None else _by_number(x_t.clone(), x, ctx.epsilon)
        return powers * (p * log_t if p_t is None else p * log_t + p_t * logs), log_t


def _by_number(gradient: Tensor, x: Tensor, epsilon: float) -> Tensor:
    """Return gradient / x, and 0 where x is at most ε; the gradient may be overwritten."""
    if torch.is_grad_enabled():  # a second derivative follows, which must not meet 0 / 0
        gradient = gradient / F.threshold(x, epsilon, epsilon)
    else:
        gradient = gradient.div_(x)
    slope: Tensor = torch.ops.aten.threshold_backward(gradient, x, epsilon)
    return slope
