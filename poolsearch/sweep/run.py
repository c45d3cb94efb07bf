"""One run of a sweep in this process: everything is checked, then held, then worked on, then given back."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TextIO

import psutil

from poolsearch import datasets, devices, files
from poolsearch.config import SweepConfig
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.rows import SweepStatus, TrialRow
from poolsearch.sweep import commands, control, folder, store
from poolsearch.sweep.coordinator import Coordinator, OnChange
from poolsearch.sweep.engine import Engine
from poolsearch.sweep.folder import Options
from poolsearch.sweep.front import front
from poolsearch.sweep.lease import Held, lease
from poolsearch.sweep.ledger import Ledger
from poolsearch.sweep.local import LocalEngine
from poolsearch.sweep.resuming import checked_for_resume
from poolsearch.sweep.space import space_of
from poolsearch.sweep.storage import sqlite_file
from poolsearch.sweep.turns import turn


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
        "accuracy": row.accuracy,
        "loss": row.loss,
        "test_accuracy": row.test_accuracy,
        "latency_ms": row.latency_ms,
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
) -> Outcome:
    """Return how a sweep ended; it trains until the config's budget is spent, stopped or interrupted.

    With `retry` a study goes on, and its trials that were lost to deaths of their workers run again. Without `at_once`
    it waits for its turn behind the sweeps that came before. Without `options` a study runs where
    and as it last did. Raises PoolsearchError before any work: a config that can't be, a study that is taken or held.
    Raises GoneError when the sweep's folder is removed, moved or replaced meanwhile.
    """
    chosen, resume = options or folder.read_options(config.study), resume or retry
    space, place = space_of(config), _device(config, chosen)
    url = store.url_of(config.study, chosen)
    home, asked_to_stop = folder.folder_of(config.study), _Flag()
    with ExitStack() as held:
        folder_held = held.enter_context(lease(home))
        files.remove_drafts(home, below=True)
        commands.drop_older_than(config.study, psutil.Process().create_time())
        held.enter_context(_interruptible(asked_to_stop))
        was = folder.read_status(config.study)
        try:
            if not at_once:
                held.enter_context(
                    turn(config.study, lambda names: _queue(config, names, folder_held, asked_to_stop, on_change))
                )
        except _Stopped:
            status = SweepStatus(config.study, "stopped", config.trials, message="It was stopped before its turn.")
            folder.write_status(status)
            return Outcome(status, (), url.render_as_string())
        ledger = held.enter_context(_opened(config, chosen, resume))
        folder_held.check()
        if file := sqlite_file(ledger.url):
            folder_held.watch(file)
        folder.write_config(config)
        folder.write_options(config.study, replace(chosen, name=ledger.name))
        log = held.enter_context((home / "log.txt").open("a"))
        engine = (make_engine or _engine)(chosen, place, log)
        held.callback(engine.close)
        ledger["device"] = engine.resources().device
        coordinator = Coordinator(config, space, ledger, engine, on_change, was.elapsed_s if resume else 0.0)
        coordinator.check_folder = folder_held.check
        if retry and coordinator.lost:
            control.retry(coordinator)
        asked_to_stop.told = coordinator
        coordinator.stopping = asked_to_stop.up  # a signal that came while all this was made ready
        coordinator.work()
    try:
        rows = store.trial_rows(config.study)
    except StudyError:  # the database went away for good: the status says so
        rows = ()
    return Outcome(coordinator.status, rows, url.render_as_string())


def _device(config: SweepConfig, chosen: Options) -> str:
    """Return the device to compute on. Raises PoolsearchError for workers that can't be, or that have no room."""
    here = chosen.engine == "local"  # on a cluster the nodes say what there is, not this machine
    place = (devices.resolve if here else devices.check)(chosen.device)
    if chosen.workers is not None and not 1 <= chosen.workers <= 256:
        nearest = min(max(chosen.workers, 1), 256)
        raise PoolsearchError(f"Workers go from 1 to 256, got {chosen.workers}. Nearest: {nearest}.")
    if here:  # each worker keeps a copy
        datasets.check_room(config.data, config.clutter, chosen.workers or devices.default_workers(place))
    return place


class _Flag:
    """What a signal sets: before the coordinator is there, and in it."""

    def __init__(self) -> None:
        self.up = False
        self.told: Coordinator | None = None

    def __call__(self) -> None:
        self.up = True
        if self.told:
            self.told.stopping = True


@contextmanager
def _interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into a request to stop, so that no write is cut in half."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _queue(config: SweepConfig, names: list[str], held: Held, stop: _Flag, on_change: OnChange) -> None:
    """Say that the sweep waits; raise when it was told to stop, or its folder is gone."""
    held.check()
    asked = commands.pending(config.study)
    for command in asked:
        commands.finish(config.study, command, "Stopped." if command.do == "stop" else "It had not begun.")
    if stop.up or any(command.do == "stop" for command in asked):
        raise _Stopped
    words = f"Waits for '{names[-1]}' to end" + (f"; {len(names)} are before it." if len(names) > 1 else ".")
    status = SweepStatus(config.study, "queued", config.trials, message=words, minutes=config.minutes)
    folder.write_status(status)
    on_change(status)


@contextmanager
def _opened(config: SweepConfig, options: Options, resume: bool) -> Iterator[Ledger]:
    """Yield the study for writing, after it was compared with the config and the data."""
    ledger = Ledger(config, options)
    try:
        data = datasets.fingerprint(config.data, config.clutter)
        if not ledger.new:
            checked_for_resume(ledger, config, data, resume)
        if not ledger["data"]:
            ledger["data"] = data
        yield ledger
    finally:
        ledger.close()


def _engine(options: Options, place: str, log: TextIO) -> Engine:
    if options.engine == "ray":
        from poolsearch.sweep.cluster import RayEngine

        return RayEngine(options.workers, place, options.address or "auto", options.gpu_model)
    return LocalEngine(options.workers or devices.default_workers(place), place, log)
