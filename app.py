"""The entry: `streamlit run app.py`, or `python app.py`, which is `python -m poolsearch serve`; or `uvicorn app:app`.

It stands apart from the shell for two reasons: with `pages/` beside the script that Streamlit runs, a link straight
to a page would open without the shell; and the heavy imports happen here once, before the first visitor.
"""

import sys

if __name__ == "__main__":
    from poolsearch.cli.interrupt import leave_on_ctrl_c

    leave_on_ctrl_c()

    from poolsearch.cli.main import app as command_line

    command_line(["serve", *sys.argv[1:]])

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import streamlit as st
from starlette.middleware import Middleware
from streamlit.runtime import Runtime

from poolsearch.app.door import Door, refusal
from poolsearch.app.history import History
from poolsearch.app.uploads import Uploads
from poolsearch.app.warm import warm


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Warm the process in a thread, so that the event loop stays free; then serve."""
    await anyio.to_thread.run_sync(warm)
    yield


def lives(session: str) -> bool:
    """Return whether a session goes on, or may: a tab whose connection broke has two minutes to come back."""
    return Runtime.instance()._session_mgr.get_session_info(session) is not None


if reason := refusal(st.get_option("server.address")):
    print(reason, file=sys.stderr)
    raise SystemExit(2)

app = st.App(
    Path(__file__).parent / "poolsearch" / "app" / "shell.py",
    lifespan=lifespan,
    middleware=[
        Middleware(Door, names=st.get_option("server.allowedHosts")),
        Middleware(History),
        Middleware(Uploads, stored=lambda: Runtime.instance().uploaded_file_mgr, lives=lives),
    ],
)
