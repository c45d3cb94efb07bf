"""The table of a backbone's sites in the form for a sweep: what may stand at single sites, where it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from poolsearch.errors import PoolsearchError
from poolsearch.networks.backbones import backbone
from poolsearch.plan.kinds import KINDS
from poolsearch.records.network import Site
from poolsearch.surgery import find_sites, possible_kinds

KERNELS, STRIDES = tuple(map(str, range(1, 9))), tuple(map(str, range(1, 5)))
_AS_FOR_ALL = "Single sites may differ. Empty: as for all; at a head or a pooling of stride 1, as published."


def site_lines(sites: Sequence[Site]) -> list[dict[str, Any]]:
    """Return the open sites as lines of the table that is edited; the first stage of smallnet keeps its stride.

    Stride 1 at full size costs ten times the rest.
    """
    return [
        {
            "site": site.name,
            "role": f"{site.role}, stride 1" if site.keeps_size else site.role,
            "published": site.main.text,
            "size": f"{_size(site.before)} → {_size(site.after)}",
            "kinds": [],
            "kernel": [],
            "stride": ["2"] if site.name == "stage1" else [],
        }
        for site in sites
        if not site.locked
    ]


def site_spaces(lines: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what each line of the edited table says of its site; sites of which nothing is said are left out."""
    spaces = {}
    for line in lines:
        own: dict[str, Any] = {"kinds": tuple(line["kinds"])} if _filled(line["kinds"]) else {}
        own |= {axis: numbers(line[axis]) for axis in ("kernel", "stride") if _filled(line[axis])}
        if own:
            spaces[str(line["site"])] = own
    return spaces


def _filled(cell: Any) -> bool:
    return cell is not None and len(cell) > 0  # a list, or an array where nothing was edited


def _size(pixels: tuple[int, int]) -> str:
    height, width = pixels
    return f"{height}x{width}"


def site_table(network: str, side: int) -> dict[str, dict[str, Any]]:
    """Draw the sites of a backbone, and return what is asked of single ones."""
    try:
        sites = find_sites(network, (backbone(network).size[0], side, side))
    except PoolsearchError:
        return {}  # the same is refused below, in words
    lines, columns = site_lines(sites), st.column_config
    kinds = [kind for kind in KINDS if any(kind in possible_kinds(site) for site in sites if not site.locked)]
    st.caption(_AS_FOR_ALL)
    edited = st.data_editor(
        lines,
        key=f"new-sites-{network}",
        hide_index=True,
        height=min(37 * len(lines) + 40, 300),
        disabled=("site", "role", "published", "size"),
        column_config={
            "site": columns.TextColumn("site", width=90),
            "role": columns.TextColumn("role", width=70),
            "published": columns.TextColumn("published", width=105),
            "size": columns.TextColumn("size", width=125),
            "kinds": columns.MultiselectColumn(
                "poolings here", options=kinds, width=200, format_func=lambda kind: KINDS[kind].label
            ),
            "kernel": columns.MultiselectColumn("kernels here", options=KERNELS, width=110),
            "stride": columns.MultiselectColumn("strides here", options=STRIDES, width=110),
        },
    )
    locked = [site for site in sites if site.locked]
    if locked:
        with st.expander(f"{len(locked)} site{'s' if len(locked) > 1 else ''} where nothing else can stand"):
            st.dataframe(
                [
                    {"site": site.name, "role": site.role, "published": site.main.text, "why": site.locked}
                    for site in locked
                ],
                hide_index=True,
            )
    return site_spaces(edited)


def numbers(words: Sequence[str] | None) -> tuple[int, ...]:
    """Return the whole numbers that were chosen as words, in order."""
    return tuple(sorted(int(word) for word in words or ()))
