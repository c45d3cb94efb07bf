"""The sidebar of "Sweeps": which view, and which sweep. Both are in the URL (`?pane=` and `?sweep=`).

`?view=` is taken: it belongs to Pooling by hand, and a control that is kept in the URL is the same on every page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from poolsearch.app.controls import links
from poolsearch.app.controls.controls import choose
from poolsearch.sweep.folder import folder
from poolsearch.sweep.folder.folder import SweepFolder

VIEWS = ("Watch", "New", "All")
OF_VIEWS = {"network": "New", "size": "New", "marked": "All"}  # options of a link that only one of them has


def sweeps() -> tuple[str, ...]:
    """Return the names of all sweeps, newest first; one that was renamed or deleted a moment ago is followed."""
    names = folder.studies()
    if (new := st.session_state.pop("shown-next", None)) is not None:
        st.session_state.pop("sweep", None)
        if new in names:
            st.session_state["sweep"] = new
    return names


def picker(names: Sequence[str]) -> tuple[str, SweepFolder | None]:
    """Return the view and the sweep to show, None where there is none."""
    view = choose("View", VIEWS, "pane")
    for key, its_view in OF_VIEWS.items():
        if names and view != its_view and key in st.query_params:
            if links.arriving():
                links.refuse(key, f"The option '{key}' belongs to the view {its_view}: write ?pane={its_view} as well.")
            del st.query_params[key]
    return view, choose_sweep(names, _watch)


def choose_sweep(names: Sequence[str], on_change: Callable[[], None]) -> SweepFolder | None:
    """Return the sweep chosen in the sidebar, None where there is none; its name is always in the URL.

    A link without a name means the newest today, and another one tomorrow.
    """
    if links.arriving() and "sweep" in st.query_params:
        asked = links.one_of("sweep", "Sweep", names)
        if asked is not None:
            st.session_state["sweep"] = asked
        elif not names:
            del st.query_params["sweep"]
    if not names:
        return None
    if st.session_state.get("sweep") not in names:
        st.session_state["sweep"] = names[0]
    chosen: str = st.sidebar.selectbox("Sweep", names, key="sweep", on_change=on_change)
    links.settle("sweep", chosen)
    links.write("sweep", chosen)
    return folder.open_folder(chosen)


def _watch() -> None:
    st.session_state["pane"] = "Watch"
