"""The words and buttons of "Pareto front". The open trial is in the URL (`?trial=`), so a link opens it too."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from poolsearch.app.controls import links
from poolsearch.app.controls.cached import rows_of
from poolsearch.app.controls.plain import as_text
from poolsearch.app.controls.variants import open_as
from poolsearch.app.views.sweeps.view import choose_sweep
from poolsearch.errors import PoolsearchError
from poolsearch.objectives import OBJECTIVES, USUAL
from poolsearch.plan import Plan
from poolsearch.plan.kinds import KINDS
from poolsearch.records.sweep import TrialRow
from poolsearch.surgery import find_sites
from poolsearch.sweep.folder import folder
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.units import duration


def sweep_picker() -> SweepFolder | None:
    """Return the sweep chosen in the sidebar, or None when there is none."""
    return choose_sweep(folder.studies(), _close)


def _close() -> None:
    st.query_params.pop("trial", None)


def refresh(home: SweepFolder) -> str | None:
    """Return how often the page looks again: every 2 s while the sweep runs, never after."""
    return "2s" if home.status().alive else None


def rows_and_words(home: SweepFolder) -> tuple[tuple[TrialRow, ...], str, tuple[str, ...]]:
    """Return the trials of a sweep, how the picture came about in words (or why there is none), and its objectives."""
    try:
        rows, config = rows_of(home), home.config()
    except PoolsearchError as error:
        return (), as_text(str(error)), USUAL
    done = [row for row in rows if row.state == "complete"]
    if len(done) < 3:
        words = f"{len(done)} trials are finished; a front says something from three on."
        return rows, words, config.objectives
    best = sum(row.on_front for row in rows)
    timing = f"{config.latency.calls} calls, batch {config.latency.batch}, one thread"
    traded = [OBJECTIVES[name] for name in config.objectives]
    meanings = {one.name: f"{one.label}: {one.meaning}" for one in traded}
    meanings["latency_ms"] = f"Latency: median of {timing}, its 95 % interval as bars"
    costs = [f"{meanings[one.name]}." for one in traded if not one.trained]
    trained = [f"{meanings[one.name]}, seed {config.seed}." for one in traded if one.trained]
    words = " ".join([f"{best} of {len(done)} trials are on the front.", *costs, *trained])
    return rows, words, config.objectives


def chosen(rows: Sequence[TrialRow]) -> TrialRow | None:
    """Return the trial that the URL names."""
    asked = st.query_params.get("trial")
    found = next((row for row in rows if str(row.number) == asked), None)
    if asked is not None and found is None and links.arriving():
        links.refuse("trial", links.unknown("trial", asked, [row.number for row in rows]))
        del st.query_params["trial"]
    return found


def picked() -> None:
    """Write the clicked trial into the URL (as a callback: its return value alone is lost when the figure changes)."""
    points = st.session_state["front"].selection.points
    if points:
        data = points[0]["customdata"]
        st.query_params["trial"] = str(data[0] if isinstance(data, list | tuple) else data)


def trial(home: SweepFolder, row: TrialRow, rows: Sequence[TrialRow], objectives: Sequence[str] = USUAL) -> None:
    """Draw one trial: what stands where, what came out, and the ways to have it in hand."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"Trial {row.number}", width="content", anchor=False)
        if row.published:
            st.badge("published network", color="blue")
        st.badge(
            "on the front" if row.on_front else "beaten" if row.state == "complete" else row.state,
            color="orange" if row.on_front else "red" if row.state == "failed" else "gray",
        )
    with st.container(horizontal=True):
        for name, one in OBJECTIVES.items():
            if name in objectives or not one.of_totals:  # what is measured, every trial has
                tested = name == "accuracy" and row.test_accuracy is not None
                more = f"; {one.shown(row.test_accuracy)} on the test images" if tested else ""
                st.metric(one.label, one.shown(one.of(row)), help=f"{one.meaning}{more}")
        st.metric("Trained in", "–" if row.seconds is None else duration(row.seconds))
    if row.reason:
        st.warning(as_text(row.reason), title=f"It failed: {as_text(row.kind)}" if row.kind else "It failed")
    try:
        st.markdown(_sites(row.plan))
    except PoolsearchError as error:  # of a backbone that is not installed here
        st.warning(as_text(error))
    published = next((other.number for other in rows if other.published and other.state == "complete"), None)
    beside = st.container(horizontal=True, gap="small", vertical_alignment="center")
    for letter in ("a", "b"):
        with beside.container(key=f"open-{letter}", width="content"):
            open_as(letter, row, home.study, published)
    path = home.weights_file(row.number)
    if path.exists():
        name = f"{home.study}-{row.number}.safetensors"
        words = "The trained weights; poolsearch.modelfiles.checkpoint.load opens them."
        beside.download_button("Weights", path.read_bytes, name, key="weights", help=words, on_click="ignore")
    st.code(str(row.plan), language=None, wrap_lines=True)


def _sites(plan: Plan) -> str:
    """Return what stands at each site of the trunk and the head as a table. Raises PoolsearchError."""
    lines = ["| site | pooling |", "| --- | --- |"]
    for site in find_sites(plan):
        if site.role in ("trunk", "head"):
            spec = plan.spec(site.name)
            words = f"**{KINDS[spec.kind].label}** `{spec}`" if spec else f"`{site.main.text}`"
            lines.append(f"| {as_text(site.name)} | {words} |")
    return "\n".join(lines)
