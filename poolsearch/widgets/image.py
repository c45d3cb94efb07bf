"""The sidebar, the pictures and the words of "Real image"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import streamlit as st

from poolsearch import datasets, figures
from poolsearch.kinds import KINDS, WINDOWED
from poolsearch.measure.shift import moved, pooled, shift_changes
from poolsearch.plan import PoolSpec
from poolsearch.rows import Array
from poolsearch.widgets.controls import choose

PHOTOGRAPHS = {"Temple": "temple", "Flower": "flower"}
# kinds that keep a picture a picture: between the smallest and the largest value of the window, nothing learned
KINDS_SHOWN = tuple(kind for kind in WINDOWED if (KINDS[kind].averages and not KINDS[kind].learned))
_HEIGHT, _WIDTH = 256, 392  # pixels; 8 columns are for the shift


@dataclass(frozen=True)
class Side:
    """One of the two poolings on the page."""

    letter: str
    colour: Literal["blue", "orange"]
    spec: PoolSpec


def picker() -> tuple[str, int, float, list[Side]]:
    """Return the photograph, the shift in pixels, the share of salt, and both poolings. Raises PlanError."""
    photograph = PHOTOGRAPHS[choose("Image", list(PHOTOGRAPHS), "photo")]
    shift = st.sidebar.slider("Shift, pixels", 0, 8, 0, key="shift", bind="query-params")
    salt = st.sidebar.slider("Salt noise, % of pixels", 0, 20, 0, key="salt", bind="query-params")
    kinds = {KINDS[kind].label: kind for kind in KINDS_SHOWN}
    labels = list(kinds)
    first = st.sidebar.selectbox("A", labels, labels.index("Max"), key="left", bind="query-params")
    second = st.sidebar.selectbox("B", labels, labels.index("Max-blur"), key="right", bind="query-params")
    kernel = choose("Kernel of both", [2, 3, 4, 5], "window", 3)
    stride = choose("Stride of both", [2, 4, 8], "step", 4)
    sides = [
        Side("A", "blue", _spec(kinds[first], kernel, stride)),
        Side("B", "orange", _spec(kinds[second], kernel, stride)),
    ]
    return photograph, shift, salt / 100, sides


def _spec(kind: str, kernel: int, stride: int) -> PoolSpec:
    return PoolSpec.of(kind, kernel if "kernel" in KINDS[kind].takes else (), stride)


@st.cache_data(max_entries=32, show_spinner=False)
def salted(photograph: str, salt: float) -> Array:
    """Return a photograph with a share of its pixels set to white, (3, H, W + 8), the same ones at every shift."""
    picture = datasets.photograph(photograph, _HEIGHT, _WIDTH)
    noise = np.random.default_rng(0).random(picture.shape[1:]) < salt
    result: Array = np.where(noise, np.float32(1), picture)
    return result


@st.cache_data(max_entries=256, show_spinner=False)
def output(photograph: str, salt: float, shift: int, spec: str) -> tuple[bytes, tuple[int, int]]:
    """Return the pooled picture as a PNG, enlarged to whole pixels, and its size (height, width)."""
    result = pooled(moved(salted(photograph, salt), shift), PoolSpec.parse(spec))
    return figures.picture_png(result, 400), (result.shape[1], result.shape[2])


@st.cache_data(max_entries=256, show_spinner=False)
def changes(photograph: str, salt: float, spec: str) -> tuple[float, ...]:
    """Return how much the output changes at shifts of 0 to 8 pixels, in its own deviations."""
    return shift_changes(salted(photograph, salt), PoolSpec.parse(spec))


def caption(size: tuple[int, int], change: float, shift: int) -> str:
    """Return the size of the output, and what the shift does to it."""
    kept = 100 * size[0] * size[1] / (_HEIGHT * (_WIDTH - 8))
    words = f"{size[0]} × {size[1]} pixels, {kept:.1f} % kept."
    return words if shift == 0 else f"{words} Moved by {shift}: changed by {100 * change:.1f} %"
