"""The cached calls of the pages: texts in, arrays, bytes and rows out. No tensor is a key, no model a value."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from poolsearch import datasets, figures
from poolsearch.measure import activations
from poolsearch.plan import Plan
from poolsearch.rows import Array, Histogram, TrialRow
from poolsearch.sweep import store


@st.cache_data(max_entries=64, show_spinner="Running the network on the image")
def maps_of(plan: str, picture: str, site: str, weights: Path | None) -> Array:
    """Return the (C, H, W) maps behind a site, for one picture."""
    wanted = Plan.parse(plan)
    return activations.feature_maps(wanted, datasets.picture(picture, wanted.size), site, trained=weights)


@st.cache_data(max_entries=64, show_spinner=False)
def mosaic_of(
    plan: str, picture: str, site: str, weights: Path | None, low: float, high: float, channel: int = 0
) -> bytes:
    """Return those maps as a PNG on a colour scale from low to high: 64 of them, or one channel (from 1) alone."""
    maps = maps_of(plan, picture, site, weights)
    if channel:
        one = min(channel, len(maps))
        return figures.mosaic(maps[one - 1 : one], low, high, columns=1, cell=360)
    return figures.mosaic(maps, low, high)


@st.cache_data(max_entries=64, show_spinner=False)
def histograms_of(requests: tuple[tuple[str, str, str, Path | None], ...]) -> tuple[Histogram, ...]:
    """Return one histogram a request of (plan, picture, site, weights), over edges that all share."""
    return activations.histograms([maps_of(*request) for request in requests])


@st.cache_resource(max_entries=16, show_spinner=False)
def _reader(study: str, made: float) -> store.Reader:
    """Return an opened study, kept: opening one costs 100 times what reading it does."""
    return store.Reader(study)


def rows_of(study: str) -> tuple[TrialRow, ...]:
    """Return the trials of a sweep as they are now; none while its study is not there yet."""
    path = store.folder_of(study) / "study.db"
    if not path.exists():
        return ()
    return _reader(study, path.stat().st_ino).rows(store.read_status(study).alive)
