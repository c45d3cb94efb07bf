"""The two variants A and B, and what every page says in the same words.

A variant is a Plan's text in the query (`?a=...&b=...`), so that a reload, a shared link and a new tab agree; the
session keeps it while other pages are open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import streamlit as st

from poolsearch.errors import PoolsearchError
from poolsearch.plan import Plan
from poolsearch.rows import TrialRow
from poolsearch.surgery import check
from poolsearch.sweep import folder
from poolsearch.widgets.cached import rows_of
from poolsearch.widgets.plain import as_text

VARIANTS = {"a": "resnet18/3x128x128", "b": "resnet18/3x128x128: stem=avg k3 s2 p1"}


def dark() -> bool:
    """Return whether the visitor sees the dark theme."""
    return bool(st.context.theme.type == "dark")


def head(title: str, *badges: tuple[str, Literal["blue", "orange", "gray"]], caption: str = "") -> None:
    """Draw the head row of a page, the same height everywhere: title, badges of (words, colour), a caption."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title, width="content", anchor=False)
        for words, colour in badges:
            st.badge(words, color=colour)
        if caption:
            st.caption(caption, width="content")


def refuse(error: PoolsearchError | str) -> None:
    """Say in words that a choice can't run."""
    st.warning(as_text(error), title="This choice can't run", icon=":material/block:")


def variant(name: str) -> Plan:
    """Return variant `a` or `b`; a link with a Plan that can't be is refused in words, and the first one stands in."""
    kept = f"variant-{name}"
    text = st.query_params.get(name) or st.session_state.get(kept) or VARIANTS[name]
    try:
        plan = check(Plan.parse(text))
    except PoolsearchError as error:
        refuse(error)
        plan = check(Plan.parse(VARIANTS[name]))
    remember(name, plan)
    return plan


def remember(name: str, plan: Plan) -> None:
    """Keep a variant in the session and in the URL (the first one of all is left out there)."""
    st.session_state[f"variant-{name}"] = str(plan)
    if str(plan) != VARIANTS[name]:
        st.query_params[name] = str(plan)
    elif name in st.query_params:
        del st.query_params[name]


def trained(name: str, plan: Plan) -> Path | None:
    """Return the checkpoint of the trial that a variant was opened from, while the Plan is still that trial's."""
    origin = st.query_params.get(f"{name}w") or st.session_state.get(f"origin-{name}") or ""
    study, _, number = origin.rpartition("/")
    try:
        row = next((row for row in rows_of(study) if str(row.number) == number), None)
    except PoolsearchError:
        return None
    if row is None or row.plan != plan:
        return None
    path = folder.weights_file(study, row.number)
    if not path.exists():
        return None
    st.session_state[f"origin-{name}"] = st.query_params[f"{name}w"] = origin
    return path


def beside(name: str, plan: Plan, origin: str = "") -> dict[str, str]:
    """Keep the other variant comparable: when it is of another backbone, the published network takes its place.

    Returns the query of the other variant (with the trial it was trained in, where there is one).
    """
    other = "b" if name == "a" else "a"
    kept = Plan.parse(st.session_state.get(f"variant-{other}") or VARIANTS[other])
    if kept.backbone == plan.backbone:
        query = {other: str(kept), f"{other}w": st.session_state.get(f"origin-{other}", "")}
    else:
        query = {other: str(plan.published), f"{other}w": origin}
    st.session_state[f"variant-{other}"], st.session_state[f"origin-{other}"] = query[other], query[f"{other}w"]
    return {key: value for key, value in query.items() if value}


def open_as(name: str, row: TrialRow, study: str, published: int | None) -> None:
    """Open a trial's Plan, with its trained weights, as variant `a` or `b` on the Backbone page."""
    st.session_state[f"variant-{name}"] = str(row.plan)
    st.session_state[f"origin-{name}"] = f"{study}/{row.number}"
    query = {name: str(row.plan), f"{name}w": f"{study}/{row.number}", "edit": name.upper()}
    query |= {"site": row.plan.sites[0][0]} if row.plan.sites else {}
    query |= beside(name, row.plan, "" if published is None else f"{study}/{published}")
    st.switch_page("../pages/backbone.py", query_params=query)
