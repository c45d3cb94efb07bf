"""The two variants A and B, and what every page says in the same words.

A variant is a Plan's text in the query (`?a=...&b=...`), so that a reload, a shared link and a new tab agree; the
session keeps it while other pages are open.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import streamlit as st

from poolsearch.app.controls import links
from poolsearch.app.controls.cached import rows_of
from poolsearch.app.controls.plain import as_text
from poolsearch.errors import PoolsearchError
from poolsearch.plan import Plan
from poolsearch.records.sweep import TrialRow
from poolsearch.surgery import check
from poolsearch.sweep.folder import folder

VARIANTS = {"a": "resnet18/3x128x128", "b": "resnet18/3x128x128: stem=avg k3 s2 p1"}


def dark() -> bool:
    """Return whether the visitor sees the dark theme."""
    return bool(st.context.theme.type == "dark")


def head(title: str, *badges: tuple[str, Literal["blue", "orange", "gray"]], caption: str = "") -> None:
    """Draw the head row of a page, the same height everywhere: title, badges of (words, colour), a caption."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title, width="content", anchor=False)
        for label, colour in badges:
            st.badge(label, color=colour)
        if caption:
            st.caption(caption, width="content")


def chart(figure: object, key: str, alt: str, **more: Any) -> None:
    """Draw a figure without Plotly's buttons, in the figure's own colours; `alt` is read where it can't be seen."""
    st.plotly_chart(figure, key=key, alt=alt, config={"displayModeBar": False}, theme=None, **more)


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
    """Keep a variant in the session and in the URL, with its input size."""
    st.session_state[f"variant-{name}"] = str(plan)
    links.write(name, str(plan))


def carry(name: str) -> None:
    """Keep the variant that a page does not show, so that its link holds both; what can't be is said where it shows."""
    text = st.query_params.get(name) or st.session_state.get(f"variant-{name}") or VARIANTS[name]
    try:
        remember(name, Plan.parse(text))
    except PoolsearchError:
        return


def both_in_a_link() -> dict[str, str]:
    """Return both variants, and the trials they were opened from, as a query."""
    plans = {name: st.session_state.get(f"variant-{name}") or VARIANTS[name] for name in VARIANTS}
    origins = {f"{name}w": st.session_state.get(f"origin-{name}", "") for name in VARIANTS}
    return plans | {key: value for key, value in origins.items() if value}


def trained(name: str, plan: Plan) -> Path | None:
    """Return the checkpoint of the trial that a variant was opened from, while the Plan is still that trial's."""
    key = f"{name}w"
    asked = st.query_params.get(key)
    origin = asked or st.session_state.get(f"origin-{name}") or ""
    path, why = _weights(origin, plan)
    if why and asked and links.arriving():
        links.refuse(key, f"The link opens {name.upper()} with the weights of trial {links.quoted(asked)}. {why}")
        links.settle(key, "random weights")
    st.session_state[f"origin-{name}"] = origin if path else ""
    links.write(key, origin if path else "")
    return path


def _weights(origin: str, plan: Plan) -> tuple[Path | None, str]:
    """Return the checkpoint of a trial, written `sweep/number`, or why there is none for this Plan."""
    study, _, number = origin.rpartition("/")
    if study not in folder.studies():
        return None, links.unknown("sweep", study, folder.studies())
    try:
        home = folder.open_folder(study)
        rows = rows_of(home)
    except PoolsearchError as error:
        return None, str(error)
    row = next((row for row in rows if str(row.number) == number), None)
    if row is None:
        return None, links.unknown("trial", number, [row.number for row in rows])
    path = home.weights_file(row.number)
    if row.plan != plan:
        return None, f"That trial trained another Plan: {row.plan}."
    return (path, "") if path.exists() else (None, "Its weights were not kept.")


def open_page(name: str, label: str, icon: str) -> None:
    """Draw the link that opens a page with both variants."""
    st.page_link(f"../pages/{name}.py", label=label, icon=icon, query_params=both_in_a_link())


def beside(name: str, plan: Plan, origin: str = "") -> dict[str, str]:
    """Keep the other variant comparable: when it is of another backbone, the published network takes its place.

    Returns the query of the other variant (with the trial it was trained in, where there is one).
    """
    query, other = _beside(name, plan, origin), "b" if name == "a" else "a"
    st.session_state[f"variant-{other}"], st.session_state[f"origin-{other}"] = query[other], query.get(f"{other}w", "")
    return query


def _beside(name: str, plan: Plan, origin: str) -> dict[str, str]:
    other = "b" if name == "a" else "a"
    kept = Plan.parse(st.session_state.get(f"variant-{other}") or VARIANTS[other])
    if kept.backbone == plan.backbone:
        query = {other: str(kept), f"{other}w": st.session_state.get(f"origin-{other}", "")}
    else:
        query = {other: str(plan.published), f"{other}w": origin}
    return {key: value for key, value in query.items() if value}


def open_as(name: str, row: TrialRow, study: str, published: int | None) -> None:
    """Draw the link that opens a trial's Plan, with its trained weights, as variant `a` or `b` on Backbone."""
    query = {name: str(row.plan), f"{name}w": f"{study}/{row.number}", "edit": name.upper()}
    query |= {"site": row.plan.sites[0][0]} if row.plan.sites else {}
    query |= _beside(name, row.plan, "" if published is None else f"{study}/{published}")
    st.page_link("../pages/backbone.py", label=f"Open as {name.upper()}", icon=":material/edit:", query_params=query)
