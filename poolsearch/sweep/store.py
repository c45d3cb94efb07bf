"""Where a sweep lives and how it is read: one folder a study, with SQLite, config, status, log and weights.

    runs/<study>/study.db  config.toml  status.json  log.txt  lease  stop  weights/<trial>.safetensors

Only the coordinator writes the study. Readers keep one opened study (opening costs 0.3 s at 600 trials).
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from poolsearch.config import NAME, SweepConfig, parse, to_toml
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.plan import Plan
from poolsearch.rows import EpochRow, SweepStatus, TrialRow
from poolsearch.sweep.front import mark_front

optuna.logging.set_verbosity(optuna.logging.ERROR)

_BUSY_S = 60  # SQLite waits this long for a lock instead of failing
_STALE_S = 15.0  # a coordinator writes its status every second; silent for this long means it is gone
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.FAIL: "failed",
    TrialState.PRUNED: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def runs_folder() -> Path:
    """Return the folder of all sweeps: POOLSEARCH_RUNS, or `runs` beside the code."""
    return Path(os.environ.get("POOLSEARCH_RUNS") or Path(__file__).parents[2] / "runs")


def folder_of(study: str) -> Path:
    """Return the folder of a study. Raises StudyError for a name that could leave the runs folder."""
    if not NAME.fullmatch(study) or study.endswith("."):
        raise StudyError(f"{study[:40]!r} is no study name: take letters, digits, spaces, dots, underscores, hyphens.")
    return runs_folder() / study


def studies() -> tuple[str, ...]:
    """Return the names of all sweeps, newest first."""
    found = [path.parent for path in runs_folder().glob("*/config.toml")]
    return tuple(path.name for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True))


def sqlite_url(study: str) -> str:
    """Return the storage URL of a study's own SQLite file."""
    return f"sqlite:///{folder_of(study) / 'study.db'}"


def read_config(study: str) -> SweepConfig:
    """Return the config a study was started with. Raises StudyError when there is no such study."""
    path = folder_of(study) / "config.toml"
    if not path.exists():
        known = ", ".join(studies()) or "none yet"
        raise StudyError(f"There is no sweep called '{study}'. Sweeps here: {known}.")
    return parse(path.read_text())


def write_config(config: SweepConfig) -> Path:
    """Return the file that now holds a sweep's config; the folder is made when missing."""
    path = folder_of(config.study) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, to_toml(config))
    return path


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never half of one."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.write_text(text)
    draft.replace(path)


# ------------------------------------------------------------------------------------------------------------ study


def _storage(url: str) -> RDBStorage:
    try:
        if not url.startswith("sqlite:///"):
            return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
        path = Path(url.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(path, timeout=_BUSY_S) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file: pages read while the coordinator writes
        connection.close()
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _BUSY_S}})
    except (sqlite3.DatabaseError, SQLAlchemyError, RuntimeError, ImportError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StudyError(f"The study's storage can't be opened ({first}). Its bytes are unchanged.") from None


def directions(config: SweepConfig) -> list[Literal["minimize", "maximize"]]:
    """Return Optuna's direction of each objective."""
    return ["maximize" if objective == "accuracy" else "minimize" for objective in config.objectives]


def open_study(config: SweepConfig, url: str | None = None, resume: bool = False) -> optuna.Study:
    """Return the study of a config, made when new.

    Raises StudyError when the name is taken (without `resume`), or when the study there has other objectives, another
    backbone, data, space or recipe: it stays as it was.
    """
    storage = _storage(url or sqlite_url(config.study))
    names = optuna.study.get_all_study_names(storage)
    if config.study not in names:
        study = optuna.create_study(study_name=config.study, storage=storage, directions=directions(config))
        study.set_user_attr("config", to_toml(config))
        return study
    study = optuna.load_study(study_name=config.study, storage=storage)
    old = study.user_attrs.get("config")
    got = [direction.name.lower() for direction in study.directions]
    if got != directions(config):
        raise StudyError(
            f"The study '{config.study}' is there already with the directions {', '.join(got)}; this config asks for "
            f"{', '.join(directions(config))}. Take another study name, or the objectives it was made with."
        )
    differ = _differences(parse(old), config) if old else ["config"]
    if differ:
        raise StudyError(
            f"The study '{config.study}' is there already with other settings: {'; '.join(differ)}. "
            "Take another study name, or the settings it was made with."
        )
    if not resume:
        done = sum(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False))
        raise StudyError(
            f"The study '{config.study}' is there already with {done} trials done. "
            "Continue it with --resume, or take another name with --set study=NAME."
        )
    return study


def _differences(old: SweepConfig, new: SweepConfig) -> list[str]:
    """Return what may not change on resume (the number of trials may)."""
    before, after = old.model_dump(), new.model_dump()
    fixed = [name for name in before if name not in ("trials", "study")]
    return [f"{name} was {before[name]}, now {after[name]}" for name in fixed if before[name] != after[name]]


def load_study(study: str, url: str | None = None) -> optuna.Study:
    """Return a study for reading. Raises StudyError when it is not there."""
    read_config(study)
    if url is None and not (folder_of(study) / "study.db").exists():
        raise StudyError(f"The sweep '{study}' has no trials yet.")
    try:
        return optuna.load_study(study_name=study, storage=_storage(url or sqlite_url(study)))
    except KeyError:
        raise StudyError(f"There is no study called '{study}' in that storage.") from None


def trial_rows(study: optuna.Study, alive: bool = True) -> tuple[TrialRow, ...]:
    """Return all trials of a study as rows, the front marked; trials of a sweep that is not alive are waiting."""
    objectives = read_objectives(study)
    together: dict[str, Any] = study.user_attrs.get("latency", {})  # measured in one round robin at the end
    rows = [_row(trial, alive, together.get(str(trial.number))) for trial in study.get_trials(deepcopy=False)]
    return mark_front(rows, objectives)


class Reader:
    """An opened study to look at again and again."""

    def __init__(self, study: str) -> None:
        self._study = load_study(study)

    def rows(self, alive: bool = True) -> tuple[TrialRow, ...]:
        """Return the trials as they are now."""
        return trial_rows(self._study, alive)


def read_objectives(study: optuna.Study) -> tuple[str, ...]:
    """Return the names of a study's objectives."""
    return parse(study.user_attrs["config"]).objectives


def _row(trial: FrozenTrial, alive: bool, together: dict[str, Any] | None) -> TrialRow:
    state: Any = _STATES[trial.state]
    result: dict[str, Any] = trial.user_attrs.get("result", {})
    timing = together or result.get("latency") or {}
    plan = Plan.parse(trial.user_attrs["plan"])
    return TrialRow(
        number=trial.number,
        state="waiting" if state == "running" and not alive else state,
        plan=plan,
        accuracy=result.get("accuracy"),
        loss=result.get("loss"),
        test_accuracy=result.get("test_accuracy"),
        latency_ms=timing.get("ms"),
        latency_low_ms=timing.get("low_ms"),
        latency_high_ms=timing.get("high_ms"),
        seconds=result.get("seconds"),
        cpu_seconds=result.get("cpu_seconds"),
        seed=trial.user_attrs.get("seed", 0),
        reason=trial.user_attrs.get("reason", ""),
        curve=tuple(EpochRow(**epoch) for epoch in result.get("curve", [])),
        published=not plan.sites,
    )


# ----------------------------------------------------------------------------------------------------------- status


def write_status(status: SweepStatus) -> None:
    """Write where a sweep stands, with the time of writing as the coordinator's sign of life."""
    path = folder_of(status.study) / "status.json"
    replace_text(path, json.dumps({**asdict(status), "written": time.time()}))


def read_status(study: str) -> SweepStatus:
    """Return where a sweep stands; a running one whose coordinator is silent is "lost"."""
    path = folder_of(study) / "status.json"
    try:
        data = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return SweepStatus(study, "starting", 0)
    silent = time.time() - data.pop("written", 0.0) > _STALE_S
    data["running"] = tuple((number, text) for number, text in data["running"])
    status = SweepStatus(**data)
    if silent and status.alive:
        return SweepStatus(**{**data, "state": "lost", "message": "The coordinator stopped without a word."})
    return status


def weights_file(study: str, number: int) -> Path:
    """Return where the trained weights of a trial are kept."""
    return folder_of(study) / "weights" / f"{number}.safetensors"


def find_trial(study: str, number: int) -> TrialRow:
    """Return one trial of a study. Raises StudyError when it isn't there."""
    rows = trial_rows(load_study(study), alive=False)
    if not 0 <= number < len(rows):
        raise PoolsearchError(f"The sweep '{study}' has trials 0 to {len(rows) - 1}, got {number}.")
    return rows[number]
