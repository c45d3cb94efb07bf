"""The view "Watch": where a sweep stands. A sweep lives in its own process; the page only reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from statistics import median
from typing import Literal

import streamlit as st

from poolsearch.app.components import to_top
from poolsearch.app.controls.cached import rows_of
from poolsearch.app.controls.plain import as_text
from poolsearch.app.views.sweeps import commands
from poolsearch.errors import PoolsearchError
from poolsearch.objectives import USUAL, Objective, axes
from poolsearch.records.sweep import SweepStatus, TrialRow
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.units import duration, left_in_words, of_budget, size

Colour = Literal["blue", "orange", "green", "red", "gray"]
STATES: dict[str, tuple[str, Colour, str]] = {
    "queued": ("Queued", "gray", "schedule"),
    "starting": ("Starting", "blue", "hourglass_top"),
    "running": ("Running", "blue", "autorenew"),
    "pausing": ("Pausing", "orange", "hourglass_bottom"),
    "paused": ("Paused", "orange", "pause_circle"),
    "stopping": ("Stopping", "orange", "hourglass_bottom"),
    "stopped": ("Stopped", "orange", "stop_circle"),
    "done": ("Finished", "green", "check_circle"),
    "incomplete": ("Incomplete", "orange", "warning"),
    "failed": ("Failed", "red", "error"),
    "lost": ("Lost", "red", "link_off"),
}
BROKEN: tuple[str, Colour, str] = ("Broken", "red", "broken_image")
_SILENT_S = 15.0  # the coordinator writes every second; a long wait for the database is shorter than this
_SPARK = 60  # trials in a small curve: more could not be told apart


def read(home: SweepFolder) -> tuple[SweepStatus, tuple[TrialRow, ...], str]:
    """Return where a sweep stands, its trials, and what is broken about it in words."""
    try:
        status, config = home.status(), home.config()
    except PoolsearchError as error:
        return SweepStatus(home.study, "failed", 0), (), str(error)
    status = replace(status, trials=status.trials or config.trials, minutes=status.minutes or config.minutes)
    try:
        rows = rows_of(home)
        if status.state in ("queued", "starting"):  # a coordinator that starts has not counted what is there
            ended = Counter(row.state for row in rows)
            status = replace(status, complete=ended["complete"], failed=ended["failed"])
        return status, rows, ""
    except PoolsearchError as error:
        # for a moment after the start the database is there and the study in it is not
        return status, (), "" if status.alive else str(error)


def objectives(home: SweepFolder) -> tuple[str, ...]:
    """Return what a sweep trades against what; the usual ones where its config can't be read."""
    try:
        return home.config().objectives
    except PoolsearchError:
        return USUAL


def head(home: SweepFolder, status: SweepStatus, broken: str) -> None:
    """Draw the title with the state, the sweep's name and its buttons in one row; of a broken one what is broken."""
    with st.container(horizontal=True, vertical_alignment="center", key="sweep-head"):
        st.title("Sweeps", width="content", anchor=False)
        words, colour, icon = BROKEN if broken else STATES[status.state]
        st.badge(words, color=colour, icon=f":material/{icon}:")
        st.markdown(f"**{as_text(status.study)}**", width="content")
        st.space("stretch")
        if st.session_state.pop("to-top", False):
            to_top(key="to-top-now")
        if not broken:
            commands.buttons(home, status)
        if not broken and status.state not in ("queued", "starting", "stopping"):
            commands.changes(home, status)
    if broken:
        st.warning(as_text(broken), icon=":material/broken_image:")


def progress(status: SweepStatus, answer: str = "") -> None:
    """Draw how much of the budget is used, of trials or of minutes, what the coordinator says, and what it answered."""
    share = status.ended / max(status.trials, 1)
    if status.minutes:
        share = max(share, status.elapsed_s / (60 * status.minutes))
    share = 1.0 if status.state in ("done", "incomplete") else min(1.0, share)
    st.progress(share, as_text(" ".join(filter(None, (f"{of_budget(status)}.", status.message, answer)))))
    if status.alive and status.silent_s > _SILENT_S:
        st.warning(
            f"The sweep has said nothing for {duration(status.silent_s)}: this machine was asleep, or is very busy.",
            icon=":material/bedtime:",
        )


def metrics(status: SweepStatus, rows: Sequence[TrialRow], traded: Sequence[str] = USUAL) -> None:
    """Draw the best figures so far, each with a small curve of how they came, and the time."""
    done = [row for row in rows if row.state == "complete"]
    seconds = [row.seconds for row in done if row.seconds is not None]
    with st.grid(4, min_column_width=150):
        for objective in reversed(axes(traded)):
            best = objective.best_of(done)
            _spark(objective.best, objective.shown(objective.of(best) if best else None), best_so_far(objective, done))
        _spark("A trial takes", _short(median(seconds)) if seconds else "–", seconds)
        with st.container(border=True, height="stretch", gap="small"):
            st.metric("Elapsed", duration(status.elapsed_s))
            st.metric("Time left", _left(status))


def best_so_far(objective: Objective, rows: Sequence[TrialRow]) -> list[float]:
    """Return the best figure up to each finished trial, as shown: in percent, ms or as it is."""
    figures = [objective.scale * value for row in rows if (value := objective.of(row)) is not None]
    return list(accumulate(figures, max if objective.higher_is_better else min))


def _spark(label: str, value: str, numbers: Sequence[float]) -> None:
    shown = list(numbers[-_SPARK:])
    drawn = len(shown) > 1
    words = f"The small curve: {len(shown)} trials, from {shown[0]:.4g} to {shown[-1]:.4g}." if drawn else None
    st.metric(label, value, border=True, height="stretch", chart_data=shown if drawn else None, help=words)


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)


def _left(status: SweepStatus) -> str:
    """Return the time left, rounded as far as it is known."""
    if not status.alive:
        return "–"
    if status.left_s is None:
        return "after 3 trials" if status.state in ("running", "starting") else "–"
    return left_in_words(status.left_s).removeprefix("about ").removesuffix(" left")


def counts(status: SweepStatus, rows: Sequence[TrialRow]) -> str:
    """Return in one line how many trials are in which state, and what the sweep uses."""
    waiting = Counter(row.state for row in rows)["waiting"]
    parts = [f"{status.complete} complete", f"{status.failed} failed", f"{len(status.running)} running"]
    parts += [f"{status.cancelled} cancelled"] if status.cancelled else []
    parts += [f"{waiting} waiting"] if waiting else []
    line = ", ".join(parts)
    if not status.alive or not status.workers:
        return f"{line}. {as_text(status.device)}" if status.device else f"{line}."
    used = [f"{status.workers} worker{'s' if status.workers != 1 else ''}"]
    used += [f"{status.cpu_percent:.0f} % of a core"] if status.cpu_percent is not None else []
    used += [f"{size(status.memory_bytes)} of memory"] if status.memory_bytes is not None else []
    return f"{line}. {', '.join(used)}. {as_text(status.device)}"
