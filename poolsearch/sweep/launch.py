"""Start, watch and stop a sweep from another process: the page's side of it. The sweep outlives whoever started it."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean, median

from poolsearch.config import SweepConfig
from poolsearch.devices import cores
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.measure.cost import layer_rows, totals
from poolsearch.rows import SweepStatus
from poolsearch.sweep import store
from poolsearch.sweep.space import space_of

_ROOT = Path(__file__).parents[2]
_MACS_PER_SECOND = 8e9  # one core of 2024 in the training loop, until something was measured here
_children: list[subprocess.Popen[bytes]] = []  # finished ones are reaped, or they would stay as zombies


def command_of(study: str, resume: bool = False) -> list[str]:
    """Return the command that runs a study's stored config."""
    config = store.folder_of(study) / "config.toml"
    path = config.relative_to(_ROOT) if config.is_relative_to(_ROOT) else config
    return ["python", "experiments/sweep.py", str(path), *(["--resume"] if resume else [])]


def in_words(command: list[str]) -> str:
    """Return a command as one would type it."""
    return shlex.join(command)


def running() -> str | None:
    """Return the name of the sweep that is at work, or None."""
    return next((study for study in store.studies() if store.read_status(study).alive), None)


def start(config: SweepConfig, resume: bool = False) -> str:
    """Return the name of the sweep that now runs in a process of its own.

    Raises PoolsearchError before any work when the config can't be, the name is taken, or another sweep is at work.
    """
    space_of(config)
    busy = running()
    if busy:
        raise PoolsearchError(f"The sweep '{busy}' is at work. Wait for it or stop it: timing needs the machine alone.")
    if not resume and config.study in store.studies():
        raise StudyError(f"There is a sweep called '{config.study}' already. Take another name.")
    store.write_config(config)
    folder = store.folder_of(config.study)
    (folder / "stop").unlink(missing_ok=True)
    store.write_status(SweepStatus(config.study, "starting", config.trials))
    command = [sys.executable, *command_of(config.study, resume)[1:]]
    with (folder / "log.txt").open("ab") as log:
        # its own session: neither closing the tab nor stopping the server ends it
        child = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "POOLSEARCH_RUNS": str(store.runs_folder())},
        )  # fmt: skip
    _children[:] = [old for old in _children if old.poll() is None] + [child]
    return config.study


def stop(study: str) -> None:
    """Ask a sweep to stop; it ends within seconds and can be continued."""
    (store.folder_of(study) / "stop").touch()


def log_tail(study: str, lines: int = 20) -> str:
    """Return the last lines that a sweep's processes wrote."""
    path = store.folder_of(study) / "log.txt"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def estimate(config: SweepConfig) -> tuple[float, str]:
    """Return how long a sweep will take here in seconds, and what that is reckoned from."""
    per_trial, source = _from_earlier(config)
    if per_trial is None:
        per_trial, source = _from_macs(config), "reckoned from the MACs; nothing like it was measured here yet"
    return 8 + per_trial * config.trials / cores(), source


def _from_earlier(config: SweepConfig) -> tuple[float | None, str]:
    for study in store.studies():
        try:
            old = store.read_config(study)
            alike = (old.backbone, old.data, old.clutter) == (config.backbone, config.data, config.clutter)
            rows = store.trial_rows(store.load_study(study), alive=False) if alike else ()
        except PoolsearchError:
            continue
        seconds = [row.seconds for row in rows if row.seconds]
        if len(seconds) >= 5:
            scale = config.training.epochs / old.training.epochs
            return median(seconds) * scale, f"from {len(seconds)} trials of '{study}'"
    return None, ""


def _from_macs(config: SweepConfig) -> float:
    space, source = space_of(config), random.Random(0)
    drawn: list[int] = []
    while len(drawn) < 8:
        try:
            drawn.append(totals(layer_rows(space.plan(space.draw(source)))).macs)
        except PoolsearchError:
            continue
    images = config.clutter.images if config.data == "cluttered-digits" else 1078
    forward_and_backward = 3
    return mean(drawn) * images * config.training.epochs * forward_and_backward / _MACS_PER_SECOND + 0.7
