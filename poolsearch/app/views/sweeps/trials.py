"""The trials of a sweep as tables: those that ended and those at work, the failures, and files to download."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import streamlit as st

from poolsearch.app.controls.cached import rows_of
from poolsearch.app.views.sweeps import commands
from poolsearch.errors import PoolsearchError
from poolsearch.objectives import OBJECTIVES, USUAL, Objective
from poolsearch.records.sweep import SweepStatus, TrialRow
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.sweep.running import launch
from poolsearch.units import csv_text, duration

_NEWEST = 100  # the newest: each look sends the whole table to the browser
_NAMES = tuple(field.name for field in fields(TrialRow) if field.name not in ("plan", "curve", "costs"))
_COSTS = tuple(name for name, one in OBJECTIVES.items() if one.of_totals)


def table_rows(
    status: SweepStatus, rows: Sequence[TrialRow], objectives: Sequence[str] = USUAL
) -> list[dict[str, Any]]:
    """Return the newest trials as lines of a table; those at work have the learning curve that they have so far.

    A figure other than the usual two has a column where the sweep trades it.
    """
    at_work = {trial.number: trial for trial in status.running}
    started = sorted((row for row in rows if row.state != "waiting"), key=lambda row: -row.number)[:_NEWEST]
    lines = []
    for row in started:
        now = at_work.get(row.number)
        curve = now.curve if now else row.curve
        state: str = "on the front" if row.on_front else row.state
        if now:
            state = f"at work, {duration(now.seconds)}" + (f", attempt {now.attempt}" if now.attempt > 1 else "")
        lines.append(
            {
                "trial": row.number,
                "state": state,
                **{one.column: one.scaled(row) for one in _shown(objectives)},
                "learning": [epoch.accuracy for epoch in curve] or None,
                "changes": row.reason or str(row.plan).partition(": ")[2] or "none: the published network",
            }
        )
    return lines


def _shown(objectives: Sequence[str]) -> list[Objective]:
    return [OBJECTIVES[name] for name in dict.fromkeys((*USUAL, *objectives))]


def _column(one: Objective) -> Any:
    """Return how a table shows an objective: as a bar where it has a full scale, else as a number."""
    written, config = f"%.{one.digits}f", st.column_config
    if one.full_scale:
        low, high = one.scale * one.low, one.scale * one.high
        return config.ProgressColumn(one.column, format=written, min_value=low, max_value=high, width=150)
    return config.NumberColumn(one.column, format=written, width=20 + 7 * len(one.column))


def trials(status: SweepStatus, rows: Sequence[TrialRow], objectives: Sequence[str] = USUAL) -> None:
    """Draw the newest trials, newest first."""
    lines = table_rows(status, rows, objectives)
    if not lines:
        st.caption(_nothing_yet(status))
        return
    config = st.column_config
    st.dataframe(
        lines,
        hide_index=True,
        placeholder="–",
        key="trials",
        height=min(38 * len(lines) + 40, 420),
        column_config={
            "trial": config.NumberColumn("trial", width=60),
            "state": config.TextColumn("state", width=125),
            **{one.column: _column(one) for one in _shown(objectives)},
            "learning": config.LineChartColumn("learning", y_min=0, y_max=1, width=110),
            "changes": config.TextColumn("changes", width="medium"),
        },
    )
    if len(rows) > len(lines) == _NEWEST:
        st.caption(f"The newest {_NEWEST} of {len(rows)} trials. All are in the files below.")


def _nothing_yet(status: SweepStatus) -> str:
    if status.state == "queued":
        return "It has not started: sweeps take turns, because timing needs the machine to itself."
    if status.alive:
        return "No trial has started yet: the workers are starting."
    return "It has no trials."


def failures(rows: Sequence[TrialRow]) -> None:
    """Draw the trials that failed, each with its kind and reason; nothing when there are none."""
    failed = [row for row in rows if row.state == "failed"]
    if not failed:
        return
    st.header(f"{len(failed)} failed trial{'s' if len(failed) > 1 else ''}", anchor=False)
    lines = [
        {
            "trial": row.number,
            "kind": row.kind,
            "reason": row.reason,
            "attempts": row.attempts,
            "changes": str(row.plan).partition(": ")[2] or "none: the published network",
        }
        for row in failed[-_NEWEST:]
    ]
    config = st.column_config
    widths = {"trial": 60, "kind": 90, "reason": "large", "attempts": 80, "changes": "large"}
    columns = {name: config.Column(name, width=width) for name, width in widths.items()}  # type: ignore[arg-type]
    st.dataframe(lines, hide_index=True, key="failures", column_config=columns)


def _figures(row: TrialRow) -> dict[str, Any]:
    """Return what a file holds of a trial beside its Plan and curve, also the objectives that follow from its Plan."""
    return {name: getattr(row, name) for name in _NAMES} | {name: OBJECTIVES[name].of(row) for name in _COSTS}


def as_csv(rows: Sequence[TrialRow]) -> str:
    """Return the trials as CSV, one line each, with the learning curve left out."""
    return csv_text([*_NAMES, *_COSTS, "plan"], [[*_figures(row).values(), str(row.plan)] for row in rows])


def as_json(rows: Sequence[TrialRow]) -> str:
    """Return the trials as JSON, a list of objects, each with its learning curve."""
    curves = ([vars(epoch) for epoch in row.curve] for row in rows)
    return json.dumps(
        [{**_figures(row), "plan": str(row.plan), "curve": curve} for row, curve in zip(rows, curves, strict=True)],
        indent=1,
    )


def downloads(home: SweepFolder) -> None:
    """Draw the buttons that take all trials along, as they are when one is pressed."""
    with st.container(horizontal=True):
        for name, mime, make in (("csv", "text/csv", as_csv), ("json", "application/json", as_json)):
            st.download_button(
                f"All trials, {name.upper()}",
                partial(_file, home, make),
                f"{home.study}.{name}",
                mime,
                key=name,
                icon=":material/download:",
                on_click="ignore",
            )


def _file(home: SweepFolder, make: Callable[[Sequence[TrialRow]], str]) -> str:
    try:
        return make(rows_of(home))
    except PoolsearchError as error:
        return str(error)


def how_it_runs(home: SweepFolder, status: SweepStatus) -> None:
    """Draw the command lines of all buttons, and the end of the log."""
    with st.expander("The same in a shell", key="sweep-shell"):
        st.code(commands.in_a_shell(status), language="bash")
    with st.expander("Log", key="sweep-log"):
        st.code(launch.log_tail(home) or "Nothing was written yet.", language=None)
