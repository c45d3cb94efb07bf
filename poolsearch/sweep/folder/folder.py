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


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep, there or not yet. `open_folder` makes it, and checks the name once.

    What is in it is read at each call: the coordinator writes there while others look.
    """

    path: Path
    study: str  # the sweep's name, in the composed form

    # ------------------------------------------------------------------------------------------------------- its files

    @property
    def config_file(self) -> Path:
        """Return where the config is kept: a sweep is there when this file is."""
        return self.path / "config.toml"

    @property
    def database(self) -> Path:
        """Return where the study is kept, unless the options name another storage."""
        return self.path / "study.db"

    @property
    def log_file(self) -> Path:
        """Return what the sweep's processes write to."""
        return self.path / "log.txt"

    @property
    def commands(self) -> Path:
        """Return the folder of commands that nobody has carried out yet; in it `done` has the others."""
        return self.path / "commands"

    def weights_file(self, number: int) -> Path:
        """Return where the trained weights of a trial are kept."""
        return self.path / "weights" / f"{number}.safetensors"

    def result_file(self, number: int) -> Path:
        """Return where the figures of a trial wait until the database has them."""
        return self.path / "results" / f"{number}.json"

    # ---------------------------------------------------------------------------------------------- config and options

    def config(self) -> SweepConfig:
        """Return the config that the sweep was started with. Raises StudyError when there is no such sweep."""
        try:
            text = self.config_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise missing(self.study) from None
        except (OSError, UnicodeDecodeError):
            raise StudyError(f"The config of the sweep '{self.study}' can't be read: {self.config_file}.") from None
        return parse(text).model_copy(update={"study": self.study})

    def write_config(self, config: SweepConfig) -> None:
        """Keep the config; the folder is made when missing."""
        self.path.mkdir(parents=True, exist_ok=True)
        files.replace(self.config_file, to_toml(config))

    def options(self) -> Options:
        """Return where and on what the sweep last ran; the defaults where it never did.

        Raises StudyError where the file is damaged: it says where the study is, and another one must not start in
        silence.
        """
        path = self.path / "options.json"
        try:
            return _OPTIONS.validate_json(json.dumps(files.read_json(path)), strict=True)
        except FileNotFoundError:
            status = self.status()
            if not status.complete + status.failed or self.database.exists():
                return Options()
            reason = "is missing"
        except (OSError, ValueError) as error:
            reason = f"is damaged ({_why(error)})"
        raise StudyError(
            f"'{path}' {reason}. It records where the study of '{self.study}' is kept: restore a copy. If the study "
            'is in the folder itself (study.db), write {} into the file; otherwise {"storage": "URL", "name": "NAME"}.'
        )

    def write_options(self, options: Options) -> None:
        """Keep where and on what the sweep runs, in its folder, which is there."""
        files.replace(self.path / "options.json", json.dumps(asdict(options)))

    # ---------------------------------------------------------------------------------------- who runs it, and how far

    def holder(self) -> str | None:
        """Return who runs the sweep ("process 42 on host"), or None when nobody does."""
        return holder(self.path)

    def status(self) -> SweepStatus:
        """Return how far the sweep is; "lost" where its coordinator's process is gone, which no clock decides."""
        try:
            data = files.read_json(self.path / "status.json")
            silent_s = max(0.0, time.time() - data.pop("written"))
            status = _STATUS.validate_python({**data, "study": self.study, "silent_s": silent_s})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, damaged, or of another version
            status = SweepStatus(self.study, "starting" if self.holder() else "stopped", 0)
        if status.alive and not self.holder():
            if status.state == "starting" and status.silent_s < 30:  # the process was started and has no lease yet
                return status
            return replace(status, state="lost", running=(), message="Its process is gone. It can be resumed.")
        return status

    def write_status(self, status: SweepStatus) -> None:
        """Write how far the sweep is, and when."""
        text = json.dumps({**asdict(status), "written": time.time()})
        files.replace(self.path / "status.json", text, flush=False)

    def settled(self) -> str | None:
        """Return who runs the sweep, None when nobody does; one that has ended is given a moment to be gone."""
        deadline = time.monotonic() + _PARTING_S
        while (who := self.holder()) and not self.status().alive and time.monotonic() < deadline:
            time.sleep(0.05)
        return who


def open_folder(study: str) -> SweepFolder:
    """Return the folder of a sweep, there or not. Raises StudyError for a name that could leave the runs folder."""
    name = study_name.normal(study)
    if not study_name.is_possible(name):
        raise StudyError(f"{study[:40]!r} is not a valid study name: {study_name.POSSIBLE}.")
    return SweepFolder(runs_folder() / name, name)


def existing_folder(study: str) -> SweepFolder:
    """Return the folder of a sweep that is there, its config broken or not. Raises StudyError when there is none."""
    home = open_folder(study)
    if not home.path.is_dir():
        raise missing(study)
    return home


def studies() -> tuple[str, ...]:
    """Return the names of all sweeps, newest first; folders whose name could not be a sweep's are left alone."""
    folders = [path.parent for path in runs_folder().glob("*/config.toml") if study_name.is_possible(path.parent.name)]
    return tuple(path.name for path in sorted(folders, key=_started, reverse=True))


def _started(folder: Path) -> float:
    try:
        return (folder / "config.toml").stat().st_mtime
    except OSError:  # deleted just now
        return 0.0


def missing(study: str) -> StudyError:
    """Return the refusal of a name that no sweep has: with the nearest, and the newest of those that are there."""
    known = studies()
    near = difflib.get_close_matches(study, known, n=1, cutoff=0.5)
    guess = f" Did you mean '{near[0]}'?" if near else ""
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return StudyError(
        f"There is no sweep called '{study}'.{guess} Sweeps here: {', '.join(known[:_NAMED]) or 'none yet'}{more}."
    )


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say in one sentence why something in a sweep's folder can't be written."""
    try:
        yield
    except OSError as error:
        more = "Free some space." if files.is_full(error) else "Set POOLSEARCH_RUNS to a writable folder."
        raise StudyError(f"'{place}' can't be written ({error.strerror}). {more}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg'].lower()}"
    return shortened((isinstance(error, OSError) and error.strerror) or str(error))


# ----------------------------------------------------------------------------------------------- rename and delete


def rename(home: SweepFolder, name: str) -> SweepFolder:
    """Return the folder of a sweep under another name.

    Raises StudyError when the sweep is not there or at work, or the name is taken or impossible.
    """
    home.config()
    _at_rest(home, "renamed")
    target = open_folder(name)
    if target.path.exists():
        raise StudyError(f"There is already a sweep called '{name}'. Choose another name.")
    options = home.options()
    with writing(target.path):
        home.write_options(replace(options, name=options.name or home.study))
        home.path.rename(target.path)  # the name of the folder is what counts ...
        target.write_config(target.config())  # ... and a reader of the file is not misled
    return target


def delete(home: SweepFolder) -> None:
    """Remove a sweep's folder: its trials, figures and weights. Raises StudyError when it is at work.

    What it kept in a database elsewhere stays there, as `stays` says.
    """
    if not home.path.is_dir():  # one with a broken config can be deleted
        raise missing(home.study)
    _at_rest(home, "deleted")
    out_of_sight = runs_folder() / f".deleted-{time.time_ns()}"  # one rename: no reader sees half a sweep
    with writing(home.path):
        home.path.rename(out_of_sight)
    shutil.rmtree(out_of_sight, ignore_errors=True)


def stays(home: SweepFolder) -> str:
    """Return, in words, what is left elsewhere when a sweep is deleted; "" when nothing is."""
    try:
        options = home.options()
    except StudyError:
        return "Where its study was kept could not be read: if that was a database elsewhere, the study is still there."
    if not options.storage:
        return ""
    line = ["optuna", "delete-study", "--storage", options.storage, "--study-name", options.name or home.study]
    return f"Its study remains in the database. To remove it: {shlex.join(line)}"


def _at_rest(home: SweepFolder, word: str) -> None:
    who = home.settled()
    if who:
        raise StudyError(f"The sweep '{home.study}' is being run by {who} and can't be {word}. Stop it first.")
