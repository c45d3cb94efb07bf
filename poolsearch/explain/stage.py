"""One pooling on one small picture, cell by cell: what "Pooling by hand" shows. Every number is the operator's own.

Each output cell is explained as arithmetic over pixels. Where a kind is no plain mean, maximum or root, the weights are
the operator's own gradient: for kinds that are linear, or linear in pieces, output = Σ weight · pixel holds exactly.
Which of them a kind is stands in its record.
Learned kinds stand as they start, with the weights of seed 0.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from poolsearch.explain.sight import Sight, sights, sizes_of
from poolsearch.plan import PoolSpec
from poolsearch.plan.kinds import KINDS, Explainer
from poolsearch.plan.windows import Window, window
from poolsearch.pooling import pool
from poolsearch.records.explain import Cell, Stage, Term
from poolsearch.records.network import Array


def stage(picture: Array, spec: PoolSpec, backward: bool = False) -> Stage:
    """Return the input, the output and the arithmetic of each output cell for a picture of (H, W).

    One row is a signal, pooled along one axis. For a pooling across channels the columns are channels. `backward` adds
    the gradient of each output cell. Raises WindowError when the window does not fit.
    """
    height, width = picture.shape
    x = torch.tensor(picture, dtype=torch.float32).requires_grad_()
    shaped = _shaped(x, spec)
    y = _shown(pool(shaped, spec, dims=shaped.dim() - 2), spec, (height, width))
    seen = sights(spec, (height, width))
    win = _window(spec, (height, width))
    kind = KINDS[spec.kind]
    usual = "zeros" if kind.multiplies == "weights" else "neutral" if kind.zeros_add_nothing else kind.border
    border = spec.border or usual
    places = [(row, column) for row in range(y.shape[0]) for column in range(y.shape[1])]
    made = _Cells(spec, x, y, border, len(seen))
    pairs = zip(places, seen, strict=True)
    cells = tuple(made.cell(n, place, sight, backward) for n, (place, sight) in enumerate(pairs))
    values = np.concatenate([picture.ravel(), y.detach().numpy().ravel()])
    text = f"{spec} {backward} {picture.shape}"
    return Stage(
        input=_plain(x.detach()),
        output=_plain(y.detach()),
        outside=made.outside(win),
        kernel=win.kernel,
        dilation=win.dilation,
        padding=win.padding,
        name=kind.explainers[0].picks,
        number=made.number,
        range=(min(0.0, float(values.min())), max(1.0, float(values.max()))),
        captions=_captions(spec, picture.shape, (y.shape[0], y.shape[1]), border, win, backward),
        cells=cells,
        id=hashlib.sha256(picture.tobytes() + text.encode()).hexdigest()[:12],
    )


def _shaped(x: Tensor, spec: PoolSpec) -> Tensor:
    """Return the picture as the operator takes it: (1, 1, H, W), (1, 1, L), or (1, channels, places)."""
    if KINDS[spec.kind].reduces == "channels":
        return x.T[None]
    return x[None] if x.shape[0] == 1 else x[None, None]


def _shown(y: Tensor, spec: PoolSpec, shape: tuple[int, int]) -> Tensor:
    """Return the operator's result as a grid of rows and columns."""
    if KINDS[spec.kind].reduces == "channels":
        return y[0].T
    if KINDS[spec.kind].channels != "same" or shape[0] == 1:
        return y.view(1, -1)
    return y[0, 0]


def _window(spec: PoolSpec, shape: tuple[int, int]) -> Window:
    """Return the spec's window over rows and columns, for its padding and dilation; the whole map for a head."""
    kind, sizes = KINDS[spec.kind], sizes_of(shape)
    if kind.reduces != "window":
        return Window(shape, (1, 1), ((0, 0), (0, 0)), (1, 1), False)
    win = window(spec, sizes)
    if kind.fills_block:
        ends = tuple((0, -size % step) for size, step in zip(sizes, win.stride, strict=True))
        win = Window(win.stride, win.stride, ends, win.dilation, False)
    if len(sizes) == 2:
        return win
    return Window((1, *win.kernel), (1, *win.stride), ((0, 0), *win.padding), (1, *win.dilation), win.ceil)


class _Cells:
    """The cells of one stage, each explained as its kind's record says."""

    def __init__(self, spec: PoolSpec, x: Tensor, y: Tensor, border: str, cells: int) -> None:
        self.spec, self.x, self.y, self.border, self.cells = spec, x, y, border, cells
        self.picture: list[list[float]] = x.detach().tolist()
        self.height, self.width = len(self.picture), len(self.picture[0])
        first = KINDS[spec.kind].explainers[0]
        self.number = spec.option(first.exponent) if first.form in ("root", "logexp") else None

    def explainer(self, n: int) -> Explainer:
        """Return what explains the n-th cell; heads that give several numbers a channel explain each in its own way."""
        each = KINDS[self.spec.kind].explainers
        return each[n * len(each) // self.cells]

    def cell(self, n: int, place: tuple[int, int], sight: Sight, backward: bool) -> Cell:
        """Return how one output number comes about."""
        rows, columns = sight
        explainer = self.explainer(n)
        gradient = self.gradient(*place) if backward or explainer.terms == "gradient" else {}
        terms = self.terms(explainer, sight, gradient)
        values = [term.value for term in terms]
        return Cell(
            form=explainer.form,
            window=(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start),
            terms=terms,
            divisor=self.divisor(explainer, sight, len(terms)),
            winner=_winner(explainer.picks, values) if explainer.form == "pick" else None,
            gradient=tuple((r, c, g) for (r, c), g in gradient.items()) if backward else None,
        )

    def gradient(self, row: int, column: int) -> dict[tuple[int, int], float]:
        """Return the derivative of one output number by each pixel, where it is not zero."""
        (found,) = torch.autograd.grad(self.y[row, column], self.x, retain_graph=True)
        rounded = enumerate(_plain(found))  # what rounds to zero is no share
        return {(r, c): value for r, line in rounded for c, value in enumerate(line) if value}

    def source(self, index: int, size: int) -> int | None:
        """Return where a border's pixel comes from; None for one that holds no number."""
        if 0 <= index < size:
            return index
        if self.border == "reflect":
            return -index if index < 0 else 2 * (size - 1) - index
        return index % size if self.border == "circular" else None

    def pixel(self, row: int, column: int) -> Term | None:
        """Return a pixel of the map or its border; None where the border holds no number."""
        r, c = self.source(row, self.height), self.source(column, self.width)
        if r is None or c is None:
            return Term(row, column, 0.0, None) if self.border == "zeros" else None
        return Term(r, c, round(self.picture[r][c], 6), None)

    def terms(self, explainer: Explainer, sight: Sight, gradient: dict[tuple[int, int], float]) -> tuple[Term, ...]:
        """Return the pixels of one cell's arithmetic, with their weights where it weighs them."""
        rows, columns = sight
        if explainer.terms == "gradient":
            weighted = explainer.form == "weighted"
            return tuple(
                Term(r, c, round(self.picture[r][c], 6), g if weighted else None) for (r, c), g in gradient.items()
            )
        seen = [term for r in rows for c in columns if (term := self.pixel(r, c)) is not None]
        if explainer.form == "copy":
            return tuple(seen[:1])
        if explainer.terms == "window":
            return tuple(seen)
        values = torch.tensor([term.value for term in seen])
        if explainer.terms == "softmax":
            weights = torch.softmax(values * self.spec.option(explainer.exponent), 0)
        else:  # the chance of each pixel, which is its weight in the mean of the draws
            weights = values.clamp_min(0) / values.clamp_min(0).sum().clamp_min(1e-12)
        pairs = zip(seen, weights.tolist(), strict=True)
        return tuple(Term(t.row, t.column, t.value, round(weight, 6)) for t, weight in pairs)

    def divisor(self, explainer: Explainer, sight: Sight, seen: int) -> float:
        """Return what a mean divides by: its pixels, with the padding when it counts, never ceil's overhang."""
        spec, kind = self.spec, KINDS[self.spec.kind]
        if explainer.form not in ("mean", "root", "logexp", "deviation") or not explainer.divides:
            return 1.0
        if kind.option("divisor") and spec.option("divisor"):
            return spec.option("divisor")
        counts = "uncounted" in kind.takes and spec.counted and not spec.border
        return float(len(sight[0]) * len(sight[1])) if counts else float(seen)

    def outside(self, win: Window) -> tuple[tuple[int, int, float], ...]:
        """Return (row, column, value) of each number in the border."""
        if self.border == "neutral":
            return ()
        (top, bottom), (left, right) = win.padding
        found = []
        for row in range(-top, self.height + bottom):
            for column in range(-left, self.width + right):
                if not (0 <= row < self.height and 0 <= column < self.width):
                    term = self.pixel(row, column)
                    found.append((row, column, term.value if term else 0.0))
        return tuple(found)


def _plain(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(round(v, 6) for v in row) for row in values.tolist())


def _winner(picks: str, values: list[float]) -> int | None:
    """Return the index of the value that was picked: the largest, the smallest, or the middle one (if there is one)."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    if picks == "median":
        return order[len(order) // 2] if len(order) % 2 else None
    return values.index(min(values) if picks == "min" else max(values))


_BORDERS = {"neutral": "padded", "zeros": "padded with zeros", "reflect": "mirrored", "circular": "wrapped around"}


def _captions(
    spec: PoolSpec, shape: tuple[int, ...], out: tuple[int, int], border: str, win: Window, backward: bool
) -> tuple[str, str]:
    if KINDS[spec.kind].reduces == "channels":
        channels = "1 channel" if out[1] == 1 else f"{out[1]} channels"
        return f"Input: {shape[0]} places × {shape[1]} channels", f"Output: {channels}"
    edge = f", {_BORDERS[border]}" if any(map(any, win.padding)) else ""
    edge += (": gradient, value below" if shape[0] > 1 else ": gradient, value as a bar") if backward else ""
    size = f"{shape[0]} × {shape[1]}" if shape[0] > 1 else f"of {shape[1]} samples"
    kind = KINDS[spec.kind]
    if several := f"{out[1]} bins" if kind.channels == "levels" else kind.outputs:
        return f"Input {size}{edge}", f"Output: {several}"
    return f"Input {size}{edge}", f"Output {out[0]} × {out[1]}" if shape[0] > 1 else f"Output of {out[1]} samples"
