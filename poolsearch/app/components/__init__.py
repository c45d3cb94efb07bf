"""What the browser draws: the stage of "Pooling by hand" and grids compared. Python computes every number."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st


def _texts(*names: str) -> str:
    """Return the texts of files of this folder one after the other: Streamlit takes one script and one style sheet."""
    return "".join(Path(__file__).with_name(name).read_text(encoding="utf-8") for name in names)


_stepper = st.components.v2.component(
    "poolsearch_stepper",
    html=_texts("stepper.html"),
    css=_texts("theme.css", "stepper.css"),
    js=_texts("drawing.js", "arithmetic.js", "scene.js", "layout.js", "stepper.js"),
)
_comparison = st.components.v2.component(
    "poolsearch_comparison",
    html=_texts("comparison.html"),
    css=_texts("theme.css", "comparison.css"),
    js=_texts("drawing.js", "comparison.js"),
)
_to_top = st.components.v2.component("poolsearch_to_top", js=_texts("to_top.js"))


def stepper(stage: Mapping[str, object], key: str) -> None:
    """Draw a stage, whose fields stepper.js names; `stage["id"]` must change whenever anything in it changes."""
    _stepper(key=key, data=dict(stage))


def comparison(data: Mapping[str, object], key: str) -> None:
    """Draw grids side by side, whose fields comparison.js names; `data["id"]` must change whenever anything does."""
    _comparison(key=key, data=dict(data))


def to_top(key: str) -> None:
    """Scroll the page to its top, once."""
    _to_top(key=key, data={})
