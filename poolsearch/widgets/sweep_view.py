"""The sidebar of "Sweeps": which view, and which sweep. Both are in the URL (`?pane=` and `?sweep=`).

`?view=` is taken: it belongs to Pooling by hand, and a control that is kept in the URL is the same on every page.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from poolsearch.sweep import folder
from poolsearch.widgets.controls import choose

VIEWS = ("Watch", "New", "All")


def sweeps() -> tuple[str, ...]:
    """Return the names of all sweeps, newest first; one that was renamed or deleted a moment ago is followed."""
    names = folder.studies()
    if (new := st.session_state.pop("shown-next", None)) is not None:
        st.session_state.pop("sweep", None)
        if new in names:
            st.session_state["sweep"] = new
    return names


def picker(names: Sequence[str]) -> tuple[str, str | None]:
    """Return the view and the sweep to show, None where there is none."""
    view = choose("View", VIEWS, "pane")
    if not names:
        return view, None
    return view, st.sidebar.selectbox("Sweep", names, key="sweep", bind="query-params", on_change=_watch)


def _watch() -> None:
    st.session_state["pane"] = "Watch"
