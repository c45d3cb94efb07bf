"""Which trials no other trial beats: click a point, and its Plan is open again."""

import streamlit as st

from poolsearch.app.controls import variants
from poolsearch.app.views import pareto
from poolsearch.app.views.sweeps import trials
from poolsearch.figures import trials as trial_figures

variants.head("Pareto front")
sweep = pareto.sweep_picker()
if sweep is None:
    st.info("No sweep yet. Start one on the page Sweeps.", icon=":material/scatter_plot:")
    st.stop()


@st.fragment(run_every=pareto.refresh(sweep))
def chart() -> None:
    """Draw the front and the trial that is open; new trials come in while the sweep runs."""
    rows, words, objectives = pareto.rows_and_words(sweep)
    chosen = pareto.chosen(rows)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        number = chosen.number if chosen else None
        figure = trial_figures.pareto(rows, number, variants.dark(), objectives=objectives)
        alt = "Trials and the front; the table of trials on Sweeps holds the same"
        variants.chart(figure, "front", alt, on_select=pareto.picked, selection_mode="points")
        st.caption(words)
        trials.downloads(sweep)
    with right:
        if chosen is None:
            st.caption("Click a point to open its trial.")
        else:
            pareto.trial(sweep, chosen, rows, objectives)
            curve = trial_figures.learning_curve(chosen, variants.dark())
            variants.chart(curve, "curve", "Learning curve of the open trial")


chart()
