"""The view "New": a backbone, what may stand at its sites, data and a budget become a config that can start.

The form is checked as a file would be: it goes through TOML.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import streamlit as st

from poolsearch.app.controls import links
from poolsearch.app.controls.plain import as_text
from poolsearch.app.views.sweeps.sites import KERNELS, STRIDES, numbers, site_table
from poolsearch.config import TRIALS_MOST, SiteSpace, Space, SweepConfig, Training, parse, to_toml
from poolsearch.data.datasets import DATASETS
from poolsearch.devices import default_workers, resolve
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.networks.backbones import BACKBONES, backbone, known, label
from poolsearch.plan.kinds import KINDS, windowed
from poolsearch.sweep.folder import folder
from poolsearch.sweep.running import launch
from poolsearch.units import count, duration

_KINDS = ("max", "avg", "lp", "max-blur", "conv")


def form() -> None:
    """Draw the form, what the sweep will come to, and the button that starts it."""
    chosen = _network()
    common = _common_space()
    sites = site_table(*chosen)
    budget = _budget()
    workers = int(budget.pop("workers"))
    try:
        config = config_of(chosen[0], chosen[1], {**budget, "space": {**common, "sites": sites}})
        plans, trials, seconds, source = _outlook(to_toml(config), workers)
    except PoolsearchError as error:
        _start_row(None, workers, str(error))
        return
    words = f"About {trials} trials in {duration(seconds)} on this machine, {source}. "
    _start_row(config, workers, f"{words}The space holds {_many(plans)} Plans.")


def config_of(network: str, side: int, said: Mapping[str, Any]) -> SweepConfig:
    """Return the config of a form. Raises PoolsearchError for what can't be, in one sentence."""
    space = said["space"]
    for word, what in (("kinds", "pooling"), ("kernel", "kernel"), ("stride", "stride")):
        if not space[word]:
            raise PoolsearchError(f"No {what} is chosen for all sites. Choose one at least.")
    if folder.open_folder(said["study"]).config_file.exists():
        raise StudyError(f"There is already a sweep called '{said['study']}'. Choose another name.")
    channels = backbone(network).size[0]
    sites = {name: SiteSpace.model_construct(**own) for name, own in space["sites"].items()}
    plain = {key: value for key, value in said.items() if key not in ("space", "epochs")}
    config = SweepConfig.model_construct(
        **plain,
        backbone=f"{network}/{channels}x{side}x{side}",
        space=Space.model_construct(**{**space, "sites": sites}),
        training=Training.model_construct(epochs=said["epochs"]),
    )
    return parse(to_toml(config))


def _many(number: int) -> str:
    return f"{number:,}" if number < 1_000_000 else count(number)


@st.cache_data(max_entries=64, ttl=30, show_spinner=False)  # the estimate learns from sweeps that end meanwhile
def _outlook(toml: str, workers: int) -> tuple[int, int, float, str]:
    """Return how many Plans the space holds, and how many trials in how many seconds, by what."""
    found = launch.estimate(parse(toml), workers)
    return found.plans, found.trials, found.seconds, found.source


# --------------------------------------------------------------------------------------------------------- the form


def _network() -> tuple[str, int]:
    if links.arriving() and (asked := links.one_of("network", "Backbone", known())):
        st.session_state["new-network"] = asked
    suggested = st.session_state.setdefault("suggested", f"sweep-{datetime.now():%m%d-%H%M%S}")
    with st.grid(4, min_column_width=170):
        st.text_input("Name", suggested, max_chars=64, key="new-name", persist_state="page")
        network = st.selectbox(
            "Backbone",
            known(),
            format_func=label,
            key="new-network",
            persist_state="page",
        )
        usual = backbone(network).size[1]
        side = usual if usual <= 64 else 64 if network in BACKBONES else min(usual, 128)
        asked_size = links.number("size", "Input size", 8, 512, whole=True) if links.arriving() else None
        st.session_state.setdefault(f"new-size-{network}", int(asked_size or side))
        chosen = st.number_input(
            "Input size, pixels", 8, 512, key=f"new-size-{network}", help="Square.", persist_state="page"
        )
        st.selectbox("Data", list(DATASETS), key="new-data", persist_state="page")
    for key, value in (("network", network), ("size", int(chosen))):
        links.settle(key, value)
        links.write(key, str(value))
    return network, int(chosen)


def _common_space() -> dict[str, Any]:
    left, middle, right = st.columns([3, 1, 1], gap="small")
    kinds = left.multiselect(
        "Poolings at all sites",
        windowed(),
        _KINDS,
        lambda kind: KINDS[kind].label,
        key="new-kinds",
        persist_state="page",
    )
    kernels = middle.multiselect("Kernels", KERNELS, ("2", "3"), key="new-kernels", persist_state="page")
    strides = right.multiselect("Strides", STRIDES, ("1", "2"), key="new-strides", persist_state="page")
    return {"kinds": tuple(kinds), "kernel": numbers(kernels), "stride": numbers(strides)}


def _budget() -> dict[str, Any]:
    columns = st.columns([1.4, 1, 1, 1, 1], gap="small")
    with columns[0]:
        kind = st.segmented_control(
            "Budget", ("Trials", "Minutes"), default="Trials", required=True, key="new-budget", persist_state="page"
        )
    with columns[1]:
        if kind == "Trials":
            trials = st.number_input("Trials", 2, TRIALS_MOST, 24, key="new-trials", persist_state="page")
            budget: dict[str, Any] = {"trials": int(trials)}
        else:
            minutes = st.number_input("Minutes", 1, 100_000, 5, key="new-minutes", persist_state="page")
            budget = {"trials": TRIALS_MOST, "minutes": float(minutes)}
    epochs = columns[2].number_input("Epochs a trial", 1, 1000, 3, key="new-epochs", persist_state="page")
    seed = columns[3].number_input("Seed", 0, 1_000_000, 0, key="new-seed", persist_state="page")
    workers = columns[4].number_input(
        "Workers", 1, 256, default_workers(resolve("auto")), key="new-workers", persist_state="page",
        help="Processes that train at the same time; one a core, or one a GPU.",
    )  # fmt: skip
    said = {"study": st.session_state["new-name"], "data": st.session_state["new-data"], "workers": workers}
    return {**budget, **said, "epochs": int(epochs), "seed": int(seed)}


# -------------------------------------------------------------------------------------------------------- the start


def _start_row(config: SweepConfig | None, workers: int, words: str) -> None:
    refused = st.session_state.pop("start-refused", "")
    toml = "" if config is None else to_toml(config)
    name = "sweep" if config is None else config.study
    buttons, about = st.columns([2, 3], gap="small", vertical_alignment="center")
    with buttons, st.container(horizontal=True):
        st.button(
            "Start sweep", type="primary", icon=":material/play_arrow:", key="start", on_click=_start,
            args=(config, workers), disabled=config is None,
        )  # fmt: skip
        st.download_button(
            "Config, TOML", toml, f"{name}.toml", "application/toml", key="take-config", icon=":material/download:",
            on_click="ignore", disabled=config is None,
        )  # fmt: skip
    if config is None:
        about.warning(as_text(words), icon=":material/block:")
    else:
        about.caption(as_text(words))
    if refused:
        st.warning(as_text(refused), title="This sweep can't start", icon=":material/block:")
    if config:
        st.caption("The same in a shell, with that file:")
        st.code(launch.in_words("start", f"{name}.toml", "--workers", workers), language="bash")


def _start(config: SweepConfig, workers: int) -> None:
    """Start a sweep, and show it next."""
    try:
        launch.start(config, folder.Options(workers=workers))
    except PoolsearchError as error:
        st.session_state["start-refused"] = str(error)
        return
    st.session_state["suggested"] = f"sweep-{datetime.now():%m%d-%H%M%S}"
    st.session_state.pop("new-name", None)
    st.session_state["sweep"], st.session_state["pane"] = config.study, "Watch"
    st.session_state["to-top"] = True  # the button stands below what is shown next
