"""The stage of "Pooling by hand": Python computes every number, the browser draws them and steps through them."""

from collections.abc import Mapping
from pathlib import Path

import streamlit as st


def _text(name: str) -> str:
    """Return the text of a file of this folder."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


_stepper = st.components.v2.component(
    "poolsearch_stepper",
    html=_text("stepper.html"),
    css=_text("stepper.css"),
    js=_text("drawing.js") + _text("stepper.js"),  # Streamlit takes one script
)


def stepper(stage: Mapping[str, object], key: str) -> None:
    """Draw a stage, whose fields stepper.js names; `stage["id"]` must change whenever anything in it changes."""
    _stepper(key=key, data=dict(stage))
