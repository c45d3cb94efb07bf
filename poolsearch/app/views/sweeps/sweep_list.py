"""The view "All": every sweep in one table; open, rename or delete one, compare several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from poolsearch.app.controls import links
from poolsearch.app.controls.cached import rows_of
from poolsearch.app.controls.plain import as_text
from poolsearch.app.controls.variants import chart, dark
from poolsearch.app.views.sweeps.watch import BROKEN, STATES
from poolsearch.errors import PoolsearchError
from poolsearch.figures.trials import MOST_FRONTS, fronts
from poolsearch.objectives import OBJECTIVES, USUAL, Objective
from poolsearch.records.sweep import SweepStatus, TrialRow
from poolsearch.sweep.folder import folder
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.sweep.search.front import mark_front
from poolsearch.units import duration

_FIRST = " "  # the name of the first column: no sweep can be called that


def sweep_list(names: Sequence[str]) -> None:
    """Draw all sweeps as a table; what is done with those that are marked stands below."""
    lines = [line_of(name) for name in names]
    columns = st.column_config
    asked = _asked(names)
    table = st.dataframe(
        [{key: value for key, value in line.items() if key != "problem"} for line in lines],
        hide_index=True,
        placeholder="–",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [names.index(name) for name in asked]}} if asked else None,
        key=f"list-{hash(tuple(names))}",  # marks are places in the table: in another order they would mean others
        height=min(37 * len(lines) + 40, 420),
        column_config={
            "state": columns.TextColumn("state", width=85),
            "trials": columns.TextColumn("trials", width=75),
            **{name: _best_column(OBJECTIVES[name]) for name in USUAL},
            "started": columns.DatetimeColumn("last start", format="MM-DD HH:mm", width=90),
            "duration": columns.TextColumn("duration", width=80),
            "backbone": columns.TextColumn("backbone", width=120),
            "data": columns.TextColumn("data", width=108),
        },
        column_order=("sweep", "state", "trials", *USUAL, "duration", "started", "backbone", "data"),
    )
    chosen = [names[place] for place in table.selection.rows if place < len(names)]
    links.write("marked", chosen)
    for line in lines:
        if line["problem"]:
            st.warning(as_text(f"{line['sweep']}: {line['problem']}"), icon=":material/broken_image:")
    _buttons(chosen)
    if len(chosen) > 1:
        _compare(chosen[:MOST_FRONTS])
    if len(chosen) > MOST_FRONTS:
        st.caption(f"The first {MOST_FRONTS} of {len(chosen)} sweeps are compared: more could not be told apart.")


def _asked(names: Sequence[str]) -> list[str]:
    """Return the sweeps that a link marks; one that is not there is refused."""
    if not links.arriving():
        return []
    asked = st.query_params.get_all("marked")
    for name in asked:
        if name not in names:
            links.refuse(f"marked-{name}", links.unknown("sweep", name, names))
    return [name for name in dict.fromkeys(asked) if name in names]


def line_of(name: str) -> dict[str, Any]:
    """Return a sweep as a line of the table; of a broken one what can be read, and why no more."""
    try:
        home = folder.open_folder(name)
        return _line(home, _stamp(home))
    except PoolsearchError as error:
        empty = dict.fromkeys(("backbone", "data", "trials", *USUAL, "started", "duration"))
        return {"sweep": name, "state": BROKEN[0], **empty, "problem": str(error)}


def best_of_usual(rows: Sequence[TrialRow]) -> dict[str, TrialRow | None]:
    """Return the best trial in each of the usual objectives, by objective."""
    return {name: OBJECTIVES[name].best_of(rows) for name in USUAL}


def _best_column(one: Objective) -> Any:
    title = f"{one.best.lower().removesuffix(one.label.lower()).strip()}, {one.unit}"
    return st.column_config.NumberColumn(title, format=f"%.{one.digits}f", width=82, help=f"{one.best}, {one.meaning}.")


def _stamp(home: SweepFolder) -> tuple[int, ...]:
    """Return what changes whenever a figure of a sweep may have."""
    paths = [home.path / file for file in ("config.toml", "status.json", "study.db", "study.db-wal")]
    alive = int(home.status().alive)
    return (alive, *(path.stat().st_mtime_ns if path.exists() else 0 for path in paths))


@st.cache_data(max_entries=512, show_spinner=False)
def _line(home: SweepFolder, stamp: tuple[int, ...]) -> dict[str, Any]:
    config, status = home.config(), home.status()
    done = [row for row in rows_of(home) if row.state == "complete"]
    most = status.trials or config.trials
    return {
        "sweep": home.study,
        "state": STATES[status.state][0],
        "backbone": config.backbone,
        "data": config.data,
        "trials": f"{status.ended}" if config.minutes else f"{status.ended} of {most}",
        **{name: best and OBJECTIVES[name].scaled(best) for name, best in best_of_usual(done).items()},
        "started": datetime.fromtimestamp(_last_start(home)),
        "duration": duration(status.elapsed_s),
        "problem": "",
    }


def _last_start(home: SweepFolder) -> float:
    """Return when a coordinator last took a sweep, in seconds of the epoch; when it was set up, where none did."""
    lease = home.path / "lease"
    return (lease if lease.exists() else home.config_file).stat().st_mtime


# ---------------------------------------------------------------------------------------------- open, rename, delete


def _buttons(chosen: Sequence[str]) -> None:
    one = chosen[0] if len(chosen) == 1 else None
    with st.container(horizontal=True, vertical_alignment="center", key="list-buttons"):
        st.button("Open", icon=":material/open_in_new:", key="open", on_click=show, args=(one,), disabled=one is None)
        if st.button("Rename", icon=":material/edit:", key="rename", disabled=one is None) and one:
            _rename(one)
        if st.button("Delete", icon=":material/delete:", key="delete", disabled=one is None) and one:
            _delete(one)
        if not chosen:
            st.caption("Mark one sweep to open, rename or delete it, two or more to compare them.")


def show(name: str) -> None:
    """Show a sweep next, in the view Watch."""
    st.session_state["sweep"], st.session_state["pane"] = name, "Watch"


@st.dialog("Rename a sweep")
def _rename(name: str) -> None:
    new = st.text_input("New name", name, max_chars=64, key="rename-to")
    if st.button("Rename it", type="primary", key="rename-now"):
        try:
            folder.rename(folder.open_folder(name), new)
        except PoolsearchError as error:
            st.warning(as_text(str(error)))
            return
        st.session_state["shown-next"] = new
        st.rerun()


@st.dialog("Delete this sweep?")
def _delete(name: str) -> None:
    st.text(name)
    st.caption("Its trials, figures and trained weights are removed from this machine. They can't be brought back.")
    home = folder.open_folder(name)
    if left := folder.stays(home):
        st.caption(as_text(left))
    if st.button("Delete it", type="primary", icon=":material/delete:", key="delete-now"):
        try:
            folder.delete(home)
        except PoolsearchError as error:
            st.warning(as_text(str(error)))
            return
        st.session_state["shown-next"] = ""
        st.rerun()


# ---------------------------------------------------------------------------------------------------------- compare


def _compare(names: Sequence[str]) -> None:
    """Draw the fronts of several sweeps in one figure, and a table of what differs."""
    found = []
    for name in names:
        home = folder.open_folder(name)
        try:
            found.append((name, home.status(), rows_of(home), home.config().model_dump()))
        except PoolsearchError:
            continue  # its sentence stands below the table
    if len(found) < 2:
        return
    devices = {status.device for _, status, _, _ in found if status.device}
    if len(devices) > 1:
        st.warning(
            f"Their latencies are not comparable: they were timed on {as_text('; on '.join(sorted(devices)))}.",
            icon=":material/compare_arrows:",
        )
    with st.grid(2, min_column_width=520):
        traded, compared = comparable([(name, rows, config["objectives"]) for name, _, rows, config in found])
        figure = fronts(compared, dark(), traded)
        chart(figure, "fronts", "The fronts of the marked sweeps")
        lines = differing([(name, config) for name, _, _, config in found])
        lines += best_figures([(name, status, rows) for name, status, rows, _ in found])
        st.dataframe(lines, hide_index=True, column_config={_FIRST: "what differs"}, key="differences")


def comparable(
    sweeps: Sequence[tuple[str, Sequence[TrialRow], Sequence[str]]],
) -> tuple[Sequence[str], list[tuple[str, Sequence[TrialRow]]]]:
    """Return the objectives in which several sweeps can be compared, and their trials with the front in those.

    Sweeps that traded different figures are compared by the usual ones, which every trial has.
    """
    kinds = {tuple(sorted(objectives)) for _, _, objectives in sweeps}
    if len(kinds) == 1:
        return sweeps[0][2], [(name, rows) for name, rows, _ in sweeps]
    return USUAL, [(name, mark_front(rows, USUAL)) for name, rows, _ in sweeps]


def differing(configs: Sequence[tuple[str, dict[str, Any]]]) -> list[dict[str, str]]:
    """Return a line for each key that is not the same in all configs, with its value in each sweep."""
    flat = [(name, _flat({key: value for key, value in config.items() if key != "study"})) for name, config in configs]
    keys = dict.fromkeys(key for _, values in flat for key in values)
    lines = [{_FIRST: key, **{name: values.get(key, "") for name, values in flat}} for key in keys]
    return [line for line in lines if len({line[name] for name, _ in flat}) > 1]


def _flat(section: dict[str, Any], before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{before}{key}.")
        elif value is not None:
            found[f"{before}{key}"] = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return found


def best_figures(sweeps: Sequence[tuple[str, SweepStatus, Sequence[TrialRow]]]) -> list[dict[str, str]]:
    """Return the best figures of several sweeps, a line for each figure."""
    lines: list[dict[str, str]] = [
        {_FIRST: what}
        for what in (
            "trials complete",
            "trials failed",
            "trials cancelled",
            *(OBJECTIVES[name].best.lower() for name in USUAL),
            "published network",
            "elapsed",
        )
    ]
    for name, status, rows in sweeps:
        done = [row for row in rows if row.state == "complete"]
        published = next((row for row in done if row.published), None)
        words = (
            str(status.complete),
            str(status.failed),
            str(status.cancelled),
            *(_in_words(best) for best in best_of_usual(done).values()),
            _in_words(published),
            duration(status.elapsed_s),
        )
        for line, text in zip(lines, words, strict=True):
            line[name] = text
    return lines


def _in_words(row: TrialRow | None) -> str:
    if row is None:
        return "–"
    figures = (OBJECTIVES[name].shown(OBJECTIVES[name].of(row)) for name in USUAL)
    return f"{', '.join(figures)} (trial {row.number})"
