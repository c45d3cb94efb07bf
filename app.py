"""The entry: `streamlit run app.py`, `python app.py` or `uvicorn app:app`.

It stands apart from the shell for two reasons: with `pages/` beside the script that Streamlit runs, a link straight
to a page would open without the shell; and the heavy imports happen here once, before the first visitor.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import streamlit as st

from poolsearch.warm import warm


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Warm the process in a thread, so that the event loop stays free; then serve."""
    await anyio.to_thread.run_sync(warm)
    yield


app = st.App(Path(__file__).parent / "poolsearch" / "shell.py", lifespan=lifespan)

if __name__ == "__main__":
    app.run()
