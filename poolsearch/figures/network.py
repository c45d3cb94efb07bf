"""Rows and arrays to pictures: Plotly figures, and one palette PNG for mosaics. Sees no model, study or session.

Variant A is blue and solid, B is vermillion and dotted, everywhere. An empty input gives an empty figure with its
title. Nothing here is clever about data: what is drawn was computed elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from io import BytesIO

import numpy as np
import plotly.colors
import plotly.graph_objects as go
from numpy.typing import NDArray
from PIL import Image

from poolsearch.records.network import Array, Histogram, LayerRow

LIGHT = {"a": "#0072B2", "b": "#D55E00", "grey": "#7D8893", "text": "#14202B", "grid": "#E3E8ED", "paper": "#FFFFFF"}
DARK = {"a": "#56B4E9", "b": "#F08A3C", "grey": "#8B98A5", "text": "#E8EDF2", "grid": "#28343F", "paper": "#10171E"}
FONT = 14  # pixels: Plotly's own 12 is too small on a projector


def palette(dark: bool) -> dict[str, str]:
    """Return the colours of a theme by what they mean."""
    return DARK if dark else LIGHT


def blank(title: str, height: int, dark: bool) -> go.Figure:
    """Return an empty figure in the colours and fonts of a theme; the height is in pixels."""
    colours = palette(dark)
    axis = {
        "gridcolor": colours["grid"],
        "zeroline": False,
        "automargin": True,
        "tickfont": {"size": FONT},
        "title": {"font": {"size": FONT + 1}},
    }
    figure = go.Figure()
    figure.update_layout(
        title={"text": title, "font": {"size": 18}, "x": 0, "xref": "container"} if title else None,
        height=height,
        margin={"l": 8, "r": 8, "t": 48 if title else 12, "b": 8},
        font={"size": FONT, "color": colours["text"], "family": "Source Sans, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis=axis,
        yaxis=axis,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom", "font": {"size": FONT}},
        hoverlabel={"font": {"size": FONT}},
        dragmode=False,
    )
    return figure


def empty(figure: go.Figure, message: str) -> go.Figure:
    """Return the figure without its axes, with the words that say why nothing is drawn."""
    figure.add_annotation(text=message, showarrow=False, font={"size": 16}, xref="paper", yref="paper", x=0.5, y=0.5)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


# ------------------------------------------------------------------------------------------------------ shape strip


def strip_rows(rows: Sequence[LayerRow]) -> list[LayerRow]:
    """Return the layers that a strip shows: convolutions wider than a point and poolings, on the main path."""
    return [
        row
        for row in rows
        if len(row.shape) == 3
        and not row.beside
        and (row.site or ("conv k" in row.op and "conv k1 " not in f"{row.op} "))
    ]


def shape_strip(
    rows: Sequence[LayerRow], published: Sequence[LayerRow], variant: str = "a", dark: bool = False
) -> go.Figure:
    """Return the width of each map in pixels, layer by layer: this variant as bars, the published network as outlines.

    Bars at a site are solid, the layers between are paler.
    """
    colours, shown = palette(dark), strip_rows(rows)
    figure = blank("", 330, dark)
    if not shown:
        return empty(figure, "This network has no maps to show.")
    theirs = {row.path: row for row in published}
    places = list(range(len(shown)))
    outline = [theirs[row.path].width if row.path in theirs else None for row in shown]
    figure.add_bar(
        x=places, y=outline, name="Published", width=0.92, hoverinfo="skip",
        marker={"color": "rgba(0,0,0,0)", "line": {"color": colours["grey"], "width": 2}},
    )  # fmt: skip
    figure.add_bar(
        x=places,
        y=[row.width for row in shown],
        name=f"{variant.upper()}",
        width=0.66,
        marker={"color": colours[variant], "opacity": [1.0 if row.site else 0.45 for row in shown]},
        text=[str(row.width) if len(shown) <= 40 or new else "" for row, new in zip(shown, _new_widths(shown))],
        textposition="outside",
        textfont={"size": FONT},
        cliponaxis=False,
        customdata=[[row.path, row.op, "x".join(map(str, row.shape))] for row in shown],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br>%{customdata[2]}<extra></extra>",
    )
    figure.update_layout(barmode="overlay", bargap=0)
    ticks = [index for index, row in enumerate(shown) if row.site and (not index or shown[index - 1].site != row.site)]
    if len(shown) > 40:  # only where the map shrinks, or names would stand on each other
        shrinks = _new_widths(shown)
        ticks = [index for index in ticks if shrinks[index]]
    # names of neighbouring bars stand on two lines, or they would overlap
    near = max(3, len(shown) // 11)
    low = [i > 0 and ticks[i] - ticks[i - 1] < near and i % 2 == 1 for i in range(len(ticks))]
    names = [f"{'<br>' * below}<b>{shown[index].site}</b>" for index, below in zip(ticks, low, strict=True)]
    figure.update_xaxes(tickvals=ticks, ticktext=names, showgrid=False, tickangle=0)
    highest = max([row.width for row in shown] + [value or 0 for value in outline])
    figure.update_yaxes(title={"text": "map width, pixels"}, range=[0, highest * 1.15])
    figure.update_traces(constraintext="none", textangle=0, selector={"type": "bar"})
    return figure


def _new_widths(rows: Sequence[LayerRow]) -> list[bool]:
    """Return, for each layer, whether its map is narrower than the one before it."""
    return [not index or row.width < rows[index - 1].width for index, row in enumerate(rows)]


# -------------------------------------------------------------------------------------------------------- histograms


def histogram_figure(named: Sequence[tuple[str, Histogram]], dark: bool = False) -> go.Figure:
    """Return activation histograms as step outlines on a log scale: A solid, B dotted, shared bins.

    Shares, not counts: the maps of two variants may differ in size.
    """
    colours = palette(dark)
    figure = blank("", 260, dark)
    if not named:
        return empty(figure, "No activations yet.")
    for (name, histogram), variant, dash in zip(named, ("a", "b"), ("solid", "dot"), strict=False):
        figure.add_scatter(
            x=histogram.edges[:-1],
            y=np.where(histogram.counts > 0, 100 * histogram.counts / histogram.counts.sum(), np.nan),
            name=name,
            mode="lines",
            line={"shape": "hv", "color": colours[variant], "dash": dash, "width": 2.5},
            connectgaps=False,
            hovertemplate="from %{x:.3g}: %{y:.2g} % of the values<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title={"text": "activation"})
    figure.update_yaxes(title={"text": "share of values, % (log)"}, type="log", dtick=1)
    return figure


# ----------------------------------------------------------------------------------------------------------- mosaics


@cache
def viridis() -> NDArray[np.uint8]:
    """Return viridis as a 256-colour palette, (256, 3)."""
    scale = plotly.colors.get_colorscale("Viridis")
    colours = plotly.colors.sample_colorscale(scale, np.linspace(0, 1, 256), colortype="tuple")
    return (np.array(colours) * 255).round().astype(np.uint8)


def mosaic(maps: Array, low: float, high: float, columns: int = 16, rows: int = 4, cell: int = 48) -> bytes:
    """Return the first columns x rows maps of (C, H, W) as one palette PNG, each enlarged to whole pixels.

    `low` and `high` are the ends of the colour scale; A and B are comparable only on the same one.
    """
    shown = maps[: columns * rows]
    height, width = shown.shape[1:]
    times = max(1, cell // max(height, width))
    span = high - low if high > low else 1.0
    levels = np.clip((shown - low) / span * 255, 0, 255).astype(np.uint8)
    levels = levels.repeat(times, 1).repeat(times, 2)
    gap = max(1, times * max(height, width) // 32)
    lines = -(-len(shown) // columns)
    tile_height, tile_width = height * times + gap, width * times + gap
    sheet = np.zeros((lines * tile_height - gap, columns * tile_width - gap), np.uint8)
    mask = np.ones(sheet.shape, bool)
    for index, tile in enumerate(levels):
        top, left = index // columns * tile_height, index % columns * tile_width
        sheet[top : top + height * times, left : left + width * times] = tile
        mask[top : top + height * times, left : left + width * times] = False
    return _png(sheet, mask)


def _png(levels: NDArray[np.uint8], hidden: NDArray[np.bool_]) -> bytes:
    """Return a palette PNG; hidden pixels are transparent (the top colour gives up its place for them)."""
    levels = np.where(hidden, np.uint8(255), np.minimum(levels, 254))
    image = Image.fromarray(levels, mode=None).convert("P")
    image.putpalette(viridis().tobytes())
    file = BytesIO()
    image.save(file, "PNG", transparency=255, compress_level=1)
    return file.getvalue()


def picture_png(picture: Array, width: int) -> bytes:
    """Return a picture of (3, H, W) from 0 to 1 as a PNG, each pixel enlarged so that it is about `width` wide."""
    times = max(1, -(-width // picture.shape[2]))
    levels = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    file = BytesIO()
    Image.fromarray(levels.repeat(times, 0).repeat(times, 1)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def shift_figure(named: Sequence[tuple[str, Sequence[float] | None]], shift: int, dark: bool = False) -> go.Figure:
    """Return how much each output changes over the shift, A solid and B dotted, the chosen shift marked.

    A side without a curve is left out.
    """
    colours = palette(dark)
    figure = blank("", 190, dark)
    if not any(curve for _, curve in named):
        return empty(figure, "No shifts yet.")
    for (name, curve), variant, dash in zip(named, ("a", "b"), ("solid", "dot"), strict=False):
        if curve is None:
            continue
        figure.add_scatter(
            x=list(range(len(curve))),
            y=list(curve),
            name=name,
            mode="lines+markers",
            line={"color": colours[variant], "dash": dash, "width": 2.5},
            marker={"size": [13 if place == shift else 6 for place in range(len(curve))]},
            hovertemplate="shift %{x}: %{y:.1%}<extra>" + name.partition(":")[0] + "</extra>",
        )
    figure.update_xaxes(title={"text": "shift, pixels"}, dtick=1, showgrid=False)
    figure.update_yaxes(title={"text": "change, deviations"}, tickformat=".0%", rangemode="tozero", nticks=4)
    figure.update_layout(showlegend=True)
    return figure


def spectrum_figure(named: Sequence[tuple[str, Array, Array]], folds_above: float, dark: bool = False) -> go.Figure:
    """Return power over frequency, each with its name, cycles a pixel and dB; what folds back is shaded.

    A name begins with Input, A or B, which says how it is drawn; what follows a colon stands in the legend only.
    """
    colours = palette(dark)
    figure = blank("", 190, dark)
    styles = {"Input": ("grey", "solid"), "A": ("a", "solid"), "B": ("b", "dot")}
    for name, frequencies, power in named:
        short = name.partition(":")[0]
        colour, dash = styles[short]
        figure.add_scatter(
            x=frequencies, y=power, mode="lines", name=name,
            line={"color": colours[colour], "dash": dash, "width": 2.5},
            hovertemplate="%{x:.3f} cycles a pixel: %{y:.0f} dB<extra>" + short + "</extra>",
        )  # fmt: skip
    figure.add_vrect(
        x0=folds_above, x1=0.5, fillcolor=colours["grey"], opacity=0.18, line_width=0, layer="below",
        annotation={"text": "folds back", "font": {"size": FONT}}, annotation_position="top left",
    )  # fmt: skip
    figure.update_xaxes(title={"text": "frequency along the width, cycles per pixel"}, range=[0, 0.5], showgrid=False)
    figure.update_yaxes(title={"text": "power, dB"}, range=[-65, 18], tickvals=[-60, -40, -20, 0])
    figure.update_layout(showlegend=True)
    return figure
