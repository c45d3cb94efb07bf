"""The sidebar, the cached calls and the words of "Compare"."""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf
from typing import Any, Literal

import streamlit as st

from poolsearch import memory
from poolsearch.app.controls.variants import both_in_a_link, remember, trained, variant
from poolsearch.figures.compare import SitePairs, SiteRow
from poolsearch.measure.cost import aligned, homes, layer_rows, totals
from poolsearch.plan import Plan
from poolsearch.records.network import LayerPair, LayerRow, Totals
from poolsearch.surgery import replayed
from poolsearch.units import change, count, csv_text, pixels, shape, size

_LETTERS = (("a", "blue"), ("b", "orange"))


# ---------------------------------------------------------------------------------------------------------- sidebar


def both() -> tuple[Plan, Plan]:
    """Return variants A and B, shown in the sidebar with a way to change each and to swap them."""
    with st.sidebar:
        plans = variant("a"), variant("b")
        for (letter, colour), plan in zip(_LETTERS, plans, strict=True):
            trained(letter, plan)  # keeps the trial it was opened from in the URL
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f":{colour}-badge[{letter.upper()}]", width="content")
                st.page_link(
                    "../pages/backbone.py", label=f"Change {letter.upper()}", icon=":material/edit:",
                    query_params={**both_in_a_link(), "edit": letter.upper()},
                )  # fmt: skip
            st.code(str(plan), language=None, wrap_lines=True)
        st.button("Swap A and B", icon=":material/swap_horiz:", key="swap", on_click=swap, args=plans, width="stretch")
    return plans


def swap(a: Plan, b: Plan) -> None:
    """Make A of B and B of A, with the trials that they were opened from."""
    remember("a", b)
    remember("b", a)
    origins = [st.query_params.pop(f"{letter}w", "") for letter in "ba"]
    for letter, origin in zip("ab", origins, strict=True):
        st.session_state[f"origin-{letter}"] = origin
        if origin:
            st.query_params[f"{letter}w"] = origin


# ----------------------------------------------------------------------------------------------------- cached calls


def rows_and_totals(plan: str) -> tuple[tuple[LayerRow, ...], Totals]:
    """Return the layers of a Plan and their sums; `layer_rows` keeps the layers."""
    rows = layer_rows(Plan.parse(plan))
    return rows, totals(rows)


@memory.kept
def pairs_of(a: str, b: str) -> tuple[LayerPair, ...]:
    """Return the layers of two Plans side by side; none where their backbones differ."""
    one, two = Plan.parse(a), Plan.parse(b)
    return aligned(one, two) if one.backbone == two.backbone else ()


@memory.kept
def site_rows(plan: str) -> tuple[SiteRow, ...]:
    """Return what stands at each site of the trunk and the head, with the maps as this Plan makes them."""
    parsed = Plan.parse(plan)
    replay = replayed(parsed)
    sites, trace, shapes = replay.network.sites, replay.trace, replay.shapes
    home = homes(sites)
    around: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}
    for call, result in zip(trace.calls[1:], shapes[1:], strict=True):
        name, source = call.site or home.get(call.path or "forward", ""), call.inputs[0]
        entering = trace.calls[source].map_in(shapes[source])
        if not name or entering is None:
            continue
        before = around[name][0] if name in around else entering
        after = call.map_in(result) or (1, 1)
        shrinks = call.site or call.window is not None or call.reduces  # not what its module does afterwards
        around[name] = before, after if shrinks or name not in around else around[name][1]
    return tuple(
        SiteRow(
            site.name,
            str(parsed.spec(site.name) or site.main.text),
            *around.get(site.name, (site.before, site.after)),
            site.keeps_size,
        )
        for site in sites
        if site.role in ("trunk", "head")
    )


# ------------------------------------------------------------------------------------------------------------ words


def figures_row(a: Totals, b: Totals) -> list[tuple[str, str, str, str]]:
    """Return (label, value of A, value of B, difference in words) of each figure."""
    area = change(b.last_map[0] * b.last_map[1], a.last_map[0] * a.last_map[1])
    return [
        ("MACs", count(a.macs), count(b.macs), change(b.macs, a.macs)),
        ("Other operations", count(a.other), count(b.other), change(b.other, a.other)),
        ("Activations, peak", size(a.peak_bytes), size(b.peak_bytes), change(b.peak_bytes, a.peak_bytes)),
        ("Parameters", count(a.parameters), count(b.parameters), change(b.parameters, a.parameters)),
        ("Last map, pixels", shape(a.last_map), shape(b.last_map), area),
        ("Receptive field", pixels(a.field_px), pixels(b.field_px), _farther(a.field_px, b.field_px)),
    ]


def _farther(a: float, b: float) -> str:
    return change(b, a) if isinf(a) == isinf(b) else "all against a part"


def draw_figures(a: Totals, b: Totals) -> None:
    """Draw each figure of A and B, one below the other, with the difference of B from A."""
    with st.container(border=True), st.grid(6, min_column_width=108):
        for label, ours, theirs, difference in figures_row(a, b):
            with st.container(gap="xxsmall"):
                st.caption(label)
                st.markdown(f":blue-badge[A] **{ours}**")
                st.markdown(f":orange-badge[B] **{theirs}**")
                st.caption("the same" if difference == "same" else f"B {difference}")


def sizes_differ(a: Plan, b: Plan) -> str:
    """Return what to know where A and B have inputs of different sizes; "" where they are the same."""
    if a.size == b.size:
        return ""
    return (
        f"A has an input of {shape(a.size)}, B one of {shape(b.size)}: operations, activations and maps differ by that "
        "alone. Choose the same input size on Backbone to compare the poolings."
    )


def reach(plans: tuple[Plan, Plan], rows: tuple[Sequence[LayerRow], Sequence[LayerRow]]) -> str:
    """Return from which layer on each variant sees as far as its input is long, in a sentence."""
    found = []
    for plan, layers in zip(plans, rows, strict=True):
        side = max(plan.size[1:])
        found.append(next((row.path for row in layers if row.main and row.field_px >= side), ""))
    if found[0] == found[1]:
        alike = [row.field_px for row in rows[0]] == [row.field_px for row in rows[1]]
        first = "Both curves are the same: each layer sees as far in B as in A. " if alike else ""
        return first + (f"From `{found[0]}` on, both see the length of the image." if found[0] else "")
    sentences = (
        f"{letter} sees the length of its image from `{path}` on." if path else f"{letter} never sees it whole."
        for letter, path in zip("AB", found, strict=True)
    )
    return " ".join(sentences)


def matched(a: Sequence[SiteRow], b: Sequence[SiteRow]) -> list[tuple[SiteRow, SiteRow]]:
    """Return the sites of one backbone as A and B have them, in network order."""
    theirs = {site.name: site for site in b}
    return [(site, theirs[site.name]) for site in a if site.name in theirs]


def rows_of_boxes(
    plans: tuple[Plan, Plan],
    site_rows: tuple[Sequence[SiteRow], Sequence[SiteRow]],
    sites: Sequence[tuple[SiteRow, SiteRow]],
) -> list[tuple[SitePairs, tuple[str, ...]]]:
    """Return (sites, words on the input) of each row of boxes: one where sites are matched, else one a network.

    Poolings that keep the map's size and are the same in both are left out: some networks have nine of them.
    """
    inputs = [shape(plan.size) for plan in plans]
    if sites:
        shown = [(a, b) for a, b in sites if not a.keeps_size or a.spec != b.spec]
        same = inputs[0] == inputs[1]
        return [(shown, (inputs[0],) if same else (f"A {inputs[0]}", f"B {inputs[1]}"))]
    a, b = ([site for site in side if not site.keeps_size] for side in site_rows)
    return [([(s, None) for s in a], (f"A {inputs[0]}",)), ([(None, s) for s in b], (f"B {inputs[1]}",))]


# ------------------------------------------------------------------------------------------------------------ table


def differs(pair: LayerPair) -> bool:
    """Return whether a layer does, makes, costs or sees something else in B than in A, or is in one of them only."""
    if pair.a is None or pair.b is None:
        return True
    names = ("op", "shape", "parameters", "macs", "comparisons", "additions", "field_px")
    return any(getattr(pair.a, name) != getattr(pair.b, name) for name in names)


def _either(a: object, b: object) -> str:
    """Return what both have, or what A and B have."""
    return str(a) if a == b else " → ".join(str(one) if one is not None else "none" for one in (a, b))


def _line(pair: LayerPair) -> dict[str, object]:
    a, b = pair.a, pair.b
    return {
        "layer": pair.path,
        "site": pair.site,
        "A shape": shape(a.shape) if a else None,
        "B shape": shape(b.shape) if b else None,
        "A MACs": a.macs if a else None,
        "B MACs": b.macs if b else None,
        "difference": (b.macs if b else 0) - (a.macs if a else 0),
        "A field, px": a.field_px if a and not isinf(a.field_px) else None,
        "B field, px": b.field_px if b and not isinf(b.field_px) else None,
        "does, A → B": _either(a and a.op, b and b.op),
    }


@memory.kept
def table(a: str, b: str, every: bool = False) -> list[dict[str, object]]:
    """Return the layers that differ (or every layer) as a table; numbers stay numbers, so that it sorts."""
    return [_line(pair) for pair in pairs_of(a, b) if every or differs(pair)]


@memory.kept
def as_csv(a: str, b: str) -> str:
    """Return every layer of both variants as CSV, with units in the heads' names."""
    fields = ("op", "shape", "parameters", "macs", "comparisons", "additions", "bytes", "field_px")
    return csv_text(
        ["layer", "site", *(f"{letter}_{field}" for field in fields for letter in "ab")],
        [
            [pair.path, pair.site, *(getattr(row, field, "") for field in fields for row in (pair.a, pair.b))]
            for pair in pairs_of(a, b)
        ],
    )


def draw_table(a: Plan, b: Plan, every: bool) -> None:
    """Draw the table of the layers that differ, or of every layer."""
    lines = table(str(a), str(b), every)
    if not lines:
        st.caption("No layer differs.")
        return
    columns: dict[str, Any] = {
        name: st.column_config.NumberColumn(format="compact") for name in ("A MACs", "B MACs", "difference")
    }
    columns |= {"site": st.column_config.TextColumn(width=80), "does, A → B": st.column_config.TextColumn(width=260)}
    height: int | Literal["auto"] = "auto" if len(lines) < 12 else 440
    st.dataframe(lines, key="layers", hide_index=True, placeholder="", column_config=columns, height=height)
    everything = pairs_of(str(a), str(b))
    st.caption(
        f"{sum(map(differs, everything))} of {len(everything)} layers differ. "
        "Shapes are channels x height x width; the difference is in MACs. No field: the layer sees the whole map, "
        "or is not there."
    )
