"""The sidebar and the words of "Feature maps"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from typing import Literal

import streamlit as st

from poolsearch.app.controls import cached
from poolsearch.app.controls.controls import amount, choose, pick, toggle
from poolsearch.app.controls.plain import as_text
from poolsearch.app.controls.variants import trained, variant
from poolsearch.app.views.by_hand import PICTURES
from poolsearch.errors import SiteError
from poolsearch.plan import Plan
from poolsearch.plan.kinds import KINDS
from poolsearch.records.network import Array, Histogram, Site
from poolsearch.surgery import find_sites

MOSAIC = 64  # channels that a mosaic shows


@dataclass(frozen=True)
class View:
    """One variant as the page shows it."""

    letter: str
    colour: Literal["blue", "orange"]
    plan: Plan
    weights: Path | None

    def caption(self, site: str) -> str:
        """Return what stands at a site, in words."""
        spec = self.plan.spec(site)
        if spec:
            return f"{KINDS[spec.kind].label}: {spec}"
        own = next((s.main.text for s in find_sites(self.plan) if s.name == site), "")
        return f"Published: {own}"


def _view(letter: str, colour: Literal["blue", "orange"]) -> View:
    plan = variant(letter.lower())
    return View(letter, colour, plan, trained(letter.lower(), plan))


def picker() -> tuple[str, tuple[str, str], bool, int, list[View]]:
    """Return the picture, the site of A and of B, whether they share a colour scale, a channel (0: all), A and B."""
    pictures = ["Temple", "Flower", "Digit"]
    picture = PICTURES[choose("Image", pictures, "picture")]
    shown = [_view("A", "blue"), _view("B", "orange")]
    sites = _sites(shown)
    same = toggle("Same colour scale for A and B", "scale", True)
    channel = amount("Channel, 0 for all", 0, 2048, "channel", 0)
    for view in shown:
        st.sidebar.caption(f"**{view.letter}** {as_text(view.plan)}")
    st.sidebar.caption("Both are set on the page Backbone, or opened from a Pareto front.")
    return picture, sites, same, int(channel), shown


def _sites(shown: Sequence[View]) -> tuple[str, str]:
    """Return the site of A and that of B: one choice where both have the same sites, else one each."""
    there = [viewed_sites(view.plan) for view in shown]
    names = [[site.name for site in sites] for sites in there]
    changed = next((name for view in shown for name, _ in view.plan.sites if name in names[0]), names[0][0])
    if names[0] == names[1]:
        site = pick("Behind site", names[0], "behind", changed)
        return site, site
    a = pick("A behind site", names[0], "behind", changed)
    nearest = matching(next(site for site in there[0] if site.name == a), there[1], [view.plan for view in shown])
    return a, pick("B behind site", names[1], "behindb", nearest)


def viewed_sites(plan: Plan) -> list[Site]:
    """Return the sites whose maps can be looked at: those of the trunk that can change, else all that leave a map."""
    sites = [site for site in find_sites(plan) if site.role != "aux"]
    open_ = [site for site in sites if site.role == "trunk" and not site.locked]
    if not (open_ or sites):
        raise SiteError(f"{plan.backbone} shrinks its map at no site, so there is none to look behind.")
    return open_ or [site for site in sites if site.role == "trunk"] or sites


def matching(site: Site, others: Sequence[Site], plans: Sequence[Plan]) -> str:
    """Return which site of another network shows what a site of this one does: of its name, else of the nearest scale.

    The scale is the side of the map that leaves a site against that of the network's own input.
    """
    if site.name in [other.name for other in others]:
        return site.name
    scale = log2(site.after[0] / plans[0].size[1])
    return min(others, key=lambda other: abs(log2(other.after[0] / plans[1].size[1]) - scale)).name


def scales(arrays: Sequence[Array], same: bool) -> list[tuple[float, float]]:
    """Return (low, high) of the colour scale for each variant; shared, they can be compared."""
    ends = [(float(array.min()), float(array.max())) for array in arrays]
    if not same:
        return ends
    return [(min(low for low, _ in ends), max(high for _, high in ends))] * len(ends)


def sheet(request: tuple[str, str, str, Path | None], low: float, high: float, channel: int) -> bytes:
    """Return the picture of the first channels, or of one channel enlarged."""
    return cached.mosaic_of(*request, low, high, channel)


def caption(array: Array, low: float, high: float, weights: Path | None, channel: int) -> str:
    """Return how many maps of what size are seen, on which scale, with which weights."""
    channels, height, width = array.shape
    shown = (
        f"channel {min(channel, channels)} of {channels}"
        if channel
        else f"{min(channels, MOSAIC)} of {channels} channels"
    )
    source = (
        f"trained, trial {weights.stem} of {as_text(weights.parents[1].name)}" if weights else "random weights, seed 0"
    )
    return f"{shown}, {height} × {width} pixels · colours from {low:.2f} to {high:.2f} · {source}"


def spread(named: Sequence[tuple[str, Histogram]]) -> str:
    """Return mean, deviation and share of zeros of each variant, in words."""
    return " · ".join(
        f"**{letter}** mean {h.mean:.3f}, deviation {h.deviation:.3f}, zeros {100 * h.zeros:.1f} %"
        for letter, h in named
    )
