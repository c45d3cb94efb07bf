"""Trials to Plotly figures: the front of one sweep, the fronts of several, one learning curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from poolsearch.figures.network import blank, empty, palette
from poolsearch.objectives import USUAL, Objective, axes, third
from poolsearch.records.sweep import TrialRow
from poolsearch.sweep.search.front import front

# the first six of the theme's chart colours (.streamlit/config.toml), which stay apart for every colour vision
_LIGHT = ("#0072B2", "#D55E00", "#56B4E9", "#882255", "#A0A7AE", "#332288")
_DARK = ("#56B4E9", "#F08A3C", "#F0E442", "#8C7AE6", "#C6CDD4", "#B07AA1")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")  # colour is never the only mark
_DASHES = ("solid", "dot", "dash", "dashdot", "longdash", "longdashdot")
MOST_FRONTS = len(_SYMBOLS)


Axes = tuple[Objective, Objective]  # along x, along y


def pareto(
    rows: Sequence[TrialRow],
    chosen: int | None = None,
    dark: bool = False,
    height: int = 430,
    objectives: Sequence[str] = USUAL,
) -> go.Figure:
    """Return what networks cost against how well they do: the front as steps, beaten trials as rings, the published
    network a diamond.

    Bars show the 95 % interval of a median latency. Every point carries its trial number as customdata. A front in
    three figures has no steps, for seen in two of them it is no staircase: its colours show the third.
    """
    colours, along = palette(dark), axes(objectives)
    figure = blank("", height, dark)
    done = [row for row in rows if all(objective.of(row) is not None for objective in along)]
    if not done:
        return empty(figure, "No finished trials yet.")
    best = _along(front(done), along[0])
    if len(objectives) == 2:
        _steps(figure, best, along, colours)
    grey = {"symbol": "circle-open", "size": 11, "color": colours["grey"], "line": {"width": 2}}
    diamond = {"symbol": "diamond-open", "size": 22, "color": colours["a"], "line": {"width": 3}}
    _points(figure, "Beaten", [row for row in done if not row.on_front], along, chosen, grey)
    colour = third(objectives)
    full: dict[str, Any] = {"symbol": "circle", "size": 15, "color": colours["b"]}
    if colour:
        shown = [value for row in best if (value := colour.scaled(row)) is not None]
        full |= {"color": shown, "colorscale": "Viridis", "showscale": True}
        if len(set(shown)) == 1:  # Plotly would take a scale from a half below to a half above
            full |= {"cmin": 0.9 * shown[0], "cmax": 1.1 * shown[0]}
        full |= {"colorbar": {"title": {"text": colour.column, "side": "right"}, "thickness": 12}}
    _points(figure, "On the front", best, along, chosen, full)
    _points(figure, "Published network", [row for row in done if row.published], along, chosen, diamond)
    _axes(figure, done, along)
    figure.update_layout(clickmode="event+select", hovermode="closest", uirevision="keep")
    return figure


def _along(rows: Sequence[TrialRow], cost: Objective) -> list[TrialRow]:
    return sorted(rows, key=lambda row: cost.of(row) or 0.0)


def pareto_ranges(rows: Sequence[TrialRow], along: Axes | None = None) -> tuple[list[float], list[float]]:
    """Return the ranges of both axes with some room, so that new trials seldom move the picture."""
    x, y = along or axes()
    across = [value for row in rows if (value := x.of(row)) is not None]
    up = [value for row in rows if (value := y.of(row)) is not None]
    wide, tall = max(max(across) - min(across), 0.1 * max(across)), max(max(up) - min(up), 0.02)
    most = max(up) + 0.1 * tall
    top = min(1.005 * y.high, most) if y.full_scale else most
    return [max(0.0, min(across) - 0.1 * wide), max(across) + 0.08 * wide], [max(0.0, min(up) - 0.08 * tall), top]


def _axes(figure: go.Figure, rows: Sequence[TrialRow], along: Axes) -> None:
    across, up = pareto_ranges(rows, along)
    figure.update_xaxes(title={"text": along[0].axis}, range=across, showgrid=False)
    figure.update_yaxes(title={"text": along[1].axis}, range=up, tickformat=along[1].ticks)


def _plans(rows: Sequence[TrialRow], along: Axes) -> list[str]:
    """Return a hover text for each trial: both figures, then its Plan, a line a site."""
    figures = [
        f"trial {row.number}: {along[1].shown(along[1].of(row))}, {along[0].shown(along[0].of(row))}" for row in rows
    ]
    plans = ["<br>".join(str(row.plan).replace(": ", ";").split(";")) for row in rows]
    return [f"{caption}<br>{plan}" for caption, plan in zip(figures, plans, strict=True)]


def _steps(figure: go.Figure, best: Sequence[TrialRow], along: Axes, colours: dict[str, str]) -> None:
    figure.add_scatter(
        x=[along[0].of(row) for row in best], y=[along[1].of(row) for row in best], mode="lines",
        line={"shape": "hv", "color": colours["b"], "width": 2}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip


def _points(
    figure: go.Figure, name: str, rows: Sequence[TrialRow], along: Axes, chosen: int | None, marker: dict[str, object]
) -> None:
    numbers = [row.number for row in rows]
    selected = [numbers.index(chosen)] if chosen in numbers else ([] if chosen is not None else None)
    errors = None
    if rows and name != "Published network" and along[0].name == "latency_ms":
        errors = {
            "type": "data", "symmetric": False, "thickness": 1, "width": 0,
            "color": colour if isinstance(colour := marker["color"], str) else None,
            "array": [(row.latency_high_ms or 0) - (row.latency_ms or 0) for row in rows],
            "arrayminus": [(row.latency_ms or 0) - (row.latency_low_ms or 0) for row in rows],
        }  # fmt: skip
    figure.add_scatter(
        x=[along[0].of(row) for row in rows],
        y=[along[1].of(row) for row in rows],
        name=name,
        mode="markers",
        marker=marker,
        customdata=numbers,
        error_x=errors,
        selectedpoints=selected,
        unselected={"marker": {"opacity": 0.55}},
        text=_plans(rows, along),
        hovertemplate="%{text}<extra></extra>",
    )


def fronts(
    named: Sequence[tuple[str, Sequence[TrialRow]]], dark: bool = False, objectives: Sequence[str] = USUAL
) -> go.Figure:
    """Return the fronts of up to six sweeps in one figure, all by the same objectives; each with a colour and a symbol.

    Sweeps without a finished trial have no points; their names are left out.
    """
    figure, along = blank("", 430, dark), axes(objectives)
    marks = list(zip(_DARK if dark else _LIGHT, _SYMBOLS, _DASHES, strict=True))
    finished: list[TrialRow] = []
    for (name, rows), (colour, symbol, dash) in zip(named, marks, strict=False):
        best = _along(front(rows), along[0])
        finished += best
        if not best:
            continue
        figure.add_scatter(
            x=[along[0].of(row) for row in best],
            y=[along[1].of(row) for row in best],
            name=name,
            mode="lines+markers",
            line={"shape": "hv", "color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 12, "color": colour},
            customdata=[row.number for row in best],
            text=_plans(best, along),
            hovertemplate=f"%{{text}}<extra>{name}</extra>",
        )
    if not finished:
        return empty(figure, "No finished trials yet.")
    _axes(figure, finished, along)
    figure.update_layout(hovermode="closest", showlegend=True)
    return figure


def learning_curve(row: TrialRow, dark: bool = False) -> go.Figure:
    """Return the validation accuracy of one trial after each epoch."""
    colours = palette(dark)
    figure = blank("", 170, dark)
    if not row.curve:
        return empty(figure, "No epochs yet.")
    epochs = [epoch.epoch for epoch in row.curve]
    figure.add_scatter(
        x=epochs, y=[epoch.accuracy for epoch in row.curve], mode="lines+markers",
        line={"color": colours["a"], "width": 2.5}, hovertemplate="epoch %{x}: %{y:.1%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(title={"text": "epoch"}, dtick=max(1, len(epochs) // 8), showgrid=False)
    figure.update_yaxes(title={"text": "accuracy"}, tickformat=".0%", rangemode="tozero", nticks=4)
    return figure
