"""Controls that are kept in the URL, and that a link may hide: `?kernel=3&hide=kernel,stride`.

A hidden control is not drawn; its value is still the link's, or its default. Each control's key is the name of its
query parameter and the name that `hide=` takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from poolsearch.lessons import LESSONS, query

T = TypeVar("T")


def hidden(key: str) -> bool:
    """Return whether the link asks for this control to be hidden."""
    return key in st.query_params.get("hide", "").split(",")


def asked_for(key: str) -> str | None:
    """Return what a hidden control is set to: by the lesson that hides it, else by the link; None where by neither.

    A lesson's own word goes first: opened from the page itself its link does not hold what was hidden, for Streamlit
    takes from the URL what belonged to a control that is no longer drawn.
    """
    name = st.query_params.get("lesson", "")
    return query(name).get(key) if name in LESSONS else st.query_params.get(key)


def _linked(key: str, options: Sequence[T], default: T) -> T:
    """Return the option that the link names, or the default."""
    asked = asked_for(key)
    return next((option for option in options if str(option) == asked), default)


def choose(
    label: str, options: Sequence[T], key: str, default: T | None = None, where: DeltaGenerator | None = None
) -> T:
    """Return the choice of a row of buttons."""
    first = options[0] if default is None else default
    if hidden(key):
        return _linked(key, options, first)
    place = where or st.sidebar
    return place.segmented_control(label, options, default=first, required=True, key=key, bind="query-params")


def select(label: str, options: Sequence[str], key: str, default: str | None = None) -> str:
    """Return the choice of a list that is too long for a row of buttons."""
    first = options[0] if default is None else default
    if hidden(key):
        return _linked(key, options, first)
    return st.sidebar.selectbox(label, options, list(options).index(first), key=key, bind="query-params")


def toggle(label: str, key: str, value: bool = False, where: DeltaGenerator | None = None) -> bool:
    """Return the state of a switch."""
    if hidden(key):
        return (asked_for(key) or str(value)).lower() == "true"
    return (where or st.sidebar).toggle(label, value, key=key, bind="query-params")


def slide(label: str, low: int, high: int, key: str, value: int = 0) -> int:
    """Return the whole number of a slider from low to high."""
    if hidden(key):
        return _linked(key, range(low, high + 1), value)
    return st.sidebar.slider(label, low, high, value, key=key, bind="query-params")
