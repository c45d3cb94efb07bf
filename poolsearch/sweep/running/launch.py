"""Start a sweep in a process of its own, which outlives whoever started it; and how long one will take here."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from statistics import mean, median
from typing import Literal

from poolsearch import files, processes
from poolsearch.config import SweepConfig, extended, to_toml
from poolsearch.devices import cores
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.measure.cost import layer_rows, totals
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.commands import in_words as in_words  # asked for by this name on pages
from poolsearch.sweep.folder.folder import Options, SweepFolder
from poolsearch.sweep.running.preflight import preflight
from poolsearch.sweep.search.space import Space, space_of
from poolsearch.sweep.study.reader import trial_rows

_MACS_PER_SECOND = 8e9  # one core of 2024 in the training loop, until something was measured here
_START_S = 5  # until the workers have imported torch
Budget = Literal["trials", "minutes"]
_children: list[subprocess.Popen[bytes]] = []  # finished ones are reaped, or they would stay as zombies


def start(config: SweepConfig, options: Options | None = None) -> SweepFolder:
    """Return the folder of the sweep that now runs, or waits for its turn, in a process of its own.

    Raises PoolsearchError before any work when the config can't be, or the name is taken.
    """
    home, chosen, made = folder.open_folder(config.study), options or Options(), False
    taken = StudyError(f"There is already a sweep called '{config.study}'. Choose another name.")
    refused = _was_refused(home)
    if home.config_file.exists() and not refused:
        raise taken
    preflight(home, config, chosen)
    try:
        with folder.writing(home.path):
            home.path.mkdir(parents=True, exist_ok=True)
            if refused:
                home.config_file.unlink(missing_ok=True)
            if not files.create(home.config_file, to_toml(config)):
                raise taken
            made = True
            home.write_options(chosen)
        _spawn(home, config, [])
    except StudyError:
        if made:  # and then could not be written on
            shutil.rmtree(home.path, ignore_errors=True)
        raise
    return home


def _was_refused(home: SweepFolder) -> bool:
    """Return whether a sweep's name is free again: it was refused before it had a study."""
    if not home.config_file.exists() or home.database.exists():
        return False
    return home.status().state in ("failed", "lost") and not home.options().name


def retime(home: SweepFolder) -> None:
    """Time all finished networks of a sweep together again, in the background. Raises StudyError when it is at work."""
    config = home.config()
    if home.status().alive:
        raise StudyError(f"The sweep '{home.study}' is running: its networks are timed together when it finishes.")
    _spawn(home, config, ["--time-again"])


def resume(home: SweepFolder, id: str = "") -> str:
    """Return the id of the command that lets a paused sweep go on, or "" when one not at work was started again.

    Raises StudyError when there is no such sweep.
    """
    config = home.config()
    if home.status().alive:
        return commands.send(home, "resume", id=id)
    _spawn(home, config, ["--resume"])
    return ""


def retry(home: SweepFolder, id: str = "") -> str:
    """Return the id of the command that lets the trials lost to deaths of their workers run again, or "" as `resume`.

    Raises StudyError when there is no such sweep, or no such trial in it.
    """
    config = home.config()
    if home.status().alive:
        return commands.send(home, "retry", id=id)
    if not any(row.kind == "crash" for row in trial_rows(home)):
        raise StudyError(f"No trial of '{home.study}' was lost to a dead worker: there is nothing to retry.")
    _spawn(home, config, ["--retry"])
    return ""


def add(home: SweepFolder, number: int, what: Budget = "trials", id: str = "") -> str:
    """Return the id of the command that gives a sweep more budget, or "" when one not at work was started again.

    Raises PoolsearchError.
    """
    command = commands.checked("extend" if what == "minutes" else "add", number, id)
    config = extended(home.config(), **{what: number})
    if home.status().alive:
        return commands.send(home, command.do, command.number, command.id)
    with folder.writing(home.path):
        home.write_config(config)
    return resume(home)


def _spawn(home: SweepFolder, config: SweepConfig, flags: list[str]) -> None:
    home.settled()
    elapsed = home.status().elapsed_s
    with folder.writing(home.path):
        home.write_status(SweepStatus(home.study, "starting", config.trials, elapsed_s=elapsed, minutes=config.minutes))
        log = home.log_file.open("ab")
    command = processes.module("poolsearch", "run", str(home.config_file), "--set", f"study={home.study}", *flags)
    environment = processes.environment(POOLSEARCH_RUNS=str(home.path.parent.absolute()))
    with log:
        # its own session: neither closing the tab nor stopping the server ends it
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, **processes.APART,
        )  # fmt: skip
    _children[:] = [old for old in _children if old.poll() is None] + [child]


def log_tail(home: SweepFolder, lines: int = 20) -> str:
    """Return the last lines that a sweep's processes wrote."""
    try:
        with home.log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * lines))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


@dataclass(frozen=True)
class Estimate:
    """What a sweep will come to on this machine."""

    plans: int  # in its space
    trials: int
    seconds: float
    source: str  # what it is reckoned from


def estimate(config: SweepConfig, workers: int | None = None) -> Estimate:
    """Return how many trials a sweep will do here, and in how many seconds: by its trials or its minutes."""
    space = space_of(config)
    per_trial, source = _from_earlier(config)
    if per_trial is None:
        per_trial, source = (
            _from_macs(config, space),
            "estimated from the MACs; nothing similar has been measured here yet",
        )
    at_once = min(workers or cores(), cores())
    trials = min(config.trials, space.n_plans)
    if config.minutes is not None:
        trials = min(trials, max(1, int((60 * config.minutes - _START_S) / per_trial * at_once)))
    return Estimate(space.n_plans, trials, _START_S + per_trial * trials / at_once, source)


def _from_earlier(config: SweepConfig) -> tuple[float | None, str]:
    for study in folder.studies():
        try:
            home = folder.open_folder(study)
            old = home.config()
            alike = (old.backbone, old.data, old.clutter) == (config.backbone, config.data, config.clutter)
            rows = trial_rows(home) if alike else ()
        except PoolsearchError:
            continue
        seconds = [row.seconds for row in rows if row.seconds]
        if len(seconds) >= 5:
            scale = config.training.epochs / old.training.epochs
            return median(seconds) * scale, f"from {len(seconds)} trials of '{study}'"
    return None, ""


def _from_macs(config: SweepConfig, space: Space) -> float:
    source = random.Random(0)
    drawn: list[int] = []
    while len(drawn) < 8:
        try:
            drawn.append(totals(layer_rows(space.plan(space.draw(source)))).macs)
        except PoolsearchError:
            continue
    images = config.clutter.images if config.data == "cluttered-digits" else 1078
    forward_and_backward = 3
    return mean(drawn) * images * config.training.epochs * forward_and_backward / _MACS_PER_SECOND + 0.7
