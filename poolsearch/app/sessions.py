"""Who visits the app, and what Streamlit keeps for each: the one place that knows private names of Streamlit's server.

Streamlit offers no public way to ask whether a session goes on, nor how much its uploads hold (1.67);
`tests/app/test_private_names.py` says which name went away.
"""

from __future__ import annotations

from typing import cast

from streamlit.runtime import Runtime

from poolsearch.app.uploads import Stored


def lives(session: str) -> bool:
    """Return whether a session goes on, or may: a tab whose connection broke has two minutes to come back."""
    return Runtime.instance()._session_mgr.get_session_info(session) is not None


def stored() -> Stored:
    """Return what holds the uploads: session -> file -> an object with its bytes."""
    return cast(Stored, Runtime.instance().uploaded_file_mgr)
