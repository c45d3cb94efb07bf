"""python -m poolsearch run: a sweep without a screen. Progress on stderr, the front as a table, then one JSON line.

Exit codes: 0 done, 1 nothing was measured, or no worker or database could be had, or the sweep's folder was removed or
moved while it ran, or trials were lost because their worker died in every attempt (run them again with --retry), 2 the
request was wrong, 75 another coordinator holds the study, 130 interrupted (continue with --resume).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn

from poolsearch.cli.command import say, show
from poolsearch.cli.tables import PlainConsole, console, front_table
from poolsearch.config import load
from poolsearch.records.sweep import SweepStatus
from poolsearch.units import duration, left_in_words, of_budget


class Reporter:
    """Show where a sweep stands: a bar in a terminal, one line a trial elsewhere."""

    def __init__(self) -> None:
        self.console = PlainConsole(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}", markup=False))
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("sweep", total=None, words="starting the workers")
        self.said = (-1, "")

    def __call__(self, status: SweepStatus) -> None:
        ended = status.ended
        words = of_budget(status)
        words += "" if status.minutes else f", {duration(status.elapsed_s)}"
        words += f", {left_in_words(status.left_s)}" if status.left_s and status.state == "running" else ""
        words += f". {status.message}" if status.message else ""
        self.bar.update(self.task, completed=ended, total=status.trials, description=status.study, words=words)
        if not self.console.is_terminal and self.said != (ended, status.message):
            say(f"{status.study}: {words}", error=True)
        self.said = (ended, status.message)


def run(
    config: Annotated[Path, typer.Argument(help="the sweep's TOML file")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="override a key, as in training.epochs=5")] = None,
    workers: Annotated[int | None, typer.Option(help="processes (default: one per core, or one per GPU)")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda")] = None,
    storage: Annotated[str | None, typer.Option(help="SQLAlchemy URL (default: a SQLite file in runs/)")] = None,
    engine: Annotated[str | None, typer.Option(help="local, or ray for a cluster")] = None,
    address: Annotated[str | None, typer.Option(help="of the Ray cluster (default: the one on this machine)")] = None,
    gpu_model: Annotated[str | None, typer.Option(help="where a cluster has several; one sweep uses one")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue an existing study")] = False,
    or_start: Annotated[
        bool, typer.Option("--resume-or-start", help="continue it if it exists, else start it")
    ] = False,
    retry: Annotated[bool, typer.Option(help="continue, and rerun the trials lost to dead workers")] = False,
    retime: Annotated[bool, typer.Option("--time-again", help="continue, and time all its networks anew")] = False,
    at_once: Annotated[bool, typer.Option("--at-once", help="do not wait for earlier sweeps")] = False,
) -> None:
    """Search over Plans as a TOML config says; a study that is resumed runs where and as it last did."""
    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.running.preflight import merged
    from poolsearch.sweep.running.run import run as search

    os.environ["TZ"] = "UTC"  # Optuna writes the local time into the study; UTC is the same everywhere, all year
    if hasattr(time, "tzset"):  # Windows has none
        time.tzset()
    report = Reporter()
    settings = load(config, tuple(set_ or ()))
    options = merged(
        open_folder(settings.study), engine=engine, workers=workers, device=device, storage=storage, address=address,
        gpu_model=gpu_model,
    )  # fmt: skip
    with report.bar:
        outcome = search(settings, options, resume, report, at_once, retry=retry, or_start=or_start, retime=retime)
    console().print(front_table(outcome.rows, settings.objectives))
    show(outcome.document())
    if outcome.status.state == "stopped":
        raise typer.Exit(130)
    worked = outcome.status.state == "done" and any(row.state == "complete" for row in outcome.rows)
    raise typer.Exit(0 if worked else 1)
