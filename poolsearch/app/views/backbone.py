"""The sidebar of the Backbone page: which network, which site, and four settings for it.

The variant in the URL is what counts; the widgets show it. A setting that can't run leaves the variant as it was,
keeps what was asked on the widgets, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import streamlit as st

from poolsearch.app.controls.controls import FEW, choose, pick
from poolsearch.app.controls.variants import beside, carry, remember, trained, variant
from poolsearch.errors import PoolsearchError
from poolsearch.networks.backbones import backbone, known, label
from poolsearch.networks.sizes import networks
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.records.network import LayerRow, Site, Totals
from poolsearch.surgery import check, find_sites, possible_kinds
from poolsearch.surgery.suggest import keeps_size, other_kind, other_window
from poolsearch.units import change, count, pixels, shape, size

SIZES = (20, 28, 32, 64, 128, 224)  # pixels, square


def backbone_picker() -> tuple[str, Plan, str]:
    """Return (variant name, Plan, what was refused) as the sidebar of the Backbone page has it."""
    with st.sidebar:
        name = choose("Variant", ["A", "B"], "edit").lower()
        plan = variant(name)
        trained(name, plan)  # keeps the trial it was opened from in the URL, while the Plan is still that trial's
        carry("b" if name == "a" else "a")
        st.session_state["network"] = plan.backbone
        st.selectbox(
            "Network",
            known(),
            format_func=label,
            key="network",
            on_change=_other_network,
            args=(name,),
        )
        if figures := _figures(plan.backbone):
            st.caption(figures)
        st.session_state["size"] = plan.size[1]
        sizes = sorted({*_sizes(plan.backbone), plan.size[1]})
        st.segmented_control(
            "Input size, pixels", sizes, required=True, key="size", on_change=_other_size, args=(name, plan)
        )
        sites = [site for site in find_sites(plan) if not site.locked]
        if sites:
            _site_settings(name, plan, _site_pills(sites))
        else:
            st.info("No site that something else could stand at: this network throws no pixels away by pooling.")
        st.button(
            "Back to the published network",
            key="published",
            on_click=remember,
            args=(name, plan.published),
            disabled=not plan.sites,
            width="stretch",
        )
    return name, plan, st.session_state.pop("refused", "")


def _figures(name: str) -> str:
    """Return how large a published network is, at its own input size, where it was measured; "" elsewhere."""
    if name not in networks():
        return ""
    parameters, macs, side = networks()[name]
    return f"published: {count(parameters)} parameters, {count(macs)} MACs at {side} px"


def _site_pills(sites: Sequence[Site]) -> Site:
    """Return the site that is chosen; a link may name it."""
    names = [site.name for site in sites]
    first = next((site.name for site in sites if site.form == "pooling" and not site.keeps_size), names[0])
    chosen = pick("Site", names, "site", first if len(names) <= FEW else names[0], _forget)
    return next(site for site in sites if site.name == chosen)


def _sizes(name: str) -> tuple[int, ...]:
    if name == "smallnet":
        return tuple(n for n in SIZES if n <= 64)
    return tuple(sorted({*(n for n in SIZES if n >= 64), backbone(name).size[1]}))


def _forget() -> None:
    st.session_state.pop("refused", None)


def _other_network(name: str) -> None:
    """Open another network at 128 pixels, or at its own size where it can't run so small."""
    chosen = st.session_state["network"]
    _forget()
    try:
        record = backbone(chosen)
        plan = _smaller(Plan(chosen, record.size))
    except PoolsearchError as error:
        st.session_state["refused"] = str(error)
        return
    remember(name, plan)
    for other, text in beside(name, plan).items():
        st.query_params[other] = text


def _smaller(plan: Plan) -> Plan:
    if plan.size[1] < 64:
        return check(plan)
    try:
        return check(replace(plan, size=(plan.size[0], 128, 128)))
    except PoolsearchError:
        return check(plan)


def _other_size(name: str, plan: Plan) -> None:
    side = st.session_state["size"]
    _ask(name, Plan(plan.backbone, (plan.size[0], side, side), plan.sites))


def _ask(name: str, plan: Plan) -> None:
    """Take a Plan that was asked for, or keep the old one and the reason."""
    try:
        remember(name, check(plan))
        _forget()
    except PoolsearchError as error:
        st.session_state["refused"] = str(error)


def _site_settings(name: str, plan: Plan, site: Site) -> None:
    """Draw the settings of one site, showing what the Plan has there."""
    spec = plan.spec(site.name) or site.published
    assert spec is not None and site.published is not None
    kinds = list(possible_kinds(site))
    fixed = site.keeps_convolution(spec.kind)
    st.caption(f"published: {site.main.text}")
    if "refused" not in st.session_state:
        st.session_state["set-kind"] = spec.kind
        for field, value in _numbers(spec).items():
            st.session_state[f"set-{field}"] = value
        st.session_state["set-placement"] = spec.placement

    def row(label: str, field: str, options: list[int | str], disabled: bool = False) -> None:
        shown = sorted(
            {*options, st.session_state.get(f"set-{field}", options[0])}, key=lambda v: (isinstance(v, str), v)
        )
        st.segmented_control(
            label,
            shown,
            required=True,
            key=f"set-{field}",
            on_change=_change,
            args=(name, plan, site, field),
            disabled=disabled,
        )

    st.selectbox(
        "Pooling", kinds, format_func=lambda kind: KINDS[kind].label, key="set-kind",
        on_change=_change, args=(name, plan, site, "kind"),
    )  # fmt: skip
    takes = KINDS[spec.kind].takes
    if "kernel" in takes:
        row("Kernel", "kernel", [2, 3, 4, 5], fixed)
    if "stride" in takes:
        row("Stride", "stride", [1] if site.keeps_size else [1, 2, 3, 4], site.keeps_size)
    if "padding" in takes:
        row("Padding", "padding", [0, 1, 2], fixed)
    if site.form == "convolution" and KINDS[spec.kind].convolution != "dense":
        placements = ["after", "before", "hybrid"]
        st.segmented_control(
            "Beside the convolution", placements, required=True, key="set-placement",
            help="after: convolution at stride 1, activation, pooling. before: pooling, then the convolution. "
            "hybrid: pooling, then a 1x1 convolution.",
            on_change=_change, args=(name, plan, site, "placement"),
        )  # fmt: skip
    if spec.stride == site.published.stride and not keeps_size(site, spec):
        st.caption(f"`{spec}` can't leave the published size at every input: it would need other pixels at the border.")


def _numbers(spec: PoolSpec) -> dict[str, int | str]:
    found: dict[str, int | str] = {"padding": _padding(spec)}
    if spec.kernel:
        found["kernel"] = spec.kernel[0]
    if spec.stride:
        found["stride"] = spec.stride[0]
    return found


def _padding(spec: PoolSpec) -> int | str:
    """Return the padding as one number, or as a Plan's text has it where one number does not say it."""
    if isinstance(spec.padding, str):
        return spec.padding
    if not spec.padding:
        return 0
    if len(spec.padding) == 1 and spec.padding[0][0] == spec.padding[0][1]:
        return spec.padding[0][0]
    return next(word[1:] for word in str(spec).split() if word[0] == "p" and word[1].isdigit())


def _change(name: str, plan: Plan, site: Site, field: str) -> None:
    """Put what the settings say at a site; another kind brings the nearest window it can have."""
    now = plan.spec(site.name) or site.published
    assert now is not None
    kind: str = st.session_state["set-kind"]
    try:
        spec = other_kind(site, now, kind) if field == "kind" else _other_numbers(site, now)
    except PoolsearchError as error:
        st.session_state["refused"] = str(error)
        return
    _ask(name, plan.put(site.name, spec))


def _other_numbers(site: Site, now: PoolSpec) -> PoolSpec:
    """Return the spec with those settings that differ from it (also one that was refused before); the rest stays.

    The padding follows another kernel, so that the map keeps its size, unless a padding is set too.
    """
    shown = _numbers(now)
    settings = {field: st.session_state.get(f"set-{field}", value) for field, value in shown.items()}
    asked: dict[str, Any] = {
        field: (settings[field],) for field in ("kernel", "stride") if settings.get(field) != shown.get(field)
    }
    placement = st.session_state.get("set-placement", now.placement)
    if KINDS[now.kind].convolution != "dense" and site.form == "convolution" and placement != now.placement:
        asked["placement"] = placement
    padding = settings["padding"]
    if padding == shown["padding"]:
        return other_window(site, now, **asked)
    return replace(now, **asked, padding=padding if isinstance(padding, str) else ((padding, padding),))


def badges(name: str, plan: Plan) -> list[tuple[str, Literal["blue", "orange", "gray"]]]:
    """Return (words, colour) of the variant on the page, and how many of its sites were changed."""
    open_sites = sum(not site.locked for site in find_sites(plan) if site.role in ("trunk", "head"))
    changed = f"{len(plan.sites)} of {open_sites} sites changed"
    return [(f"variant {name.upper()}", "blue" if name == "a" else "orange"), (changed, "gray")]


def metrics(mine: Totals, theirs: Totals) -> list[tuple[str, str, str, Literal["off", "inverse"]]]:
    """Return (label, value, difference, colour of the difference) of each figure; "same" keeps the row's height."""
    was = f"was {shape(theirs.last_map)}" if mine.last_map != theirs.last_map else "same"
    seen = "same" if mine.field_px == theirs.field_px else f"was {pixels(theirs.field_px)}"
    rows: list[tuple[str, str, str, Literal["off", "inverse"]]] = [
        ("Last map, pixels", shape(mine.last_map), was, "off"),
        ("Receptive field", pixels(mine.field_px), seen, "off"),
    ]
    for words, write, ours, before in (
        ("MACs", count, mine.macs, theirs.macs),
        ("Activations", size, mine.activation_bytes, theirs.activation_bytes),
        ("Parameters", count, mine.parameters, theirs.parameters),
    ):
        rows.append((words, write(ours), change(ours, before), "off" if ours == before else "inverse"))
    return rows


def table(rows: Sequence[LayerRow]) -> list[dict[str, object]]:
    """Return the layers as a table with units in its heads; numbers stay numbers, so that it sorts."""
    return [
        {
            "layer": row.path,
            "does": row.op,
            "site": row.site,
            "shape": shape(row.shape),
            "parameters": row.parameters,
            "MACs": row.macs,
            "output, bytes": row.bytes,
            "sees, px": None if row.field_px == float("inf") else row.field_px,
        }
        for row in rows
    ]
