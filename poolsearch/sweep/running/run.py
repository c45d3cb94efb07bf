"""One run of a sweep in this process: everything is checked, then held, then worked on, then given back."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TextIO

import psutil

from poolsearch import devices, files, processes
from poolsearch.config import SweepConfig
from poolsearch.data import datasets
from poolsearch.errors import GoneError, PoolsearchError, StudyError
from poolsearch.objectives import OBJECTIVES
from poolsearch.records.sweep import SweepStatus, TrialRow
from poolsearch.sweep.engines.engine import Engine
from poolsearch.sweep.engines.local import LocalEngine
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import Options, SweepFolder
from poolsearch.sweep.folder.lease import Held, lease
from poolsearch.sweep.folder.queue import place_in_queue
from poolsearch.sweep.running.coordinator import work
from poolsearch.sweep.running.dispatcher import Dispatcher, OnChange
from poolsearch.sweep.running.preflight import preflight
from poolsearch.sweep.running.state import SweepState
from poolsearch.sweep.search.front import front
from poolsearch.sweep.study.reader import rows_at
from poolsearch.sweep.study.resuming import checked_for_resume
from poolsearch.sweep.study.storage import StudyLocation
from poolsearch.sweep.study.writer import Writer


@dataclass(frozen=True)
class Outcome:
    """How a run of a coordinator ended."""

    status: SweepStatus
    rows: tuple[TrialRow, ...]
    storage: str

    def document(self) -> dict[str, Any]:
        """Return the run as one JSON document: what a script wants to know."""
        published = next((row for row in self.rows if row.published and row.state == "complete"), None)
        return {
            "study": self.status.study,
            "storage": self.storage,
            "state": self.status.state,
            "counts": dict(Counter(row.state for row in self.rows)),
            "failures": dict(Counter(row.kind for row in self.rows if row.kind)),
            "seconds": round(self.status.elapsed_s, 1),
            "front": [_brief(row) for row in front(self.rows)],
            "published": _brief(published) if published else None,
        }


def _brief(row: TrialRow) -> dict[str, Any]:
    return {
        "trial": row.number,
        "plan": str(row.plan),
        **{name: objective.of(row) for name, objective in OBJECTIVES.items()},
        "test_accuracy": row.test_accuracy,
    }


class _Stopped(Exception):
    """It was stopped before its turn came."""


def run(
    config: SweepConfig,
    options: Options | None = None,
    resume: bool = False,
    on_change: OnChange = lambda status: None,
    at_once: bool = True,
    make_engine: Callable[[Options, str, TextIO], Engine] | None = None,
    retry: bool = False,
    or_start: bool = False,
    retime: bool = False,
) -> Outcome:
    """Return how a sweep ended; it trains until the config's budget is spent, stopped or interrupted.

    With `resume` a study that is there goes on; with `or_start` it goes on where it is there, else it starts. With
    `retry` its trials that were lost to deaths of their workers run again, with `retime` its networks are timed again.
    Without `at_once` it waits for its turn behind the sweeps that came before. Without `options` a study runs where
    and as it last did. Raises PoolsearchError before any work: a config that can't be, a study that is taken or held.
    Raises GoneError when the sweep's folder is removed, moved or replaced meanwhile.
    """
    home, asked_to_stop = folder.open_folder(config.study), _Flag()
    fresh = not home.path.exists()
    with ExitStack() as held:
        held.enter_context(_refused_aloud(home, config))
        chosen = _named(home, options)
        resume = resume or retry or retime
        ready = preflight(home, config, chosen, resume, or_start)
        resume, location = resume or or_start, ready.location
        data = ready.data or datasets.fingerprint(config.data, config.clutter)
        made = held.enter_context(_unmade(home))
        folder_held = held.enter_context(lease(home.path))
        made += [folder_held] * fresh
        files.remove_drafts(home.path, below=True)
        commands.drop_older_than(home, psutil.Process().create_time())
        held.enter_context(_interruptible(asked_to_stop))
        was = home.status()
        if not at_once and (stopped := _waited(held, home, config, folder_held, asked_to_stop, on_change)):
            return Outcome(stopped, (), location.url.render_as_string())
        folder_held.check()
        log = held.enter_context(home.log_file.open("a"))
        engine = (make_engine or _engine)(chosen, ready.place, log)
        held.callback(engine.close)
        writer = held.enter_context(_opened(location, config, data, resume))
        folder_held.check()
        if location.file:
            folder_held.watch(location.file)
        home.write_options(replace(chosen, name=location.name))
        home.write_config(config)
        writer["device"] = engine.resources().device
        elapsed_s = 0.0 if writer.new else was.elapsed_s
        sweep = Dispatcher(config, ready.space, writer, engine, on_change, elapsed_s)
        sweep.check_folder, sweep.state.retime = folder_held.check, retime
        if retry and sweep.state.lost:
            sweep.retry()
        asked_to_stop.running = sweep.state
        if asked_to_stop.up:  # a signal that came while all this was made ready
            sweep.state.stopping()
        work(sweep)
    try:
        rows = rows_at(location)
    except StudyError:  # the database does not come back: the status says so
        rows = ()
    return Outcome(sweep.status, rows, location.url.render_as_string())


def _named(home: SweepFolder, options: Options | None) -> Options:
    """Return the options of a run, those of the last one where there are none, with the name of the study in them."""
    if options and options.name:
        return options
    last = home.options()
    return replace(options or last, name=last.name)


class _Flag:
    """What a signal sets: before the sweep has a state, and in it."""

    def __init__(self) -> None:
        self.up = False
        self.running: SweepState | None = None

    def __call__(self) -> None:
        self.up = True
        if self.running:
            self.running.stopping()


@contextmanager
def _interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and, where there is one, SIGHUP into a request to stop, so that no write is cut in half."""
    numbers = processes.signals("INT", "TERM", "HUP")
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _waited(
    held: ExitStack, home: SweepFolder, config: SweepConfig, ours: Held, stop: _Flag, on_change: OnChange
) -> SweepStatus | None:
    """Wait for the sweep's turn; return its last status when it was stopped before that."""
    try:
        held.enter_context(place_in_queue(home, lambda names: _queue(home, config, names, ours, stop, on_change)))
    except _Stopped:
        status = SweepStatus(home.study, "stopped", config.trials, message="Stopped before its turn.")
        home.write_status(status)
        return status
    return None


def _queue(
    home: SweepFolder, config: SweepConfig, names: list[str], held: Held, stop: _Flag, on_change: OnChange
) -> None:
    """Say that the sweep waits; raise when it is to stop, or its folder is gone."""
    held.check()
    asked = commands.pending(home)
    for command in asked:
        commands.finish(home, command, "Stopped." if command.do == "stop" else "It had not started.")
    if stop.up or any(command.do == "stop" for command in asked):
        raise _Stopped
    message = f"Waiting for '{names[-1]}' to finish" + (f"; {len(names)} sweeps are ahead." if len(names) > 1 else ".")
    status = SweepStatus(home.study, "queued", config.trials, message=message, minutes=config.minutes)
    home.write_status(status)
    on_change(status)


@contextmanager
def _refused_aloud(home: SweepFolder, config: SweepConfig) -> Iterator[None]:
    """Leave the reason in the status of a sweep that was started in the background and is refused before it starts."""
    try:
        yield
    except PoolsearchError as error:
        if home.path.is_dir() and home.status().state in ("starting", "queued"):
            with contextlib.suppress(OSError):
                home.write_status(SweepStatus(home.study, "failed", config.trials, message=str(error)))
        raise


@contextmanager
def _unmade(home: SweepFolder) -> Iterator[list[Held]]:
    """Remove the folder that a run made, and lists here, when the run is refused before anything is kept in it."""
    made: list[Held] = []
    try:
        yield made
    except BaseException:
        if made and not home.config_file.exists() and not home.database.exists() and not home.holder():
            with contextlib.suppress(GoneError):
                made[0].check()  # never one that someone else put in its place
                shutil.rmtree(home.path, ignore_errors=True)
        raise


@contextmanager
def _opened(location: StudyLocation, config: SweepConfig, data: str, resume: bool) -> Iterator[Writer]:
    """Yield the study for writing, after it was compared with the config and the data once more."""
    writer = Writer(location, config)
    try:
        if not writer.new:
            checked_for_resume(writer.existing(), config, data, resume)
        if not writer["data"]:
            writer["data"] = data
        yield writer
    finally:
        writer.close()


def _engine(options: Options, place: str, log: TextIO) -> Engine:
    if options.engine == "ray":
        from poolsearch.sweep.engines.cluster import RayEngine

        return RayEngine(options.workers, place, options.address or "auto", options.gpu_model)
    return LocalEngine(options.workers or devices.default_workers(place), place, log)
