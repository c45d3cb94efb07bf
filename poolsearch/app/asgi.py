"""The app as an ASGI application: its frame, what is done before the first visitor, and what stands before it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import streamlit as st
from starlette.middleware import Middleware

from poolsearch.app import sessions
from poolsearch.app.door import Door, refusal
from poolsearch.app.history import History
from poolsearch.app.uploads import Uploads
from poolsearch.app.warm import warm

SHELL = Path(__file__).with_name("shell.py")


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Warm the process in a thread, so that the event loop stays free; then serve."""
    await anyio.to_thread.run_sync(warm)
    yield


def settings() -> dict[str, Any]:
    """Return what `st.App` is given beside the frame. Leaves with exit code 2 where the door would stand open."""
    if reason := refusal(st.get_option("server.address")):
        print(reason, file=sys.stderr)
        raise SystemExit(2)
    middleware = [
        Middleware(Door, names=st.get_option("server.allowedHosts")),
        Middleware(History),
        Middleware(Uploads, stored=sessions.stored, lives=sessions.lives),
    ]
    return {"lifespan": lifespan, "middleware": middleware}
