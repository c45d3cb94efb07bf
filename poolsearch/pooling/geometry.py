"""What all windowed operators share: borders, explicit padding, and the view of every window.

torch's own operators take symmetric padding of at most half the kernel. Everything else (other amounts, SAME, the
overhang of ceil mode) is written into the map here: with a value that can't change the result, or, where the spec or
the kind says so, with zeros, the mirrored map or the map wrapped around.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import Window, known, window


class Specified(nn.Module):
    """The base of every pooling module: it holds its spec, is printed as it, and keeps the map's memory format.

    A subclass computes in `pooled`.
    """

    def __init__(self, spec: PoolSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, x: Tensor) -> Tensor:
        return self.pooled(x).contiguous(memory_format=memory_format(x))

    def pooled(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        return str(self.spec)


def memory_format(x: Tensor) -> torch.memory_format:
    """Return channels_last (or channels_last_3d) of a (N, C, ...) tensor that is stored so, else contiguous_format.

    A tensor without gaps says it itself; one of one channel or one pixel may be both, and counts as contiguous. A slice
    with gaps is what the order of its strides says.
    """
    if x.dim() not in (4, 5) or x.is_contiguous():
        return torch.contiguous_format
    last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    strides = [x.stride(axis) for axis in (1, *range(x.dim() - 1, 1, -1), 0)]  # from the innermost
    ordered = 0 < strides[0] < strides[1] and strides == sorted(strides)
    return last if x.is_contiguous(memory_format=last) or ordered else torch.contiguous_format


def axes_of(x: Tensor) -> tuple[int, ...]:
    """Return the spatial sizes of a (N, C, ...) tensor, in pixels.

    In a TorchScript trace a size is a tensor: it is read as the number that it is, so that no cache keeps it, and torch
    warns that the trace holds for this size alone.
    """
    return tuple(map(int, x.shape[2:])) if _traced() else tuple(x.shape[2:])


def channels_of(x: Tensor) -> int:
    """Return the number of channels of a (N, C, ...) tensor; in any trace a fixed number, as that of a weight is."""
    with _fixed_in_a_trace():
        return int(x.shape[1])


def constant(numbers: Sequence[float] | NDArray[np.float64], like: Tensor) -> Tensor:
    """Return numbers as a tensor of another's dtype and device: new at each call, a constant of an exported graph.

    Made anew, since a tensor that outlives its call would be a fake one for good after torch.export.
    """
    with _fixed_in_a_trace():
        return torch.as_tensor(numbers, dtype=like.dtype, device=like.device)


def _traced() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


@contextmanager
def _fixed_in_a_trace() -> Iterator[None]:
    """Keep torch from warning that a TorchScript trace holds as a constant what should be one."""
    if not _traced():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield


def on(spec: PoolSpec, x: Tensor) -> Window:
    """Return the spec's window on this tensor's map."""
    return window(spec, axes_of(x))


def pad(x: Tensor, amounts: tuple[tuple[int, int], ...], value: float = 0.0, mode: str = "constant") -> Tensor:
    """Return x with (begin, end) pixels added to each spatial axis; x itself when there are none."""
    if not any(map(any, amounts)):
        return x
    flat = [n for pair in reversed(amounts) for n in pair]  # torch wants the last axis first
    return F.pad(x, flat, mode=mode) if mode != "constant" else F.pad(x, flat, value=value)


def bordered(x: Tensor, amounts: tuple[tuple[int, int], ...], border: str) -> Tensor:
    """Return x with (begin, end) pixels of a border at each spatial axis: zeros, reflect or circular."""
    return pad(x, amounts, mode="constant" if border == "zeros" else border)


def framed(x: Tensor, spec: PoolSpec) -> tuple[Tensor, Window]:
    """Return the map to pool and the window on it, for the border that the spec names or the kind has.

    A border of real numbers becomes part of the map; then only ceil's overhang is left for padding. A neutral one stays
    with the window, for the operator to leave out.
    """
    sizes = axes_of(x)
    border, amounts, win = (_frame if known(sizes) else _frame.__wrapped__)(spec, sizes)
    return (bordered(x, amounts, border) if amounts else x), win


@lru_cache(maxsize=4096)
def _frame(spec: PoolSpec, sizes: tuple[int, ...]) -> tuple[str, tuple[tuple[int, int], ...], Window]:
    """Return the border, how much of it to write into a map of these sizes (or nothing), and the window left on it."""
    win = window(spec, sizes)
    border = spec.border or KINDS[spec.kind].border
    if border == "neutral" or not any(map(any, win.padding)):
        return border, (), win
    rest = tuple((0, over) for over in win.overhang(sizes))
    return border, win.padding, replace(win, padding=rest, ceil=False)


def with_overhang(win: Window, sizes: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return (begin, end) for each axis so that plain floor windows on the padded map are the spec's windows."""
    return tuple((b, e + over) for (b, e), over in zip(win.padding, win.overhang(sizes), strict=True))


def gather(x: Tensor, win: Window, value: float = 0.0) -> Tensor:
    """Return every window's numbers, (window elements, N, *output, C) of a channels_last map, else
    (window elements, N, C, *output); the padding holds `value`.

    The window comes first and the memory order of the map is kept behind it, so that a reduction over it runs along
    whole rows of memory: a softmax over rows of 4 numbers is eight times slower. `channels_second` turns the reduced
    map around.
    """
    axes = len(win.kernel)
    view = pad(x, with_overhang(win, axes_of(x)), value)
    for axis, (kernel, stride) in enumerate(zip(win.kernel, win.stride, strict=True)):
        view = view.unfold(2 + axis, kernel, stride)
    outputs, elements = range(2, 2 + axes), range(2 + axes, 2 + 2 * axes)
    channel = (*outputs, 1) if is_channels_last(x) else (1, *outputs)
    return view.permute(*elements, 0, *channel).flatten(0, axes - 1)


def is_channels_last(x: Tensor) -> bool:
    """Return whether the channels of a (N, C, ...) map lie side by side in memory."""
    return memory_format(x) != torch.contiguous_format


def channels_second(y: Tensor, x: Tensor) -> Tensor:
    """Return as (N, C, *output) what a reduction over the windows of x left."""
    return y.movedim(-1, 1) if is_channels_last(x) else y


def real(x: Tensor, win: Window) -> Tensor:
    """Return which window elements are pixels and not padding, bool, with one image and one channel of `gather`'s."""
    ones = torch.ones((1, 1, *axes_of(x)), dtype=torch.bool, device=x.device)
    mask = gather(ones, win, value=False)
    return mask.movedim(2, -1) if is_channels_last(x) else mask
