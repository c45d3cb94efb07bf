"""Two variants side by side: how far each sees, layer by layer, as a Plotly figure, and what stands where, as HTML.

A is blue and solid, B is vermillion and dotted, as in `figures`. Nothing here is computed from a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite, log10

import plotly.graph_objects as go

from poolsearch.figures.network import FONT, blank, empty, palette
from poolsearch.records.network import LayerPair, LayerRow

_WIDTH = 900  # pixels of a page beside its sidebar on a projector 1280 wide, for names that would overlap
_LETTER = 8.5  # pixels of a bold letter


@dataclass(frozen=True)
class SiteRow:
    """What stands at one site of one variant, and the height and width of the maps around it, in pixels."""

    name: str
    spec: str
    before: tuple[int, int]
    after: tuple[int, int]
    keeps_size: bool = False


SitePairs = Sequence[tuple[SiteRow | None, SiteRow | None]]


# ---------------------------------------------------------------------------------------------- growth of the field


def widening(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Return the layers of the main path that see further than all before them, and those at a site.

    A layer that sees the whole map at once (the head) has no length in pixels and is left out.
    """
    kept, widest = [], 0.0
    for row in rows:
        if row.main and len(row.shape) == 3 and isfinite(row.field_px) and (row.field_px > widest or row.site):
            kept.append(row)
            widest = max(widest, row.field_px)
    return kept


def lined_up(a: Sequence[LayerRow], b: Sequence[LayerRow], pairs: Sequence[LayerPair]) -> list[LayerPair]:
    """Return those pairs in which a layer of A or of B widens what is seen; both then share one axis."""
    wanted = {*widening(a), *widening(b)}
    return [pair for pair in pairs if pair.a in wanted or pair.b in wanted]


def growth(
    a: Sequence[LayerRow],
    b: Sequence[LayerRow],
    pairs: Sequence[LayerPair],
    names: tuple[str, str],
    sides: tuple[int, int],
    changed: Sequence[str] = (),
    dark: bool = False,
) -> go.Figure:
    """Return the receptive field in pixels (log) over the layers that widen it, with the sites and the input's side.

    With pairs (one backbone) both share the axis, the sites are named on it and the changed ones are shaded; without,
    each counts its own layers. Large marks are sites.
    """
    figure, colours = blank("", 320, dark), palette(dark)
    shared = lined_up(a, b, pairs)
    if shared:
        points = [
            [(x, row) for x, row in enumerate(rows) if row and row.main and isfinite(row.field_px)]
            for rows in ([pair.a for pair in shared], [pair.b for pair in shared])
        ]
    else:
        points = [list(enumerate(widening(rows), start=1)) for rows in (a, b)]
    seen = [row.field_px for side in points for _, row in side]
    if not seen:
        return empty(figure, "Neither network has a receptive field in pixels.")
    for side, variant, name in zip(points, "ab", names, strict=True):
        _curve(figure, side, variant, name, colours[variant])
    _input_lines(figure, names, sides, colours)
    if shared:
        _site_ticks(figure, shared, set(changed), colours)
        figure.update_xaxes(range=[-0.6, len(shared) - 0.4])
    else:
        figure.update_xaxes(title={"text": "layers that widen the field, each network's own count"}, showgrid=False)
    ticks = [2**n for n in range(13) if min(seen) / 2 <= 2**n <= max(*seen, *sides) * 2]
    top = max(*seen, *sides)
    figure.update_yaxes(
        title={"text": "receptive field, pixels (log)"}, type="log", tickvals=ticks, ticktext=[str(n) for n in ticks],
        range=[log10(min(seen) * 0.75), log10(top * 1.35)],
    )  # fmt: skip
    # the curves rise to the right: the lower right corner is free
    figure.update_layout(showlegend=True, legend={"y": 0.02, "orientation": "v"})
    return figure


def _curve(figure: go.Figure, points: Sequence[tuple[int, LayerRow]], variant: str, name: str, colour: str) -> None:
    figure.add_scatter(
        x=[x for x, _ in points],
        y=[row.field_px for _, row in points],
        name=name,
        mode="lines+markers",
        line={"color": colour, "dash": "solid" if variant == "a" else "dot", "width": 4 if variant == "a" else 2.5},
        marker={
            "size": [(13 if variant == "a" else 9) if row.site else 5 for _, row in points],
            "opacity": 1,
            "symbol": ["circle" if variant == "a" else "diamond"] * len(points),
        },
        cliponaxis=False,
        customdata=[[row.path, row.op, "x".join(map(str, row.shape))] for _, row in points],
        hovertemplate="%{customdata[0]}: %{y:.0f} px<br>%{customdata[1]}<br>map %{customdata[2]}"
        f"<extra>{variant.upper()}</extra>",
    )


def _input_lines(figure: go.Figure, names: tuple[str, str], sides: tuple[int, int], colours: dict[str, str]) -> None:
    """Draw the longer side of the input, once where both have the same."""
    lines = [("input", sides[0], "grey")]
    if sides[0] != sides[1]:
        lines = [("input of A", sides[0], "a"), ("input of B", sides[1], "b")]
    for text, side, colour in lines:
        figure.add_hline(y=side, line={"color": colours[colour], "width": 2, "dash": "dash"}, layer="above")
        figure.add_annotation(
            text=f"{text}, {side} px", x=0, xref="paper", xanchor="left", xshift=6,
            y=log10(side), yanchor="bottom", showarrow=False, font={"size": FONT},
        )  # fmt: skip


def _site_ticks(figure: go.Figure, pairs: Sequence[LayerPair], changed: set[str], colours: dict[str, str]) -> None:
    """Name each site under the axis, on a second line where names would overlap; shade the changed ones."""
    places: dict[str, list[int]] = {}
    for x, pair in enumerate(pairs):
        if pair.site:
            places.setdefault(pair.site, []).append(x)
    apart, low, names = _WIDTH / len(pairs), True, []
    ticks = [(min(at) + max(at)) / 2 for at in places.values()]
    for number, site in enumerate(places):
        needed = _LETTER * (len(site) + len(list(places)[number - 1])) / 2 + 6
        low = number > 0 and not low and (ticks[number] - ticks[number - 1]) * apart < needed
        label = f"<b>{escape(site)}</b>" if site in changed else escape(site)
        names.append(f"{'<br>' * low}{label}")
    for site, at in places.items():
        if site in changed:
            figure.add_vrect(
                x0=min(at) - 0.5, x1=max(at) + 0.5, fillcolor=colours["grey"], opacity=0.2, line_width=0, layer="below"
            )
    figure.update_xaxes(tickvals=ticks, ticktext=names, showgrid=True, tickangle=0)


# --------------------------------------------------------------------------------------------------- what stands where


_ONE_LINE = 9  # boxes that stand side by side in _WIDTH; their texts wrap before they do
_BOX = "border-radius:0.4rem;padding:0.35rem 0.5rem;line-height:1.35;max-width:12rem;box-sizing:border-box"
_ROW = "display:flex;gap:0.5rem 0.2rem;align-items:stretch;overflow-x:auto;font-size:0.82rem"


def changed_sites(sites: SitePairs) -> list[str]:
    """Return the names of the sites at which A and B have something different."""
    return [a.name for a, b in sites if a and b and a.spec != b.spec]


def sites_html(sites: SitePairs, inputs: tuple[str, ...], dark: bool = False) -> str:
    """Return a row of boxes from the input to the head as HTML; where A and B differ, both stand there in colour."""
    colours = palette(dark)
    line = len(sites) < _ONE_LINE
    room = "flex:1 1 auto" if line else "min-width:7rem"
    border = f"{room};border:1px solid {colours['grey']}80"
    both = f"{room};border:2px solid;border-color:{colours['a']} {colours['b']} {colours['b']} {colours['a']}"
    boxes = [_box("input", [escape(text) for text in inputs], border)]
    for a, b in sites:
        one = a or b
        assert one is not None
        other = a is not None and b is not None and a.spec != b.spec
        lines = [_sizes(a, b, colours), *_specs(a, b, colours)]
        boxes.append(_box(one.name, lines, both if other else border, other))
    arrow = f'<span style="color:{colours["grey"]};align-self:center" aria-hidden="true">→</span>'
    wrap = "nowrap" if line else "wrap"
    return f'<div style="{_ROW};flex-wrap:{wrap}" class="sites">{arrow.join(boxes)}</div>'


def _box(name: str, lines: Sequence[str], style: str, changed: bool = False) -> str:
    body = "".join(f"<div>{line}</div>" for line in lines)
    return f'<div style="{_BOX};{style}" class="{"changed" if changed else "kept"}"><b>{escape(name)}</b>{body}</div>'


def _sizes(a: SiteRow | None, b: SiteRow | None, colours: dict[str, str]) -> str:
    """Return the sizes of the maps in and out: once where both have the same, else in the colours of A and B."""
    texts = [(letter, f"{_side(s.before)} → {_side(s.after)}") for letter, s in (("a", a), ("b", b)) if s]
    if len({text for _, text in texts}) == 1:
        return texts[0][1]
    return "<br>".join(_coloured(letter, text, colours) for letter, text in texts)


def _specs(a: SiteRow | None, b: SiteRow | None, colours: dict[str, str]) -> list[str]:
    if a and b and a.spec == b.spec:
        return [f'<span style="opacity:0.75">{escape(a.spec)}</span>']
    if a and b:
        return [_coloured("a", a.spec, colours), _coloured("b", b.spec, colours)]
    return [
        f'<span style="color:{colours["a" if a else "b"]};font-weight:600">{escape(s.spec)}</span>' for s in (a, b) if s
    ]


def _coloured(letter: str, text: str, colours: dict[str, str]) -> str:
    return f'<span style="color:{colours[letter]};font-weight:600">{letter.upper()} {escape(text)}</span>'


def _side(side: tuple[int, int]) -> str:
    """Return one number for a square map, both for any other."""
    return str(side[0]) if side[0] == side[1] else f"{side[0]}×{side[1]}"
