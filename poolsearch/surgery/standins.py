"""Shape-only stand-ins for the functions that cost most on meta tensors.

torch's own meta kernels run Python decompositions: a batch norm takes up to a millisecond, and the first pooling of a
process imports sympy and dynamo, 1.6 s. Each stand-in returns an
empty meta tensor of the right shape, or None where it does not know, and torch's own runs. A test holds the recorded
calls equal to those of torch's kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device="meta")


def pair(value: Any) -> tuple[int, int]:
    """Return a number, or a tuple of one or two, as (rows, columns)."""
    return (int(value[0]), int(value[-1])) if isinstance(value, tuple | list) else (int(value), int(value))


def _conv2d(
    x: Tensor, w: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Tensor | None:
    if isinstance(padding, str) or x.dim() != 4:
        return None
    axes = zip(x.shape[2:], w.shape[2:], pair(stride), pair(padding), pair(dilation), strict=True)
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in axes]
    return _empty((x.shape[0], w.shape[0], *out), x) if min(out) > 0 else None


def _max_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | None:  # fmt: skip
    return None if return_indices else _windowed(x, kernel_size, stride, padding, dilation, ceil_mode)


def _avg_pool2d(
    x: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *_: Any, **__: Any
) -> Tensor | None:
    return _windowed(x, kernel_size, stride, padding, 1, ceil_mode)


def _windowed(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Tensor | None:
    if x.dim() != 4:
        return None
    axes = zip(x.shape[2:], pair(kernel), pair(stride or kernel), pair(padding), pair(dilation), strict=True)
    out = [_pooled(*axis, ceil_mode) for axis in axes]
    return _empty((*x.shape[:2], *out), x) if min(out) > 0 else None


def _pooled(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Return the output size of one axis, 0 for what torch refuses (in its own words, when it is asked)."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if 2 * padding > kernel or room < 0 or stride < 1:
        return 0
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    # rounded up, a window must not begin in the padding at the end
    return out - 1 if ceil_mode and (out - 1) * stride >= size + padding else out


def _adaptive(x: Tensor, output_size: Any, return_indices: bool = False) -> Tensor | None:
    wanted = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if x.dim() != 4 or return_indices or len(wanted) != 2:
        return None
    out = [n if w is None else int(w) for n, w in zip(x.shape[2:], wanted, strict=True)]
    return _empty((*x.shape[:2], *out), x) if min(out) > 0 else None


def _same(x: Tensor, *_: Any, inplace: bool = False, **__: Any) -> Tensor:
    return x if inplace else _empty(tuple(x.shape), x)


def _dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return x if inplace or not training else _empty(tuple(x.shape), x)


def _binary(x: Any, y: Any, **options: Any) -> Tensor | None:
    alike = not isinstance(y, Tensor) or (isinstance(x, Tensor) and y.shape == x.shape)
    return _empty(tuple(x.shape), x) if isinstance(x, Tensor) and alike and not options else None


def _inplace(x: Tensor, _: Any, **options: Any) -> Tensor | None:
    return None if options else x


def _linear(x: Tensor, w: Tensor, bias: Any = None) -> Tensor | None:
    return _empty((*x.shape[:-1], w.shape[0]), x) if x.shape[-1] == w.shape[1] else None


def _cat(tensors: Any, dim: int = 0) -> Tensor | None:
    first = tensors[0]
    rest = [[n for axis, n in enumerate(t.shape) if axis != dim % first.dim()] for t in tensors]
    if any(shape != rest[0] for shape in rest):
        return None
    shape = list(first.shape)
    shape[dim] = sum(t.shape[dim] for t in tensors)
    return _empty(tuple(shape), first)


_ELEMENTWISE = (
    "batch_norm", "relu", "relu6", "hardtanh", "silu", "hardswish", "hardsigmoid", "gelu", "leaky_relu",
    "layer_norm", "group_norm", "sigmoid", "softmax",
)  # fmt: skip
STANDINS: dict[str, Callable[..., Tensor | None]] = {
    **dict.fromkeys(_ELEMENTWISE, _same),
    "dropout": _dropout,
    "conv2d": _conv2d,
    "add": _binary,
    "mul": _binary,
    "sub": _binary,
    "add_": _inplace,
    "mul_": _inplace,
    "linear": _linear,
    "cat": _cat,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive,
    "adaptive_max_pool2d": _adaptive,
}
