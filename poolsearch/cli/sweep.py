"""python -m poolsearch sweep ...: start, watch and steer sweeps from a shell, as the page Sweeps does.

Every command carries an id (`--id`, else a new one): sent twice with one id, it is done once.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from poolsearch.cli.command import Json, refusing, say, show
from poolsearch.errors import PoolsearchError

if TYPE_CHECKING:
    from poolsearch.sweep.folder.folder import SweepFolder

app = typer.Typer(help="Start, watch and steer sweeps.", no_args_is_help=True)
Study = Annotated[str, typer.Argument(help="the sweep's name")]
Id = Annotated[str, typer.Option("--id", help="letters, digits and hyphens; a repeated id does nothing")]
_WAIT_S = 10.0  # for the coordinator to carry a command out; it looks twice a second


@app.command("list")
@refusing
def list_(as_json: Json = False) -> None:
    """List all sweeps, newest first: state, trials, name."""
    from poolsearch.sweep.folder import folder
    from poolsearch.units import of_budget

    rows = [folder.open_folder(study).status() for study in folder.studies()]
    if as_json:
        return show([asdict(row) for row in rows])
    for row in rows:
        say(f"{row.state:9} {of_budget(row):24}  {row.study}")
    return None if rows else say("No sweep yet. Start one: python -m poolsearch sweep start CONFIG.toml")


@app.command()
@refusing
def status(study: Study, as_json: Json = False) -> None:
    """Say where a sweep stands: state, counts, what is running, time left."""
    from poolsearch.units import duration, left_in_words, of_budget, size

    now = _opened(study).status()
    if as_json:
        return show(asdict(now))
    left = f", {left_in_words(now.left_s)}" if now.alive and now.left_s else ""
    say(f"{study}: {now.state}, {of_budget(now)}")
    say(f"{duration(now.elapsed_s)} at work{left}. {now.message}".rstrip())
    if now.alive and now.workers:
        say(f"{now.workers} workers on {now.device}, {now.cpu_percent or 0:.0f} % CPU, {size(now.memory_bytes or 0)}")
    for trial in now.running:
        say(f"trial {trial.number}, attempt {trial.attempt}, {duration(trial.seconds)}: {trial.plan}")
    return None


@app.command()
@refusing
def start(
    config: Annotated[Path, typer.Argument(help="the sweep's TOML file")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="override a key, as in training.epochs=5")] = None,
    workers: Annotated[int | None, typer.Option(help="processes (default: one per core, or one per GPU)")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    storage: Annotated[str | None, typer.Option(help="SQLAlchemy URL (default: a SQLite file in runs/)")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for a cluster")] = "local",
) -> None:
    """Start a sweep in the background; it outlives this shell, and waits for its turn behind a running one."""
    from poolsearch.config import load
    from poolsearch.sweep.folder.folder import open_folder
    from poolsearch.sweep.running import launch
    from poolsearch.sweep.running.preflight import merged

    settings = load(config, tuple(set_ or ()))
    options = merged(open_folder(settings.study), workers=workers, device=device, storage=storage, engine=engine)
    launch.start(settings, options)
    say(f"'{settings.study}' is started. Watch it: {launch.in_words('status', settings.study)}")


@app.command()
@refusing
def pause(study: Study, id: Id = "") -> None:
    """Let running trials finish, and start no new one."""
    _send(study, "pause", 0, id)


@app.command()
@refusing
def resume(study: Study, id: Id = "") -> None:
    """Resume a paused sweep, or restart one that is not running."""
    from poolsearch.sweep.running import launch

    home = _opened(study)
    if sent := launch.resume(home, id):
        return _print_outcome(home, sent)
    return say(f"'{study}' is started again. Watch it: {launch.in_words('status', study)}")


@app.command()
@refusing
def retry(study: Study, id: Id = "") -> None:
    """Run again the trials that were lost because their worker died in every attempt."""
    from poolsearch.sweep.running import launch

    home = _opened(study)
    if sent := launch.retry(home, id):
        return _print_outcome(home, sent)
    return say(f"'{study}' is started again. Watch it: {launch.in_words('status', study)}")


@app.command("time")
@refusing
def time_(study: Study) -> None:
    """Time all finished networks of a sweep together again; its latencies and its front may change."""
    from poolsearch.sweep.running import launch

    launch.retime(_opened(study))
    say(f"The networks of '{study}' are timed again. Watch it: {launch.in_words('status', study)}")


@app.command()
@refusing
def stop(study: Study, id: Id = "") -> None:
    """Stop a sweep now; its running trials restart when it is resumed."""
    _send(study, "stop", 0, id)


@app.command()
@refusing
def cancel(study: Study, trial: Annotated[int, typer.Argument(help="its number")], id: Id = "") -> None:
    """Stop one running trial; it counts as cancelled, neither complete nor failed."""
    _send(study, "cancel", trial, id)


@app.command()
@refusing
def add(
    study: Study,
    number: Annotated[int, typer.Argument(help="how many more trials")],
    minutes: Annotated[bool, typer.Option("--minutes", help="minutes instead of trials")] = False,
    id: Id = "",
) -> None:
    """Give a sweep more trials, or minutes; one that is not running starts again."""
    from poolsearch.sweep.running import launch

    home = _opened(study)
    if sent := launch.add(home, number, "minutes" if minutes else "trials", id):
        return _print_outcome(home, sent)
    config = home.config()
    budget = f"{config.minutes:g} minutes" if minutes else f"{config.trials} trials"
    return say(f"'{study}' has {budget} now, and is started again.")


@app.command()
@refusing
def workers(study: Study, count: Annotated[int, typer.Argument(help="how many there shall be")], id: Id = "") -> None:
    """Change the number of workers; a running one ends with its trial."""
    _send(study, "workers", count, id)


@app.command()
@refusing
def rename(study: Study, name: Annotated[str, typer.Argument(help="the new name")]) -> None:
    """Rename a sweep that is not running."""
    from poolsearch.sweep.folder import folder

    folder.rename(_opened(study), name)
    say(f"'{study}' is '{name}' now.")


@app.command()
@refusing
def delete(study: Study, yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False) -> None:
    """Delete a sweep that is not at work: its trials, figures and weights."""
    from poolsearch.sweep.folder import folder

    home = folder.existing_folder(study)
    if not yes and not typer.confirm(f"Delete '{study}' with all its trials and weights?"):
        raise typer.Exit(1)
    left = folder.stays(home)
    folder.delete(home)
    say(f"'{study}' is deleted. {left}".rstrip())


@app.command()
@refusing
def log(study: Study, lines: Annotated[int, typer.Option(help="how many")] = 20) -> None:
    """Print the last lines that a sweep's processes wrote."""
    from poolsearch.sweep.folder.folder import existing_folder
    from poolsearch.sweep.running import launch

    say(launch.log_tail(existing_folder(study), lines) or "Nothing was written yet.")


def _opened(study: str) -> SweepFolder:
    """Return the folder of a sweep that is there. Raises StudyError."""
    from poolsearch.sweep.folder.folder import open_folder

    home = open_folder(study)
    home.config()
    return home


def _send(study: str, do: str, number: int, id: str) -> None:
    """Send a command, and print what came of it."""
    from poolsearch.sweep.folder import commands

    home = _opened(study)
    _print_outcome(home, commands.send(home, do, number, id))


def _print_outcome(home: SweepFolder, sent: str) -> None:
    """Wait until a command is carried out, and print what came of it."""
    from poolsearch.sweep.folder import commands

    deadline = time.monotonic() + _WAIT_S
    while (words := commands.outcome(home, sent)) is None:
        if time.monotonic() > deadline:
            raise PoolsearchError(
                f"The coordinator of '{home.study}' has not read the command within {_WAIT_S:.0f} s: it is asleep or "
                "very busy. The command stays, and is carried out when it wakes."
            )
        time.sleep(0.1)
    say(words)
