"""The sidebar and the stage of "Pooling by hand"."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

import streamlit as st

from poolsearch import datasets
from poolsearch.kinds import KINDS, Option
from poolsearch.plan import SAME, PoolSpec
from poolsearch.pooling.stage import FORMS, stage
from poolsearch.rows import Array
from poolsearch.widgets.controls import choose, toggle
from poolsearch.windows import effective, window

PICTURES = {"Temple": "temple", "Flower": "flower", "Digit": "digit"}


def window_picker() -> tuple[str, PoolSpec]:
    """Return the picture and the pooling chosen in the sidebar. Raises PlanError when that can't be."""
    shown = {KINDS[kind].label: kind for kind in FORMS}
    picture = choose("Image", list(PICTURES), "image")
    kind = shown[
        st.sidebar.pills("Pooling", list(shown), default="Max", required=True, key="pooling", bind="query-params")
    ]
    takes = KINDS[kind].takes
    kernel = choose("Kernel", [2, 3, 4, 5], "kernel") if "kernel" in takes else ()
    stride = choose("Stride", [1, 2, 3], "stride", 2) if "stride" in takes else ()
    padding = _amount(choose("Padding", ["0", "1", "2", *SAME], "padding")) if "padding" in takes else 0
    ceil = toggle("Round size up (ceil mode)", "ceil") if "ceil" in takes else False
    counted = toggle("Count the padding's zeros", "counted", True) if "uncounted" in takes else True
    dilation = choose("Dilation", [1, 2, 3], "dilation") if "dilation" in takes else ()
    options = {option.name: _option(option) for option in KINDS[kind].options}
    spec = PoolSpec.of(kind, kernel, stride, padding, dilation, ceil=ceil, counted=counted, options=options)
    return PICTURES[picture], spec


def _amount(padding: str) -> int | str:
    return int(padding) if padding.isdigit() else padding


def _option(option: Option) -> float:
    as_number = int if option.whole else float
    low, high, default, step = (as_number(n) for n in (option.low, option.high, option.default, option.step))
    return st.sidebar.number_input(
        option.name.capitalize(), low, high, default, step, help=option.help, key=option.name, bind="query-params"
    )


@st.cache_data(max_entries=512, show_spinner=False)
def stage_of(picture: str, spec: str) -> dict[str, object]:
    """Return the stage of a pooling on an 8x8 picture, as the component draws it."""
    shown = stage(small_picture(picture), PoolSpec.parse(spec))
    cells = [
        {
            "terms": [[term.row, term.column, term.value, term.weight] for term in cell.terms],
            "divisor": cell.divisor,
            "winner": cell.winner,
        }
        for cell in shown.cells
    ]
    return {**asdict(shown), "cells": cells}


@st.cache_data(max_entries=8, show_spinner=False)
def small_picture(name: str) -> Array:
    """Return an 8x8 picture, (8, 8) from 0 to 1: a real digit, or a photograph's middle in grey."""
    if name == "digit":
        digit: Array = datasets.scans()[0][5].numpy()
        return digit
    grey: Array = datasets.photograph(name, 8, 8).mean(0)
    return grey


def badges(stage: dict[str, object]) -> list[tuple[str, Literal["blue", "orange", "gray"]]]:
    """Return (words, colour) of how many numbers go in and come out, and the share that is kept."""
    grids = [stage["input"], stage["output"]]
    into, out = (len(grid) * len(grid[0]) for grid in grids if isinstance(grid, tuple | list))
    return [(f"{into} → {out} numbers", "blue"), (f"{100 * out / into:.0f} % kept", "orange")]


def size_formula(stage: dict[str, object], spec: PoolSpec) -> str:
    """Return the output size as a formula with this choice's numbers filled in."""
    if spec.kind.startswith("global-"):
        return "output size = 1: the window is the whole map"
    grid, out = stage["input"], stage["output"]
    assert isinstance(grid, tuple | list) and isinstance(out, tuple | list)
    win = window(spec, (len(grid), len(grid[0])))
    begin, end = win.padding[0]
    signs = ("⌈", "⌉") if win.ceil else ("⌊", "⌋")
    inner = f"({len(grid)} + {begin + end} − {effective(win.kernel[0], win.dilation[0])}) / {win.stride[0]}"
    return f"output size = {signs[0]}{inner}{signs[1]} + 1 = {len(out)}"
