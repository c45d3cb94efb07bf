"""Controls that are kept in the URL, and that a link may hide: `?kernel=3&hide=kernel,stride`.

A hidden control is not drawn; its value is still the link's, or its default. Each control's key is the name of its
query parameter and the name that `hide=` takes. What a link asks for is checked before a control is first drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from poolsearch.app.controls import links

FEW = 12  # names that stand in a row
T = TypeVar("T")


def hidden(key: str) -> bool:
    """Return whether the link asks for this control to be hidden."""
    return key in st.query_params.get("hide", "").split(",")


def _linked(label: str, key: str, options: Sequence[T], default: T) -> T:
    """Return the option that the link names, or the default; one that is not there is refused."""
    asked = links.one_of(key, label, options)
    value = next((option for option in options if str(option) == asked), default)
    links.settle(key, value)
    return value


def _drawn(key: str) -> bool:
    """Return whether a control stands on the page already: what it shows counts, and no longer the link."""
    return key in st.session_state


def choose(
    label: str,
    options: Sequence[T],
    key: str,
    default: T | None = None,
    where: DeltaGenerator | None = None,
    label_visibility: Literal["visible", "collapsed"] = "visible",
) -> T:
    """Return the choice of a row of buttons."""
    first = options[0] if default is None else default
    if hidden(key):
        return _linked(label, key, options, first)
    if not _drawn(key):
        links.one_of(key, label, options)
    place = where or st.sidebar
    value: T = place.segmented_control(
        label, options, default=first, required=True, key=key, bind="query-params", label_visibility=label_visibility
    )
    links.settle(key, value)
    return value


def select(label: str, options: Sequence[str], key: str, default: str | None = None, what: str = "") -> str:
    """Return the choice of a list that is too long for a row of buttons; `what` it is, where the label doesn't say."""
    first = options[0] if default is None else default
    if hidden(key):
        return _linked(what or label, key, options, first)
    if not _drawn(key):
        links.one_of(key, what or label, options)
    value: str = st.sidebar.selectbox(label, options, list(options).index(first), key=key, bind="query-params")
    links.settle(key, value)
    return value


def pick(
    label: str, options: Sequence[str], key: str, default: str, on_change: Callable[[], None] | None = None
) -> str:
    """Return the choice of a row of names, or of a list where they are too many for a row."""
    if not _drawn(key):
        links.one_of(key, label, options)
    if len(options) > FEW:
        place = list(options).index(default)
        value = st.sidebar.selectbox(label, options, place, key=key, bind="query-params", on_change=on_change)
    else:
        value = st.sidebar.pills(
            label, options, default=default, required=True, key=key, bind="query-params", on_change=on_change
        )
    links.settle(key, value)
    return value if value in options else default


def toggle(label: str, key: str, value: bool = False, where: DeltaGenerator | None = None) -> bool:
    """Return the state of a switch."""
    asked = (links.asked_for(key) or "").lower()
    if key in st.query_params and asked not in ("true", "false") and (hidden(key) or not _drawn(key)):
        links.one_of(key, label, ("true", "false"))
    if hidden(key):
        on = asked == "true" if asked in ("true", "false") else value
    else:
        on = (where or st.sidebar).toggle(label, value, key=key, bind="query-params")
    links.settle(key, str(on).lower())
    return on


def slide(label: str, low: int, high: int, key: str, value: int = 0) -> int:
    """Return the whole number of a slider from low to high."""
    if not hidden(key) and _drawn(key):
        asked = None
    else:
        asked = links.number(key, label.partition(",")[0], low, high, whole=True)
    if hidden(key):
        chosen = value if asked is None else int(asked)
    else:
        chosen = st.sidebar.slider(label, low, high, value, key=key, bind="query-params")
    links.settle(key, chosen)
    return chosen


def amount(
    label: str, low: float, high: float, key: str, value: float, step: float = 1, hide: bool = False, help: str = ""
) -> float:
    """Return the number of a field from low to high; whole where all of them are."""
    whole = all(isinstance(n, int) for n in (low, high, value, step))
    asked = None if not hide and _drawn(key) else links.number(key, label.partition(",")[0], low, high, whole)
    if hide:
        chosen = value if asked is None else int(asked) if whole else asked
    else:
        chosen = st.sidebar.number_input(label, low, high, value, step, help=help or None, key=key, bind="query-params")
    links.settle(key, f"{chosen:g}")
    return chosen
