"""What a sweep does on a command: each takes the command's number and returns its outcome as a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from poolsearch.config import extended
from poolsearch.errors import PoolsearchError, explained
from poolsearch.sweep.folder import commands
from poolsearch.sweep.running.dispatcher import Dispatcher


def obey(sweep: Dispatcher) -> None:
    """Carry out the commands that have come since."""
    for command in commands.pending(sweep.home):
        try:
            outcome = _DO[command.do](sweep, command.number)
        except (PoolsearchError, OSError) as error:  # the command can't be carried out, or not on a full disk
            outcome = explained(error)
        commands.finish(sweep.home, command, outcome)
        sweep.report(force=True)


def _pause(sweep: Dispatcher, _: int) -> str:
    sweep.state.paused()
    return "Paused."


def _resume(sweep: Dispatcher, _: int) -> str:
    sweep.state.resumed()
    return "Resumed."


def _stop(sweep: Dispatcher, _: int) -> str:
    sweep.state.stopping()
    return "Stopped. Running trials start over when the sweep is resumed."


def _retry(sweep: Dispatcher, _: int) -> str:
    return f"Trials to run again: {', '.join(map(str, sweep.retry()))}."


def _cancel(sweep: Dispatcher, number: int) -> str:
    sweep.cancel(number)
    return f"Trial {number} is cancelled."


def _add(sweep: Dispatcher, number: int) -> str:
    config = extended(sweep.state.config, trials=number)
    sweep.home.write_config(config)  # first: where that fails nothing was added
    sweep.state.budget_changed(config)
    return f"The sweep now has {config.trials} trials."


def _extend(sweep: Dispatcher, number: int) -> str:
    config = extended(sweep.state.config, minutes=number)
    sweep.home.write_config(config)
    sweep.state.budget_changed(config)
    return f"The sweep now has {config.minutes:g} minutes."


def _workers(sweep: Dispatcher, number: int) -> str:
    sweep.engine.resize(number)
    sweep.home.write_options(replace(sweep.home.options(), workers=number))
    return f"The sweep now has {number} workers."


_DO: dict[str, Callable[[Dispatcher, int], str]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "retry": _retry,
    "cancel": _cancel,
    "add": _add,
    "extend": _extend,
    "workers": _workers,
}
