"""Set up a sweep, start it in a process of its own, watch it, and keep the old ones in order."""

import streamlit as st

from poolsearch.app.controls import variants
from poolsearch.app.views.sweeps import (
    commands,
    setup,
    sweep_list,
    trials as sweep_trials,
    view as sweep_view,
    watch,
)
from poolsearch.figures import trials as trial_figures

names = sweep_view.sweeps()
view, sweep = sweep_view.picker(names)

if view == "New" or sweep is None:
    variants.head("Sweeps", caption="A sweep runs in a process of its own: it goes on when this tab is closed.")
    if not names:
        st.info("No sweep yet. Set one up here and start it.", icon=":material/rocket_launch:")
    setup.form()
    st.stop()

if view == "All":
    variants.head("Sweeps", (f"{len(names)} in all", "gray"))
    sweep_list.sweep_list(names)
    st.stop()

first, _, unreadable = watch.read(sweep)
alive = first.alive


@st.fragment(run_every="2s" if alive else None, key="live")
def live() -> None:
    """Show where the sweep stands; when it ends or begins, run the page once more with or without the timer."""
    status, rows, broken = watch.read(sweep)
    if status.alive != alive:
        st.rerun()
    watch.head(sweep, status, broken)
    if broken:
        return
    watch.progress(status, commands.answer(sweep))
    objectives = watch.objectives(sweep)
    watch.metrics(status, rows, objectives)
    st.caption(watch.counts(status, rows))
    with st.grid(2, min_column_width=560):
        with st.container():
            sweep_trials.trials(status, rows, objectives)
        figure = trial_figures.pareto(rows, None, variants.dark(), 400, objectives)
        variants.chart(figure, "live-front", "Trials and the front so far")
    sweep_trials.failures(rows)
    sweep_trials.how_it_runs(sweep, status)


live()
if unreadable:
    st.stop()
with st.container(horizontal=True, vertical_alignment="center"):
    sweep_trials.downloads(sweep)
    st.page_link(
        "../pages/pareto.py",
        label="Open its Pareto front",
        icon=":material/scatter_plot:",
        query_params={"sweep": sweep.study},
    )
