"""The sidebar and the stage of "Pooling by hand"."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from poolsearch import memory
from poolsearch.app.controls import links
from poolsearch.app.controls.controls import amount, choose, hidden, select, slide, toggle
from poolsearch.app.controls.lesson import OPENED
from poolsearch.app.controls.upload import kept_picture, own_picture, tile
from poolsearch.data import datasets
from poolsearch.explain.frameworks import compare, legend
from poolsearch.explain.sight import sizes_of
from poolsearch.explain.stage import stage
from poolsearch.plan import BORDERS, SAME, PoolSpec
from poolsearch.plan.kinds import KINDS, Kind, Option
from poolsearch.plan.windows import effective, pooled_size, window
from poolsearch.records.network import Array

PICTURES = {"Temple": "temple", "Flower": "flower", "Digit": "digit", "Sensor trace": "trace", "Ones": "ones"}
_MOVES = 7  # pixels; 8 would be all the way round
VIEWS = ("Forward", "Backward", "Frameworks")
_PAGE = {"window": "", "learned": ", learned", "anti-aliased": ", anti-aliased", "head": ", head", "channels": ""}


@dataclass(frozen=True)
class Choice:
    """What the sidebar says."""

    picture: str  # its name, or the digest of the visitor's own
    own: Array | None  # (8, 8), the visitor's own
    view: str
    predict: bool
    spec: PoolSpec
    move: int = 0  # pixels to the right, wrapped around
    sum: bool = False  # whether the backward view shows all outputs together


def label(kind: Kind) -> str:
    """Return what a kind is called in the list: its family behind its name, where the name does not say it."""
    family = "" if kind.family in kind.label.lower() else _PAGE[kind.family]
    return f"{kind.label}{family}"


def labels() -> dict[str, str]:
    """Return every kind by what it is called in the list."""
    return {label(kind): name for name, kind in KINDS.items()}


def picker() -> Choice:
    """Return the picture, the pooling and the view chosen in the sidebar. Raises PlanError when that can't be."""
    own = kept_picture()
    names = ["Yours", *PICTURES] if own else list(PICTURES)
    name = select("Image", names, "image")
    names_of_kinds = labels()
    kind = names_of_kinds[select("Pooling", list(names_of_kinds), "pooling")]
    takes = KINDS[kind].takes
    kernels = [n for n in (2, 3, 4, 5, 6, 7) if n in (KINDS[kind].kernels or (2, 3, 4, 5))]
    kernel = choose("Kernel", kernels, "kernel") if "kernel" in takes else 0
    stride = choose("Stride", [1, 2, 3, 4], "stride", 2) if "stride" in takes else ()
    padding = _amount(choose("Padding", ["0", "1", "2", *SAME], "padding")) if "padding" in takes else 0
    options = {option.name: _option(option) for option in KINDS[kind].options}
    view = select("View", VIEWS, "view")
    predict = toggle("Predict first", "predict") if view == "Forward" else False
    together = toggle("All outputs together", "sum") if view == "Backward" else False
    move = slide("Move it right, pixels (wraps around)", 0, _MOVES, "move")
    box = st.sidebar.expander("More about the window") if _has_more(takes) else st.sidebar
    spec = _spec(kind, kernel, stride, padding, options, PICTURES.get(name) == "trace", box)
    st.sidebar.caption(_about(KINDS[kind]))
    own_picture()
    if own and name == "Yours":
        return Choice(own.sha, tile(own, 8, 8).mean(0), view, predict, spec, move, together)
    return Choice(PICTURES[name], None, view, predict, spec, move, together)


def _about(kind: Kind) -> str:
    """Return the formula of a kind, where it is from, and what to know."""
    return " ".join(
        part if part.endswith(".") else f"{part}." for part in (kind.formula, kind.source, kind.note) if part
    )


def _has_more(takes: tuple[str, ...]) -> bool:
    more = {"kernel": "across", "padding": "border", "ceil": "ceil", "uncounted": "counted", "dilation": "dilation"}
    return any(word in takes and not hidden(key) for word, key in more.items())


def _spec(
    kind: str,
    kernel: int,
    stride: int | tuple[()],
    padding: int | str,
    options: dict[str, float],
    one_axis: bool,
    box: DeltaGenerator,
) -> PoolSpec:
    """Return the spec, with what stands under "More about the window"."""
    takes = KINDS[kind].takes
    sides = [n for n in (1, 2, 3, 4, 5, 6) if n in (KINDS[kind].kernels or (1, 2, 3, 4, 5))]
    across = choose("Kernel width", ["same", *sides], "across", where=box) if kernel and not one_axis else "same"
    border = choose("What stands in the padding", ["usual", *BORDERS], "border", where=box) if padding else "usual"
    dilation = choose("Dilation", [1, 2, 3], "dilation", where=box) if "dilation" in takes else ()
    ceil = toggle("Round size up (ceil mode)", "ceil", where=box) if "ceil" in takes else False
    counted = toggle("Count the padding's zeros", "counted", True, where=box) if "uncounted" in takes else True
    sizes = () if not kernel else (kernel,) if across == "same" else (kernel, int(across))
    return PoolSpec.of(
        kind, sizes, stride, padding, dilation, ceil=ceil, counted=counted,
        border="" if border == "usual" else border, options=options,
    )  # fmt: skip


def _amount(padding: str) -> int | str:
    return int(padding) if padding.isdigit() else padding


def _option(option: Option) -> float:
    as_number = int if option.whole else float
    low, high, default, step = (as_number(n) for n in (option.low, option.high, option.default, option.step))
    label = option.name.capitalize()
    return amount(label, low, high, option.name, default, step, hidden("options"), option.help)


@memory.kept
def stage_of(picture: str, _own: Array | None, spec: str, backward: bool, move: int = 0) -> dict[str, object]:
    """Return the stage of a pooling on a small picture, as the component draws it."""
    shown = stage(moved(small_picture(picture) if _own is None else _own, move), PoolSpec.parse(spec), backward)
    cells = [
        {
            **asdict(cell),
            "terms": [[term.row, term.column, term.value, term.weight] for term in cell.terms],
        }
        for cell in shown.cells
    ]
    return {**asdict(shown), "cells": cells, "backward": backward}


@memory.kept
def comparison_of(picture: str, _own: Array | None, spec: str, move: int = 0) -> dict[str, object]:
    """Return the same layer in three frameworks, as the component draws it."""
    pixels = moved(small_picture(picture) if _own is None else _own, move)
    grids = compare(pixels, PoolSpec.parse(spec))
    numbers = [value for grid in grids for row in grid.values or () for value in row]
    key = hashlib.sha256(pixels.tobytes() + spec.encode()).hexdigest()[:12]
    limits = [min(0.0, *numbers), max(1.0, *numbers)] if numbers else [0.0, 1.0]
    return {"grids": [asdict(grid) for grid in grids], "legend": legend(grids), "range": limits, "id": key}


@memory.kept
def small_picture(name: str) -> Array:
    """Return a small picture from 0 to 1: a digit or a photograph's middle (8, 8), ones, or a trace (1, 24)."""
    if name == "digit":
        digit: Array = datasets.scans()[0][5].numpy()
        return digit
    if name == "ones":
        return np.ones((8, 8), np.float32)
    if name == "trace":
        return datasets.trace()
    grey: Array = datasets.photograph(name, 8, 8).mean(0)
    return grey


def moved(picture: Array, pixels: int) -> Array:
    """Return the picture (H, W) moved to the right; what leaves it comes in again on the left."""
    result: Array = np.roll(picture, pixels, axis=1)
    return result


def drawn(shown: dict[str, object], choice: Choice) -> dict[str, object]:
    """Return a stage with its outputs hidden until they are asked for, or the gradients of all of them together."""
    cell = _cell(shown["output"])
    id = f"{shown['id']}{'-predict' * choice.predict}{'-sum' * choice.sum}-{st.query_params.get('lesson', '')}"
    return {**shown, "predict": choice.predict, "sum": choice.sum, "id": id, "cell": cell}


def _cell(output: object) -> list[int] | None:
    """Return which cell of the output the link opens, as [row, column] from 0; one that is not there is refused."""
    opened = st.session_state.pop(OPENED, None)  # by a lesson, whose cells are there
    asked = opened or st.query_params.get("cell")
    if asked is None or not (opened or links.arriving()) or not isinstance(output, tuple | list):
        return None
    if opened:
        return [int(number) - 1 for number in opened.split("-")]
    cells = [f"{row}-{column}" for row in range(1, len(output) + 1) for column in range(1, len(output[0]) + 1)]
    if links.one_of("cell", "Cell (row-column)", cells) is None:
        del st.query_params["cell"]
        links.settle("cell", cells[0])
        return None
    return [int(number) - 1 for number in asked.split("-")]


def badges(stage: dict[str, object]) -> list[tuple[str, Literal["blue", "orange", "gray"]]]:
    """Return (words, colour) of how many numbers go in and come out, and the share that is kept."""
    grids = [stage["input"], stage["output"]]
    into, out = (len(grid) * len(grid[0]) for grid in grids if isinstance(grid, tuple | list))
    return [(f"{into} → {out} numbers", "blue"), (f"{100 * out / into:.0f} % kept", "orange")]


def size_formula(picture: str, own: Array | None, spec: PoolSpec) -> str:
    """Return the output size as a formula with this choice's numbers filled in."""
    shape = (small_picture(picture) if own is None else own).shape
    sizes, kind = sizes_of((shape[0], shape[1])), KINDS[spec.kind]
    if kind.channels == "levels":
        bins = [n ** len(sizes) for n in range(1, int(spec.option("levels")) + 1)]
        return f"{' + '.join(map(str, bins))} = {sum(bins)} numbers a channel, for any size"
    if kind.channels == "double":
        return "two numbers a channel: the window is the whole map"
    if kind.reduces == "map":
        return "output size = 1: the window is the whole map"
    if kind.reduces == "channels":
        return "the map keeps its size; each column is a channel"
    out = pooled_size(spec, sizes)
    if kind.reduces == "bins":
        return f"output size = {out[0]}, as asked: the bins fit themselves to the map"
    if kind.reduces == "ratio":
        return f"output size = ⌊{sizes[0]} · {spec.option('ratio'):g}⌋ = {out[0]}"
    win = window(spec, sizes)
    if "kernel" not in kind.takes:
        return f"output size = ⌈{sizes[0]} / {win.stride[0]}⌉ = {out[0]}"
    signs = ("⌈", "⌉") if win.ceil else ("⌊", "⌋")
    written = []
    for axis, size in enumerate(sizes):
        begin, end = win.padding[axis]
        inner = f"({size} + {begin + end} − {effective(win.kernel[axis], win.dilation[axis])}) / {win.stride[axis]}"
        written.append(f"{signs[0]}{inner}{signs[1]} + 1 = {out[axis]}")
    return f"output size = {written[0]}" if len(set(written)) == 1 else f"height {written[0]}, width {written[1]}"
