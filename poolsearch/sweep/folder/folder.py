"""The folder of a sweep: runs/<study>/, with everything that is not in the study's database.

    config.toml  options.json  status.json  log.txt  lease  commands/  results/<trial>.json  weights/<trial>.safetensors

The folder's name is the sweep's name, so renaming a sweep is one rename.
"""

from __future__ import annotations

import difflib
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from poolsearch import files, study_name
from poolsearch.config import SweepConfig, parse, to_toml
from poolsearch.errors import StudyError, is_text, shortened
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder.lease import holder

_NAMED = 10  # sweeps in a refusal
_PARTING_S = 10.0  # between a sweep's last status and the end of its process: its workers are ended in that time
Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class Options:
    """Where and on what a sweep runs: what may differ between two runs of one study."""

    engine: Engine = "local"
    workers: int | None = None  # None: one a core, or one a GPU
    device: str = "auto"
    storage: str | None = None  # SQLAlchemy URL without a password; None: a SQLite file in the folder
    name: str | None = None  # of the study in the storage, where the sweep was renamed since
    address: str | None = None  # of a Ray cluster
    gpu_model: str | None = None  # of a Ray cluster that has several


_OPTIONS, _STATUS = TypeAdapter(Options), TypeAdapter(SweepStatus)


def runs_folder() -> Path:
    """Return the folder of all sweeps: POOLSEARCH_RUNS, or `runs` in the working folder."""
    wanted = os.environ.get("POOLSEARCH_RUNS") or str(Path.cwd() / "runs")
    if not is_text(wanted):
        raise StudyError(f"POOLSEARCH_RUNS is {wanted!r}: control characters and broken UTF-8 are not possible there.")
    return Path(wanted)


def folder_of(study: str) -> Path:
    """Return the folder of a sweep. Raises StudyError for a name that could leave the runs folder."""
    name = study_name.normal(study)
    if not study_name.is_possible(name):
        raise StudyError(f"{study[:40]!r} is not a valid study name: {study_name.POSSIBLE}.")
    return runs_folder() / name


def studies() -> tuple[str, ...]:
    """Return the names of all sweeps, newest first; folders whose name could not be a sweep's are left alone."""
    found = [path.parent for path in runs_folder().glob("*/config.toml") if study_name.is_possible(path.parent.name)]
    return tuple(path.name for path in sorted(found, key=_started, reverse=True))


def _started(folder: Path) -> float:
    try:
        return (folder / "config.toml").stat().st_mtime
    except OSError:  # deleted just now
        return 0.0


def read_config(study: str) -> SweepConfig:
    """Return the config a sweep was started with. Raises StudyError when there is no such sweep."""
    try:
        text = (folder_of(study) / "config.toml").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise missing(study) from None
    except (OSError, UnicodeDecodeError):
        raise StudyError(f"The config of the sweep '{study}' can't be read: {folder_of(study)}/config.toml.") from None
    return parse(text).model_copy(update={"study": study_name.normal(study)})


def missing(study: str) -> StudyError:
    """Return the refusal of a name that no sweep has: with the nearest, and the newest of those that are there."""
    known = studies()
    near = difflib.get_close_matches(study, known, n=1, cutoff=0.5)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return StudyError(
        f"There is no sweep called '{study}'.{guess} Sweeps here: {', '.join(known[:_NAMED]) or 'none yet'}{more}."
    )


def find(study: str) -> Path:
    """Return the folder of a sweep that is there, its config broken or not. Raises StudyError when there is none."""
    place = folder_of(study)
    if not place.is_dir():
        raise missing(study)
    return place


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say in one sentence why something in a sweep's folder can't be written."""
    try:
        yield
    except OSError as error:
        more = "Free some space." if files.is_full(error) else "Set POOLSEARCH_RUNS to a folder that can."
        raise StudyError(f"'{place}' can't be written ({error.strerror}). {more}") from None


def write_config(config: SweepConfig) -> Path:
    """Return the file that now holds a sweep's config; the folder is made when missing."""
    path = folder_of(config.study) / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, to_toml(config))
    return path


def write_options(study: str, options: Options) -> None:
    """Keep where and on what a sweep runs, in its folder, which is there."""
    files.replace(folder_of(study) / "options.json", json.dumps(asdict(options)))


def read_options(study: str) -> Options:
    """Return where and on what a sweep last ran; the defaults where it never did.

    Raises StudyError where the file is damaged: it says where the study is, and another one must not begin in silence.
    """
    place = folder_of(study)
    path = place / "options.json"
    try:
        return _OPTIONS.validate_json(json.dumps(files.read_json(path)), strict=True)
    except FileNotFoundError:
        status = read_status(study)
        if not status.complete + status.failed or (place / "study.db").exists():
            return Options()
        reason = "is missing"
    except (OSError, ValueError) as error:
        reason = f"is damaged ({_why(error)})"
    raise StudyError(
        f"'{path}' {reason}. It says where the study of '{study}' is kept: put a copy back. Where the study is in the "
        'folder itself (study.db), write {} into the file; else {"storage": "URL", "name": "NAME"}.'
    )


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg'].lower()}"
    return shortened((isinstance(error, OSError) and error.strerror) or str(error))


def weights_file(study: str, number: int) -> Path:
    """Return where the trained weights of a trial are kept."""
    return folder_of(study) / "weights" / f"{number}.safetensors"


def result_file(study: str, number: int) -> Path:
    """Return where the figures of a trial wait until the database has them."""
    return folder_of(study) / "results" / f"{number}.json"


# ----------------------------------------------------------------------------------------------------------- status


def write_status(status: SweepStatus) -> None:
    """Write where a sweep stands, and when."""
    path = folder_of(status.study) / "status.json"
    files.replace(path, json.dumps({**asdict(status), "written": time.time()}), flush=False)


def read_status(study: str) -> SweepStatus:
    """Return where a sweep stands. One whose coordinator's process is gone is "lost": processes tell that, no clock."""
    try:
        data = files.read_json(folder_of(study) / "status.json")
        silent_s = max(0.0, time.time() - data.pop("written"))
        status = _STATUS.validate_python({**data, "study": study, "silent_s": silent_s})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, damaged, or of another version
        status = SweepStatus(study, "starting" if holder(folder_of(study)) else "stopped", 0)
    if status.alive and not holder(folder_of(study)):
        if status.state == "starting" and status.silent_s < 30:  # the process was started and has no lease yet
            return status
        return replace(status, state="lost", running=(), message="Its process is gone. It can be resumed.")
    return status


# ----------------------------------------------------------------------------------------------- rename and delete


def rename(study: str, name: str) -> None:
    """Give a sweep another name. Raises StudyError when it is at work, or the name is taken or impossible."""
    read_config(study)
    _at_rest(study, "renamed")
    target = folder_of(name)
    if target.exists():
        raise StudyError(f"There is a sweep called '{name}' already. Take another name.")
    options = read_options(study)
    with writing(target):
        write_options(study, replace(options, name=options.name or study_name.normal(study)))
        folder_of(study).rename(target)  # the name of the folder is what counts ...
        files.replace(target / "config.toml", to_toml(read_config(name)))  # ... and a reader of the file is not misled


def delete(study: str) -> None:
    """Remove a sweep's folder: its trials, figures and weights. Raises StudyError when it is at work.

    What it kept in a database elsewhere stays there, as `stays` says.
    """
    place = find(study)  # one with a broken config can be deleted
    _at_rest(study, "deleted")
    out_of_sight = runs_folder() / f".deleted-{time.time_ns()}"  # one rename: no reader sees half a sweep
    with writing(place):
        place.rename(out_of_sight)
    shutil.rmtree(out_of_sight, ignore_errors=True)


def stays(study: str) -> str:
    """Return, in words, what is left elsewhere when a sweep is deleted; "" when nothing is."""
    try:
        options = read_options(study)
    except StudyError:
        return "Where its study was kept could not be read: if that was a database elsewhere, the study is there still."
    if not options.storage:
        return ""
    words = ["optuna", "delete-study", "--storage", options.storage, "--study-name", options.name or study]
    return f"Its study stays in the database. Remove it there: {shlex.join(words)}"


def settled(study: str) -> str | None:
    """Return who runs a sweep, None when nobody does; one that has ended is given a moment to be gone."""
    deadline = time.monotonic() + _PARTING_S
    while (who := holder(folder_of(study))) and not read_status(study).alive and time.monotonic() < deadline:
        time.sleep(0.05)
    return who


def _at_rest(study: str, word: str) -> None:
    who = settled(study)
    if who:
        raise StudyError(f"The sweep '{study}' is run by {who} and can't be {word} now. Stop it first.")
