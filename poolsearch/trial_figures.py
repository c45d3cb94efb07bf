"""Trials to Plotly figures: the front of one sweep, the fronts of several, one learning curve."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from poolsearch.figures import blank, empty, palette
from poolsearch.rows import TrialRow
from poolsearch.sweep.front import front

# the first six of the theme's chart colours (.streamlit/config.toml), which stay apart for every colour vision
_LIGHT = ("#0072B2", "#D55E00", "#56B4E9", "#882255", "#A0A7AE", "#332288")
_DARK = ("#56B4E9", "#F08A3C", "#F0E442", "#8C7AE6", "#C6CDD4", "#B07AA1")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star")  # colour is never the only mark
_DASHES = ("solid", "dot", "dash", "dashdot", "longdash", "longdashdot")
_HOVER = "trial %{customdata}: %{y:.1%}, %{x:.2f} ms<br>%{text}"
MOST_FRONTS = len(_SYMBOLS)


def pareto(rows: Sequence[TrialRow], chosen: int | None = None, dark: bool = False, height: int = 430) -> go.Figure:
    """Return latency against accuracy: the front as steps, beaten trials as rings, the published network a diamond.

    Bars show the 95 % interval of the median. Every point carries its trial number as customdata.
    """
    colours = palette(dark)
    figure = blank("", height, dark)
    done = [row for row in rows if row.accuracy is not None and row.latency_ms is not None]
    if not done:
        return empty(figure, "No finished trials yet.")
    best = front(done)
    beaten = [row for row in done if not row.on_front]
    published = [row for row in done if row.published]
    _steps(figure, best, colours)
    _points(
        figure,
        "Beaten",
        beaten,
        chosen,
        {"symbol": "circle-open", "size": 11, "color": colours["grey"], "line": {"width": 2}},
    )
    _points(figure, "On the front", best, chosen, {"symbol": "circle", "size": 15, "color": colours["b"]})
    diamond = {"symbol": "diamond-open", "size": 22, "color": colours["a"], "line": {"width": 3}}
    _points(figure, "Published network", published, chosen, diamond)
    _axes(figure, done)
    figure.update_layout(clickmode="event+select", hovermode="closest", uirevision="keep")
    return figure


def pareto_ranges(rows: Sequence[TrialRow]) -> tuple[list[float], list[float]]:
    """Return (latency, accuracy) axis ranges with some room, so that new trials seldom move the picture."""
    ms = [row.latency_ms for row in rows if row.latency_ms is not None]
    accuracy = [row.accuracy for row in rows if row.accuracy is not None]
    wide, tall = max(max(ms) - min(ms), 0.1 * max(ms)), max(max(accuracy) - min(accuracy), 0.02)
    y = [max(0.0, min(accuracy) - 0.08 * tall), min(1.005, max(accuracy) + 0.1 * tall)]
    return [max(0.0, min(ms) - 0.1 * wide), max(ms) + 0.08 * wide], y


def _axes(figure: go.Figure, rows: Sequence[TrialRow]) -> None:
    x, y = pareto_ranges(rows)
    figure.update_xaxes(title={"text": "latency, ms (lower is better)"}, range=x, showgrid=False)
    figure.update_yaxes(title={"text": "accuracy (higher is better)"}, range=y, tickformat=".3~p")


def _plans(rows: Sequence[TrialRow]) -> list[str]:
    """Return each Plan for a hover text, a line a site."""
    return ["<br>".join(str(row.plan).replace(": ", ";").split(";")) for row in rows]


def _steps(figure: go.Figure, best: Sequence[TrialRow], colours: dict[str, str]) -> None:
    figure.add_scatter(
        x=[row.latency_ms for row in best], y=[row.accuracy for row in best], mode="lines",
        line={"shape": "hv", "color": colours["b"], "width": 2}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip


def _points(
    figure: go.Figure, name: str, rows: Sequence[TrialRow], chosen: int | None, marker: dict[str, object]
) -> None:
    numbers = [row.number for row in rows]
    selected = [numbers.index(chosen)] if chosen in numbers else ([] if chosen is not None else None)
    errors = None
    if rows and name != "Published network":
        errors = {
            "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": marker["color"],
            "array": [(row.latency_high_ms or 0) - (row.latency_ms or 0) for row in rows],
            "arrayminus": [(row.latency_ms or 0) - (row.latency_low_ms or 0) for row in rows],
        }  # fmt: skip
    figure.add_scatter(
        x=[row.latency_ms for row in rows],
        y=[row.accuracy for row in rows],
        name=name,
        mode="markers",
        marker=marker,
        customdata=numbers,
        error_x=errors,
        selectedpoints=selected,
        unselected={"marker": {"opacity": 0.55}},
        text=_plans(rows),
        hovertemplate=_HOVER + "<extra></extra>",
    )


def fronts(named: Sequence[tuple[str, Sequence[TrialRow]]], dark: bool = False) -> go.Figure:
    """Return the fronts of up to six sweeps in one figure, latency against accuracy; each with a colour and a symbol.

    Sweeps without a finished trial have no points; their names are left out.
    """
    figure = blank("", 430, dark)
    marks = list(zip(_DARK if dark else _LIGHT, _SYMBOLS, _DASHES, strict=True))
    finished: list[TrialRow] = []
    for (name, rows), (colour, symbol, dash) in zip(named, marks, strict=False):
        best = front(rows)
        finished += best
        if not best:
            continue
        figure.add_scatter(
            x=[row.latency_ms for row in best],
            y=[row.accuracy for row in best],
            name=name,
            mode="lines+markers",
            line={"shape": "hv", "color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 12, "color": colour},
            customdata=[row.number for row in best],
            text=_plans(best),
            hovertemplate=f"{_HOVER}<extra>{name}</extra>",
        )
    if not finished:
        return empty(figure, "No finished trials yet.")
    _axes(figure, finished)
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
