"""Run a sweep without a screen: progress on stderr, the front as a table, one JSON document as the last line.

    python experiments/sweep.py configs/cluttered-digits.toml --set trials=48 --workers 2 --resume

Exit codes: 0 done, 1 nothing was measured, 2 the request was wrong, 75 another coordinator holds the study,
130 interrupted (continue with --resume).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from poolsearch.config import load  # noqa: E402
from poolsearch.errors import BusyError, PoolsearchError  # noqa: E402
from poolsearch.rows import SweepStatus  # noqa: E402
from poolsearch.tables import console, front_table, left_in_words  # noqa: E402


def find(config: Path) -> Path:
    """Return the config's path; `configs/x.toml` is also looked for beside this script."""
    beside = Path(__file__).parent / config
    return beside if not config.exists() and beside.exists() else config


class Reporter:
    """Show where a sweep stands: a bar in a terminal, one line a trial elsewhere."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("sweep", total=None, words="starting the workers")
        self.done = -1

    def __call__(self, status: SweepStatus) -> None:
        ended = status.complete + status.failed
        failed = f", {status.failed} failed" if status.failed else ""
        words = f"{status.complete} of {status.trials} trials{failed}, {status.elapsed_s:.0f} s"
        words += f", {left_in_words(status.left_s)}" if status.left_s and status.state == "running" else ""
        words += f". {status.message}" if status.message else ""
        self.bar.update(self.task, completed=ended, total=status.trials, description=status.study, words=words)
        if not self.console.is_terminal and (ended != self.done or status.message):
            print(f"{status.study}: {words}", file=sys.stderr, flush=True)
        self.done = ended


def main(
    config: Annotated[Path, typer.Argument(help="the sweep's TOML file")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="override a key, as in training.epochs=5")] = None,
    workers: Annotated[int | None, typer.Option(help="processes; default one a core, or one a GPU")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    storage: Annotated[str | None, typer.Option(help="SQLAlchemy URL; default a SQLite file in runs/")] = None,
    resume: Annotated[bool, typer.Option(help="continue a study that is there already")] = False,
) -> None:
    """Search over Plans as a TOML config says."""
    from poolsearch.sweep.coordinator import run

    report = Reporter()
    try:
        settings = load(find(config), tuple(set_ or ()))
        with report.bar:
            outcome = run(settings, workers, device, storage, resume, report)
    except BusyError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(75) from None
    except PoolsearchError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    console().print(front_table(outcome.rows))
    print(json.dumps(outcome.document()), flush=True)
    if outcome.status.state == "stopped":
        raise typer.Exit(130)
    raise typer.Exit(0 if any(row.state == "complete" for row in outcome.rows) else 1)


if __name__ == "__main__":
    typer.run(main)
