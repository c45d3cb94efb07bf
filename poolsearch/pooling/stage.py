"""One pooling on one small picture, cell by cell: what "Pooling by hand" shows. Every number is the operator's own.

Each output cell is told as arithmetic over pixels. Where a kind is no plain mean, maximum or root, the weights are
the operator's own gradient: for piecewise linear kinds (blur, max-blur) output = Σ weight · pixel holds exactly.
"""

from __future__ import annotations

import hashlib
from itertools import product
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from poolsearch.plan import PoolSpec
from poolsearch.pooling import pool
from poolsearch.rows import Array, Cell, Stage, Term
from poolsearch.windows import Window, window

Form = Literal["pick", "mean", "weighted", "root", "copy"]
FORMS: dict[str, Form] = {
    "max": "pick", "avg": "mean", "min": "pick", "median": "pick", "lp": "root", "soft": "weighted",
    "mixed": "weighted", "stochastic": "weighted", "blur": "weighted", "max-blur": "weighted", "subsample": "copy",
    "global-avg": "mean", "global-max": "pick",
}  # fmt: skip


def stage(picture: Array, spec: PoolSpec) -> Stage:
    """Return the input, the output and the arithmetic of each output cell for a picture of (H, W).

    Raises WindowError when the window does not fit.
    """
    x = torch.tensor(picture, dtype=torch.float32)[None, None].requires_grad_()
    y = pool(x, spec)
    height, width = picture.shape
    whole = spec.kind.startswith("global-")
    win = Window((height, width), (1, 1), ((0, 0), (0, 0)), (1, 1), False) if whole else window(spec, (height, width))
    form = FORMS[spec.kind]
    out = y.detach()[0, 0]
    places = product(range(out.shape[0]), range(out.shape[1]))
    cells = tuple(_cell(form, spec, x, y, win, row, column) for row, column in places)
    values = np.concatenate([picture.ravel(), out.numpy().ravel()])
    return Stage(
        input=_plain(x.detach()[0, 0]),
        output=_plain(out),
        kernel=win.kernel,
        stride=win.stride,
        dilation=win.dilation,
        padding=win.padding,
        name=spec.kind,
        form=form,
        norm=spec.option("norm") if spec.kind == "lp" else None,
        range=(min(0.0, float(values.min())), max(1.0, float(values.max()))),
        cells=cells,
        id=hashlib.sha256(picture.tobytes() + str(spec).encode()).hexdigest()[:12],
    )


def _plain(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(v, 6) for v in row) for row in values.tolist())


def _cell(form: Form, spec: PoolSpec, x: Tensor, y: Tensor, win: Window, row: int, column: int) -> Cell:
    picture = x.detach()[0, 0]
    seen = _pixels(win, picture.shape, row, column)
    if form == "weighted":
        return Cell(_weighted(spec, x, y, seen, row, column), 1.0, None)
    if form == "copy":
        seen = seen[:1]
    terms = tuple(Term(r, c, round(picture[r, c].item(), 6), None) for r, c in seen)
    winner = _winner(spec, [term.value for term in terms]) if form == "pick" else None
    return Cell(terms, _divisor(spec, win, picture.shape, row, column, len(seen)), winner)


def _winner(spec: PoolSpec, values: list[float]) -> int | None:
    """Return the index of the value that was picked: the largest, the smallest, or the middle one (if there is one)."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    if spec.kind == "median":
        return order[len(order) // 2] if len(order) % 2 else None
    return values.index(min(values) if spec.kind == "min" else max(values))


def _pixels(win: Window, sizes: tuple[int, ...], row: int, column: int) -> list[tuple[int, int]]:
    """Return the pixels under the window of one output cell, in reading order; padding is left out."""
    rows, columns = (
        [start + i * d for i in range(k) if 0 <= start + i * d < n]
        for start, k, d, n in (
            (place * s - begin, k, d, n)
            for place, s, (begin, _), k, d, n in zip(
                (row, column), win.stride, win.padding, win.kernel, win.dilation, sizes, strict=True
            )
        )
    )
    return list(product(rows, columns))


def _divisor(spec: PoolSpec, win: Window, sizes: tuple[int, ...], row: int, column: int, seen: int) -> float:
    """Return what an average divides by: its pixels, with the padding when it counts, never ceil's overhang."""
    if spec.kind != "avg" or not spec.counted:
        return float(seen)
    sides = []
    for place, s, (begin, end), k, n in zip((row, column), win.stride, win.padding, win.kernel, sizes, strict=True):
        start = place * s - begin
        sides.append(min(start + k, n + end) - start)
    return float(sides[0] * sides[1])


def _weighted(
    spec: PoolSpec, x: Tensor, y: Tensor, seen: list[tuple[int, int]], row: int, column: int
) -> tuple[Term, ...]:
    picture = x.detach()[0, 0]
    if spec.kind in ("soft", "stochastic"):
        values = torch.stack([picture[place] for place in seen])
        if spec.kind == "soft":
            weights = torch.softmax(values * spec.option("beta"), 0)
        else:  # the chance of each pixel, which is its weight in the mean of the draws
            weights = values.clamp_min(0) / values.clamp_min(0).sum().clamp_min(1e-12)
        places = list(zip(seen, weights.tolist(), strict=True))
    else:
        (gradient,) = torch.autograd.grad(y[0, 0, row, column], x, retain_graph=True)
        found = gradient[0, 0].nonzero().tolist()
        places = [((r, c), gradient[0, 0, r, c].item()) for r, c in found]
    return tuple(Term(r, c, round(picture[r, c].item(), 6), round(weight, 6)) for (r, c), weight in places)
