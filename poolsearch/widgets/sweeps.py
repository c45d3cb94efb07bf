"""The sidebar and the live card of "Sweeps". A sweep lives in its own process; the page only reads."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import streamlit as st

from poolsearch.backbones import BACKBONES
from poolsearch.config import Space, SweepConfig, Training, parse, to_toml
from poolsearch.datasets import DATASETS
from poolsearch.errors import PoolsearchError
from poolsearch.kinds import KINDS, WINDOWED
from poolsearch.rows import SweepStatus
from poolsearch.sweep import launch, store
from poolsearch.tables import duration, left_in_words
from poolsearch.widgets.cached import rows_of

Colour = Literal["blue", "orange", "green", "red"]
BADGES: dict[str, tuple[str, Colour, str]] = {
    "starting": ("Starting", "blue", "hourglass_top"),
    "running": ("Running", "blue", "autorenew"),
    "stopping": ("Stopping", "orange", "hourglass_bottom"),
    "stopped": ("Stopped", "orange", "stop_circle"),
    "done": ("Finished", "green", "check_circle"),
    "failed": ("Failed", "red", "error"),
    "lost": ("Lost contact", "red", "link_off"),
}
_INPUTS = {"smallnet": "1x20x20"}
_TRIALS_MOST, _EPOCHS_MOST = 500, 50  # one click must not keep a machine for a week; the shell has no such limit


def setup() -> str | None:
    """Draw the sidebar; return the sweep to show, or None when there is none."""
    with st.sidebar:
        names = store.studies()
        if "show-next" in st.session_state:  # the sweep that was just started
            st.session_state["sweep"] = st.session_state.pop("show-next")
        shown = None
        if names:
            shown = st.selectbox("Show", names, key="sweep", bind="query-params")
        with st.expander("New sweep", expanded=not names, icon=":material/add:"):
            _new_sweep()
    return shown


def _new_sweep() -> None:
    suggested = st.session_state.setdefault("suggested", f"sweep-{datetime.now():%m%d-%H%M%S}")
    name = st.text_input("Name", suggested, max_chars=64, key="new-name")
    network = st.selectbox("Network", list(BACKBONES), format_func=lambda key: BACKBONES[key].label, key="new-network")
    data = st.selectbox("Data", list(DATASETS), key="new-data")
    trials = st.number_input("Trials", 2, _TRIALS_MOST, 24, key="new-trials")
    epochs = st.number_input("Epochs a trial", 1, _EPOCHS_MOST, 3, key="new-epochs")
    kinds = st.multiselect(
        "Poolings", WINDOWED, ["max", "avg", "lp", "max-blur", "conv"], lambda kind: KINDS[kind].label, key="new-kinds"
    )
    try:
        config = _config(name, network, data, int(trials), int(epochs), tuple(kinds))
        seconds, source = launch.estimate(config)
    except PoolsearchError as error:
        st.warning(str(error), title="This sweep can't start")
        return
    st.caption(f"About {duration(seconds)} on this machine, {source}.")
    if st.button("Start sweep", type="primary", icon=":material/play_arrow:", key="start", width="stretch"):
        _start(config)


def _config(name: str, network: str, data: str, trials: int, epochs: int, kinds: tuple[str, ...]) -> SweepConfig:
    """Return the config of the form. It goes through TOML, so that the form is checked as a file would be."""
    if not kinds:
        raise PoolsearchError("Choose one pooling at least.")
    first = {"smallnet": {"stage1": {"stride": (2,)}}}.get(
        network, {}
    )  # stride 1 at full size costs ten times the rest
    size = _INPUTS.get(network, "3x64x64")
    config = SweepConfig.model_construct(
        study=name, backbone=f"{network}/{size}", data=data, trials=trials, training=Training(epochs=epochs),
        space=Space.model_validate({"kinds": kinds, **first}),
    )  # fmt: skip
    return parse(to_toml(config))


def _start(config: SweepConfig) -> None:
    try:
        launch.start(config)
    except PoolsearchError as error:
        st.warning(str(error), title="This sweep can't start")
        return
    del st.session_state["suggested"]
    st.session_state["show-next"] = config.study
    st.rerun()


def is_alive(study: str) -> bool:
    """Return whether a sweep's coordinator is at work."""
    return store.read_status(study).alive


def card(study: str) -> SweepStatus:
    """Draw where a sweep stands, with its stop button; return it."""
    status, rows = store.read_status(study), rows_of(study)
    done = [row for row in rows if row.state == "complete"]
    with st.container(border=True, key="card"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                words, colour, icon = BADGES[status.state]
                st.badge(words, color=colour, icon=f":material/{icon}:")
                st.markdown(f"**{study}**", width="content")
            _buttons(study, status)
        share = (status.complete + status.failed) / max(status.trials, 1)
        st.progress(min(1.0, share), _progress(status))
        with st.grid(4, min_column_width=130):
            best = max((row.accuracy or 0 for row in done), default=None)
            fastest = min((row.latency_ms or 0 for row in done), default=None)
            st.metric(
                "Best accuracy", f"{100 * best:.1f} %" if best is not None else "–", border=True, height="stretch"
            )
            st.metric("Fastest", f"{fastest:.2f} ms" if fastest is not None else "–", border=True, height="stretch")
            st.metric("Elapsed", duration(status.elapsed_s), border=True, height="stretch")
            st.metric("Time left", _left(status), border=True, height="stretch")
    return status


def _left(status: SweepStatus) -> str:
    if not status.alive or not status.left_s:
        return "–"
    return left_in_words(status.left_s).removeprefix("about ").removesuffix(" left")


def _progress(status: SweepStatus) -> str:
    ended = status.complete + status.failed
    failed = f", {status.failed} failed" if status.failed else ""
    early = status.alive and ended < 3
    words = "The time left is known after 3 trials." if early else status.message
    return f"{ended} of {status.trials} trials{failed}. {words}"


def _buttons(study: str, status: SweepStatus) -> None:
    if status.alive:
        asked = (store.folder_of(study) / "stop").exists()
        words = "Stopping" if asked else "Stop"
        st.button(words, icon=":material/stop:", key="stop", on_click=launch.stop, args=(study,), disabled=asked)
    elif status.state in ("stopped", "lost", "failed") and st.button(
        "Continue", icon=":material/play_arrow:", key="continue"
    ):
        try:
            launch.start(store.read_config(study), resume=True)
            st.rerun()
        except PoolsearchError as error:
            st.warning(str(error))


def last_trials(study: str, count: int = 8) -> None:
    """Draw the newest trials as a table with their learning curves; failed ones with their reason."""
    rows = sorted((row for row in rows_of(study) if row.state != "waiting"), key=lambda row: -row.number)[:count]
    if not rows:
        st.caption("No trial has begun yet: the workers are starting.")
        return
    table = [
        {
            "trial": row.number,
            "state": "on the front" if row.on_front else row.state,
            "accuracy, %": None if row.accuracy is None else 100 * row.accuracy,
            "latency, ms": row.latency_ms,
            "learning": [epoch.accuracy for epoch in row.curve] or None,
            "changes": row.reason or str(row.plan).partition(": ")[2] or "none: the published network",
        }
        for row in rows
    ]
    st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        column_config={
            "state": st.column_config.TextColumn("state", width=115),
            "accuracy, %": st.column_config.ProgressColumn("accuracy, %", format="%.1f", min_value=0, max_value=100),
            "latency, ms": st.column_config.NumberColumn("latency, ms", format="%.2f"),
            "learning": st.column_config.LineChartColumn("learning", y_min=0, y_max=1, width="small"),
            "trial": st.column_config.NumberColumn("trial", width=60),
        },
    )


def command(study: str) -> str:
    """Return the command line that runs or continues this sweep."""
    return launch.in_words(launch.command_of(study, resume=True))


def log(study: str) -> str:
    """Return the end of a sweep's log."""
    return launch.log_tail(study)
