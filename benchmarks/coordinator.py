"""What does the coordinator of a sweep cost: a trial, a large study, a look at it; and do more workers do more?

    python benchmarks/coordinator.py [overhead] [large] [refresh] [workers]     (without names: all; about 8 minutes)
    python benchmarks/coordinator.py overhead --trials 100 --repeats 3

overhead: CPU of the coordinating process a trial, with an engine that answers at once, and what it is made of.
large: a study of 10,000 trials opened, and a trial added to it; resident memory, and how much of it is torch alone;
       the first look of a page at it.
refresh: a look at the trials when nothing changed, when one trial did, and at the status, CPU.
workers: trials a minute with four workers and with one, the same Plans, in turns.

The peer is Optuna itself, in the same run and in turns: its ask and tell with the same sampler on a SQLite file, and
its load_study. Wanted: 20 ms a trial; 2 s, 50 ms and 300 MB; 5 ms at 200 trials; 1.8 times on two cores. Each part
runs in a process of its own. Medians, with the smallest and the largest. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CONFIG = ROOT / "experiments" / "configs" / "cluttered-digits.toml"
KINDS = '["max", "avg", "lp", "soft", "min", "median", "lse", "mixed", "blur", "max-blur", "area", "conv"]'
LARGE = 10_000
Figures = dict[str, list[float]]


def resident_mb() -> float:
    """Return the resident memory of this process."""
    return float(psutil.Process().memory_info().rss / 1e6)


def cpu_ms(action: Callable[[], Any]) -> float:
    """Return the CPU milliseconds of this process during an action."""
    start = time.process_time()
    action()
    return 1000 * (time.process_time() - start)


def config(*overrides: str) -> Any:
    """Return the default sweep's config with overrides."""
    from poolsearch.config import load

    return load(CONFIG, overrides)


def result(source: random.Random) -> dict[str, Any]:
    """Return what a worker answers for a trial, drawn."""
    ms, loss = 1 + source.random(), source.random()
    curve = [{"epoch": i, "train_loss": loss, "loss": loss, "accuracy": 1 - loss} for i in (1, 2, 3)]
    timing = {"ms": ms, "low_ms": 0.9 * ms, "high_ms": 1.1 * ms}
    return {"accuracy": 1 - loss, "loss": loss, "test_accuracy": 1 - loss, "test_loss": loss, "latency": timing,
            "published_ms": 1.5, "seconds": 2.0, "cpu_seconds": 2.0, "curve": curve}  # fmt: skip


class InstantEngine:
    """Two workers that answer at the next look."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.source = random.Random(0)

    def submit(self, job: Any) -> None:
        """Take a job."""
        self.jobs.append(job)

    def poll(self, timeout: float) -> list[dict[str, Any]]:
        """Return the figures of all jobs."""
        jobs, self.jobs = self.jobs, []
        said = (result(self.source) if job.do == "trial" else self._timed(job) for job in jobs)
        return [{"id": job.id, "attempt": job.attempt, "event": "done", **one} for job, one in zip(jobs, said)]

    def _timed(self, job: Any) -> dict[str, Any]:
        return {"latencies": [{"ms": 1.0, "low_ms": 1.0, "high_ms": 1.0} for _ in job.plans]}

    def cancel(self, id: int) -> None:
        """Nothing runs long enough."""

    def resources(self) -> Any:
        """Return two workers."""
        from poolsearch.sweep.engines.engine import Resources

        return Resources(2, 2 - len(self.jobs), (), "instant")

    def resize(self, workers: int) -> None:
        """Stay at two."""

    def close(self) -> None:
        """Nothing is open."""


# ------------------------------------------------------------------------------------------------------------- overhead


def overhead(trials: list[int], repeats: int) -> Figures:
    """Return the CPU milliseconds a trial of our coordinator, of its parts, and of Optuna's own loop."""
    import optuna

    from poolsearch.sweep.running import dispatcher
    from poolsearch.sweep.search import proposals
    from poolsearch.sweep.study import writer

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found: Figures = {}
    parts = {
        "proposing": (proposals.Proposals, "next"),
        "adding it": (writer.Writer, "add"),
        "keeping its figures": (writer.Writer, "complete"),
        "status for the pages": (dispatcher.Dispatcher, "report"),
    }
    spent = dict.fromkeys(parts, 0.0)
    for name, (owner, method) in parts.items():
        setattr(owner, method, _counted(getattr(owner, method), spent, name))
    for count, _ in itertools.product(trials, range(repeats)):
        spent.update(dict.fromkeys(parts, 0.0))
        found.setdefault(f"{count} trials: ours", []).append(_ours(count))
        for name, seconds in spent.items():
            found.setdefault(f"{count} trials: of that {name}", []).append(1000 * seconds / count)
        found.setdefault(f"{count} trials: Optuna's ask and tell", []).append(_optunas(count))
    return found


def _counted(method: Any, spent: dict[str, float], name: str) -> Any:
    def counted(*args: Any, **kwargs: Any) -> Any:
        start = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent[name] += time.process_time() - start

    return counted


def _ours(trials: int) -> float:
    from poolsearch.sweep.running.run import run

    begun = []

    def engine(*_: Any) -> InstantEngine:
        begun.append(time.process_time())  # what comes before is start-up: space, file, tables
        return InstantEngine()

    outcome = run(config(f"trials={trials}", f"study=ours-{time.time_ns()}"), make_engine=engine)
    assert outcome.document()["counts"] == {"complete": trials}
    return 1000 * (time.process_time() - begun[0]) / trials


def _optunas(trials: int) -> float:
    """Return the same of Optuna: the same parameters and sampler, the same kind of figures; no checks of a Plan."""
    import optuna

    from poolsearch.sweep.search.space import space_of

    space, source = space_of(config()), random.Random(0)
    file = Path(os.environ["POOLSEARCH_RUNS"]) / f"{time.time_ns()}.db"
    study = optuna.create_study(
        storage=f"sqlite:///{file}", directions=["maximize", "minimize"],
        sampler=optuna.samplers.TPESampler(seed=0, multivariate=True),
    )  # fmt: skip

    def loop() -> None:
        for _ in range(trials):
            trial = study.ask()
            for name, choices in space.choices.items():
                trial.suggest_categorical(name, choices)
            study.tell(trial, [source.random(), source.random()])

    return cpu_ms(loop) / trials


# ---------------------------------------------------------------------------------------------------------------- large


def make_study(name: str, trials: int) -> Any:
    """Return the config of a new study with that many finished trials, written in one transaction."""
    from optuna.distributions import distribution_to_json
    from optuna.storages._rdb import models
    from optuna.trial import TrialState

    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.search.space import space_of
    from poolsearch.sweep.study.storage import located
    from poolsearch.sweep.study.writer import Writer

    made = config(f"study={name}", f"trials={trials + 1000}", f"space.kinds={KINDS}")
    space, source = space_of(made), random.Random("other than the sweep's own draws")
    writer = Writer(located(open_folder(made.study)), made)
    open_folder(made.study).write_config(made)
    texts = {name: distribution_to_json(one) for name, one in space.distributions.items()}
    rows: dict[str, list[dict[str, Any]]] = {"trials": [], "params": [], "attributes": [], "values": []}
    now = datetime.datetime.now()
    for number, (plan, params) in enumerate(_different(space, source, trials)):
        said, id = result(source), number + 1
        rows["trials"].append({"trial_id": id, "number": number, "study_id": writer._id, "state": TrialState.COMPLETE,
                               "datetime_start": now, "datetime_complete": now})  # fmt: skip
        for key, value in params.items():
            internal = space.distributions[key].to_internal_repr(value)
            rows["params"].append({"trial_id": id, "param_name": key, "param_value": internal,
                                   "distribution_json": texts[key]})  # fmt: skip
        for key, value in {"plan": plan, "seed": 0, "attempts": 1, "result": said}.items():
            rows["attributes"].append({"trial_id": id, "key": key, "value_json": json.dumps(value)})
        for objective, value in enumerate((said["accuracy"], said["latency"]["ms"])):
            rows["values"].append({"trial_id": id, "objective": objective, "value": value, "value_type": "FINITE"})
    tables = (models.TrialModel, models.TrialParamModel, models.TrialUserAttributeModel, models.TrialValueModel)
    with writer._storage.engine.begin() as connection:
        for table, new in zip(tables, rows.values(), strict=True):
            connection.execute(table.__table__.insert(), new)
    writer.close()
    return made


def _different(space: Any, source: random.Random, count: int) -> list[tuple[str, dict[str, Any]]]:
    from poolsearch.errors import PoolsearchError

    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        params = space.draw(source)
        try:
            found[str(space.plan(params))] = params
        except PoolsearchError:
            continue
    return list(found.items())


def large(trials: list[int], repeats: int) -> Figures:
    """Return what a study of 10,000 costs ours and Optuna, each in fresh processes on the same file."""
    from poolsearch.sweep.folder.folder import open_folder

    make_study("large", LARGE)
    file = open_folder("large").database
    pristine = file.with_name("pristine.db")
    file.rename(pristine)
    found: Figures = {}
    for _ in range(repeats):
        for part in ("large_ours", "large_optunas"):
            shutil.copy(pristine, file)  # each adds trials to it
            for name, values in child(part, [], 1).items():
                found.setdefault(name, []).extend(values)
            for left in file.parent.glob("study.db*"):
                left.unlink()
    return found


def large_ours(trials: list[int], repeats: int) -> Figures:
    """Return the figures of opening and adding, of our classes in this fresh process."""
    torch_alone = _torch_alone()
    from poolsearch.data import datasets
    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.running.dispatcher import Dispatcher
    from poolsearch.sweep.search.space import space_of
    from poolsearch.sweep.study.reader import Reader
    from poolsearch.sweep.study.storage import located
    from poolsearch.sweep.study.writer import Writer

    settings = open_folder("large").config()
    datasets.fingerprint(settings.data, settings.clutter)  # a run compares it with the study's
    space, imported = space_of(settings), resident_mb()
    start, cpu = time.perf_counter(), time.process_time()
    writer = Writer(located(open_folder(settings.study)), settings)
    sweep = Dispatcher(settings, space, writer, InstantEngine(), lambda status: None, 0.0)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert len(sweep.state.plans) == LARGE
    adding = [cpu_ms(sweep.start_next) for _ in range(21)]
    memory = resident_mb()
    start = time.perf_counter()
    reader = Reader(writer.location)
    assert len(reader.rows()) == LARGE + 21
    read, page = time.perf_counter() - start, resident_mb() - memory
    reader.close()
    writer.close()
    return {
        "ours: opened, s": [wall], "ours: opened, CPU s": [cpu], "ours: first trial added, CPU ms": adding[:1],
        "ours: a trial added, CPU ms": adding[1:], "ours: memory, MB": [memory],
        "ours: memory before the study, MB": [imported], "ours: memory with torch alone, MB": [torch_alone],
        "a page: all rows read, s": [read], "a page: memory of its rows, MB": [page],
    }  # fmt: skip


def _torch_alone() -> float:
    import torch

    torch.zeros(1)
    return resident_mb()


def large_optunas(trials: list[int], repeats: int) -> Figures:
    """Return the same of Optuna: load_study and get_trials, then ask."""
    import optuna

    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.search.space import space_of

    space = space_of(config("study=large", f"space.kinds={KINDS}"))
    sampler = optuna.samplers.TPESampler(seed=0, multivariate=True)
    start, cpu = time.perf_counter(), time.process_time()
    study = optuna.load_study(study_name="large", storage=f"sqlite:///{open_folder('large').database}", sampler=sampler)
    assert sum(trial.state.name == "COMPLETE" for trial in study.get_trials(deepcopy=False)) == LARGE
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu

    def add() -> None:
        trial = study.ask()
        for name, choices in space.choices.items():
            trial.suggest_categorical(name, choices)

    adding = [cpu_ms(add) for _ in range(3)]
    return {
        "Optuna: opened, s": [wall], "Optuna: opened, CPU s": [cpu], "Optuna: a trial added, CPU ms": adding,
        "Optuna: memory, MB": [resident_mb()],
    }  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- refresh


def refresh(trials: list[int], repeats: int) -> Figures:
    """Return the CPU milliseconds of a look at 200 and at 10,000 trials, with one more at work."""
    found: Figures = {}
    for count in (200, LARGE):
        for name, values in _looks(make_study(f"look-{count}", count), count).items():
            found[f"{count} trials: {name}"] = values
    return found


def _looks(settings: Any, count: int) -> Figures:
    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.search.proposals import Proposals
    from poolsearch.sweep.search.space import space_of
    from poolsearch.sweep.study.reader import Reader
    from poolsearch.sweep.study.storage import located
    from poolsearch.sweep.study.writer import Writer

    writer, space = Writer(located(open_folder(settings.study)), settings), space_of(settings)
    source, reader, known = random.Random(1), Reader(writer.location), Proposals(settings, space)
    found: Figures = {"nothing changed": [], "one trial changed": []}
    for row in reader.rows(alive=True):
        known._name(row.number, str(row.plan))
    for _ in range(20):
        proposal = known._drawn()
        assert proposal is not None
        number = writer.add(proposal.running_trial(space, {"plan": str(proposal.plan), "seed": 0, "attempts": 1}))
        known.take(number, proposal)
        reader.rows(alive=True)
        found["nothing changed"].append(cpu_ms(lambda: reader.rows(alive=True)))
        said = result(source)
        writer.complete(number, [said["accuracy"], said["latency"]["ms"]], said)
        found["one trial changed"].append(cpu_ms(lambda: reader.rows(alive=True)))
    _write_status(settings.study, str(space.published), count)
    found["the status, 4 at work"] = [cpu_ms(lambda: open_folder(settings.study).status()) for _ in range(20)]
    reader.close()
    writer.close()
    return found


def _write_status(study: str, plan: str, count: int) -> None:
    from poolsearch.records.sweep import EpochRow, RunningTrial, SweepStatus
    from poolsearch.sweep.folder.folder import open_folder

    curve = tuple(EpochRow(epoch, 1.0, 1.0, 0.5) for epoch in range(1, 31))
    running = tuple(RunningTrial(number, plan, 1, 3.0, curve) for number in range(4))
    open_folder(study).write_status(SweepStatus(study, "running", count, complete=count, running=running))


# -------------------------------------------------------------------------------------------------------------- workers


def workers(trials: list[int], repeats: int) -> Figures:
    """Return the trials a minute of one and of four workers: the same 16 Plans, in turns."""
    found: Figures = {}
    for _ in range(repeats):
        for count in (1, 4):
            found.setdefault(f"trials a minute, workers: {count}", []).append(_a_minute(count, 16))
    one, four = found.values()
    found["four against one, times"] = [b / a for a, b in zip(one, four, strict=True)]
    return found


def _a_minute(count: int, trials: int) -> float:
    """Return trials a minute, counted once every worker has finished its first: what comes before is torch's import."""
    from poolsearch.records.sweep import SweepStatus
    from poolsearch.sweep.folder.folder import Options, open_folder
    from poolsearch.sweep.running.run import run
    from poolsearch.sweep.search.proposals import Proposals
    from poolsearch.sweep.search.space import space_of
    from poolsearch.sweep.study.storage import located
    from poolsearch.sweep.study.writer import Writer

    settings = config(f"study=workers-{time.time_ns()}", f"trials={trials}", "clutter.images=2000", "latency.calls=10")
    space = space_of(settings)
    drawn, writer = Proposals(settings, space), Writer(located(open_folder(settings.study)), settings)
    for number in range(trials):  # trials that an earlier run left: the same Plans for everyone, in the same order
        proposal = drawn._drawn()
        assert proposal is not None
        drawn.take(number, proposal)
        writer.add(proposal.running_trial(space, {"plan": str(proposal.plan), "seed": 0, "attempts": 0}))
    writer.close()
    ended: dict[int, float] = {}

    def watch(status: SweepStatus) -> None:
        ended.setdefault(status.complete + status.failed, time.perf_counter())

    outcome = run(settings, Options(workers=count), or_start=True, on_change=watch)
    assert len(outcome.rows) == trials
    for row in outcome.rows:
        if row.state != "complete":
            print(f"workers: {row.plan}: {row.reason}", file=sys.stderr)
    return 60 * (trials - count) / (ended[trials] - ended[count])


# ----------------------------------------------------------------------------------------------------------------- main

PARTS = {"overhead": overhead, "large": large, "refresh": refresh, "workers": workers}
WITHIN = {"large_ours": large_ours, "large_optunas": large_optunas}
WANTED = {
    "overhead": {": ours": 20}, "refresh": {"200 trials: ": 5}, "workers": {"four against": 1.8},
    "large": {"ours: opened, s": 2, "ours: a trial added": 50, "ours: memory, MB": 300},
}  # fmt: skip


def child(part: str, trials: list[int], repeats: int) -> Figures:
    """Return the figures of a part that runs in a fresh process."""
    command = [sys.executable, __file__, "--within", part, "--repeats", str(repeats)]
    command += ["--trials", *map(str, trials)] if trials else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--trials", nargs="*", type=int, default=[100, 500], help="of overhead")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--within", choices=[*PARTS, *WITHIN], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.within:
        print(json.dumps((PARTS | WITHIN)[asked.within](asked.trials, asked.repeats)))
        return
    from poolsearch import devices

    document: dict[str, Any] = {"benchmark": "coordinator", "date": f"{datetime.date.today()}",
                                "machine": devices.machine(), "load": {}, "figures": {}}  # fmt: skip
    table = Table(title="the coordinator of a sweep, CPU ms a trial unless another unit is named", title_justify="left")
    for column in ("", "median", "smallest", "largest", "wanted"):
        table.add_column(column, justify="right" if column else "left")
    for part in asked.parts or PARTS:
        before = os.getloadavg()[0]
        with tempfile.TemporaryDirectory() as runs:
            os.environ["POOLSEARCH_RUNS"] = runs
            found = child(part, asked.trials, asked.repeats)
        document["load"][part] = [round(before, 1), round(os.getloadavg()[0], 1)]
        document["figures"][part] = {
            name: [round(f(values), 2) for f in (statistics.median, min, max)] for name, values in found.items()
        }
        table.add_section()
        for name, three in document["figures"][part].items():
            wanted = next((f"{limit}" for word, limit in WANTED[part].items() if word in name), "")
            table.add_row(f"{part}, {name}", *(f"{value:.4g}" for value in three), wanted)
    Console(width=120).print(table)
    print(json.dumps(document, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    main()
