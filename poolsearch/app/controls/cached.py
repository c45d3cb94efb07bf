"""The cached calls of the pages: texts in, arrays, bytes and rows out. No tensor is a key, no model a value.

Arrays and pictures are kept in `memory`, whose bound is in bytes; Streamlit's own cache counts entries.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import streamlit as st

from poolsearch import memory
from poolsearch.data import datasets
from poolsearch.figures import network as figures
from poolsearch.measure import activations
from poolsearch.plan import Plan
from poolsearch.records.network import Array, Histogram
from poolsearch.records.sweep import TrialRow
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.sweep.study.reader import Reader
from poolsearch.sweep.study.storage import located


def maps_of(plan: str, picture: str, site: str, weights: Path | None) -> Array:
    """Return the (C, H, W) maps behind a site, for one picture.

    Visitors take turns: one network is built at a time. A visitor who has clicked on leaves the queue.
    """
    request = plan, picture, site, weights
    if _maps.has(*request):
        return _maps(*request)
    with st.spinner("Running the network on the image"), memory.one_network(_still_wanted):
        return _maps(*request)  # who waited before may have asked for the same


def _still_wanted() -> None:
    """End this run of the page when a later one has been asked for, or its visitor has left.

    Streamlit looks for that whenever the session is read, and raises what ends the run.
    """
    st.session_state.get("any")


@memory.kept
def _maps(plan: str, picture: str, site: str, weights: Path | None) -> Array:
    wanted = Plan.parse(plan)
    return activations.feature_maps(wanted, datasets.picture(picture, wanted.size), site, trained=weights)


@memory.kept
def mosaic_of(
    plan: str, picture: str, site: str, weights: Path | None, low: float, high: float, channel: int = 0
) -> bytes:
    """Return those maps as a PNG on a colour scale from low to high: 64 of them, or one channel (from 1) alone."""
    maps = maps_of(plan, picture, site, weights)
    if channel:
        one = min(channel, len(maps))
        return figures.mosaic(maps[one - 1 : one], low, high, columns=1, cell=360)
    return figures.mosaic(maps, low, high)


@memory.kept
def histograms_of(requests: tuple[tuple[str, str, str, Path | None], ...]) -> tuple[Histogram, ...]:
    """Return one histogram a request of (plan, picture, site, weights), over edges that all share."""
    return activations.histograms([maps_of(*request) for request in requests])


@st.cache_resource(max_entries=16, show_spinner=False, on_release=lambda kept: kept[0].close())
def _reader(home: SweepFolder, stamp: tuple[int, ...]) -> tuple[Reader, Lock]:
    """Return an opened study and its lock, kept: opening one costs 100 times what reading on in it does."""
    home.config()  # a config that can't be read is refused as such
    return Reader(located(home)), Lock()


def rows_of(home: SweepFolder) -> tuple[TrialRow, ...]:
    """Return the trials of a sweep as they are now; none while its study is not there yet. Raises PoolsearchError."""
    stamp = _stamp(home)
    if stamp is None:
        return ()
    alive = home.status().alive
    reader, lock = _reader(home, stamp)
    with lock:  # every visitor's page runs in a thread of its own
        return reader.rows(alive)


def _stamp(home: SweepFolder) -> tuple[int, ...] | None:
    """Return what changes when a sweep was deleted, renamed or made anew under a name; None before it has a study.

    A file system gives an inode again at once, so the time of the config is part of it.
    """
    try:
        stamp = (home.config_file.stat().st_mtime_ns,)
        path = located(home).file
        return stamp if path is None else (*stamp, path.stat().st_ino)
    except FileNotFoundError:
        return None
