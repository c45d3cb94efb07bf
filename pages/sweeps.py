"""Set up a sweep, start it in a process of its own, and watch it."""

import streamlit as st

from poolsearch.widgets import sweeps, variants

variants.head("Sweeps")
study = sweeps.setup()
if study is None:
    st.info("No sweep yet. Set it up on the left and start it.", icon=":material/rocket_launch:")
    st.stop()

alive = sweeps.is_alive(study)


@st.fragment(run_every="2s" if alive else None, key="live")
def live() -> None:
    """Show where the sweep stands; when it ends, run the page once more without the timer."""
    status = sweeps.card(study)
    sweeps.last_trials(study)
    if alive and not sweeps.is_alive(study):
        st.rerun()
    if status.state == "done":
        st.page_link(
            "../pages/pareto.py",
            label="Open its Pareto front",
            icon=":material/scatter_plot:",
            query_params={"sweep": study},
        )


live()
with st.expander("How it runs"):
    st.caption("The same in a shell:")
    st.code(sweeps.command(study), language="bash")
    st.caption("Last lines of its log:")
    st.code(sweeps.log(study) or "Nothing was written yet.", language=None)
