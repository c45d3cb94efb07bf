"""What is asked of `pool`: which tensors it takes as a batch of maps, and the sentence for every other."""

from __future__ import annotations

import torch
from torch import Tensor

from poolsearch.errors import MapError, kind_of
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS

_SHAPES = "(N, C, L), (N, C, H, W) or (N, C, D, H, W)"
_EXACT = 2**53  # whole numbers up to here are float64's own


def as_batch(x: object, spec: PoolSpec, dims: int | None) -> Tensor:
    """Return x as (N, C, ...) of real numbers. Raises MapError when it can't be one, or might be two different ones."""
    if not isinstance(x, Tensor):
        how = "torch.from_numpy(x)" if type(x).__module__ == "numpy" else "torch.tensor(x)"
        raise MapError(f"A tensor of {_SHAPES} is needed, got {kind_of(x)}. Write {how}.")
    return _numbers(_batch(x, dims), spec)


def _batch(x: Tensor, dims: int | None) -> Tensor:
    shape = tuple(x.shape)
    if dims not in (None, 1, 2, 3):
        raise MapError(f"dims says over how many axes to pool: 1, 2 or 3, got {dims!r}.")
    if x.dim() not in (3, 4, 5):
        write = {1: " One signal: x[None, None].", 2: " One picture of one channel: x[None, None]."}.get(x.dim(), "")
        raise MapError(f"A tensor of {_SHAPES} is needed, got one of shape {shape}.{write}")
    if dims is None:
        if x.dim() == 3 and _picture(shape):
            raise MapError(
                f"A tensor of shape {shape} may be one picture (C, H, W) or {shape[0]} signals (N, C, L). "
                "Write x[None] or dims=2 for the picture, dims=1 for the signals."
            )
        return x
    if x.dim() == dims + 2:
        return x
    if x.dim() == dims + 1 and dims > 1:
        return x[None]
    raise MapError(f"dims={dims} needs a tensor of {dims + 2} axes{' or one less' * (dims > 1)}, got shape {shape}.")


def _picture(shape: tuple[int, ...]) -> bool:
    """Return whether (a, b, c) is as likely a picture of a channels as a batch of a signals."""
    return (shape[1] == shape[2] > 1) or (shape[0] in (1, 3, 4) and min(shape[1:]) >= 8)


def _numbers(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return x itself, or whole numbers as float64 for a kind that is sound for them."""
    if x.is_floating_point():
        return x
    if x.is_complex() or x.dtype == torch.bool:
        raise MapError(f"Pooling '{spec.kind}' takes real numbers, got {x.dtype}. Write x.float() or x.abs().")
    whole = [name for name, kind in KINDS.items() if kind.integers]
    if not KINDS[spec.kind].integers:
        raise MapError(
            f"Pooling '{spec.kind}' of whole numbers ({x.dtype}) has no whole answer. Write x.float(). "
            f"Sound for whole numbers: {', '.join(whole)}."
        )
    if x.element_size() == 8 and x.numel() and x.device.type != "meta" and (x.min() < -_EXACT or x.max() > _EXACT):
        raise MapError(f"Whole numbers are pooled up to ±2**53, got {int(x.max())}. Write x.double() to round them.")
    return x.double()
