"""What a coordinator does on a command: each takes the command's number and returns, in words, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from poolsearch.config import extended
from poolsearch.errors import PoolsearchError, StudyError, explained
from poolsearch.sweep.folder import commands, folder

if TYPE_CHECKING:
    from poolsearch.sweep.running.coordinator import Coordinator


def obey(sweep: Coordinator) -> None:
    """Carry out the commands that have come since."""
    for command in commands.pending(sweep.config.study):
        try:
            words = _DO[command.do](sweep, command.number)
        except (PoolsearchError, OSError) as error:  # what it is told can't be done, or not on a full disk
            words = explained(error)
        commands.finish(sweep.config.study, command, words)
        sweep.write(sweep.state(), force=True)


def _pause(sweep: Coordinator, _: int) -> str:
    sweep.paused = "Trials at work run to their end, no new one begins."
    return "Paused."


def _resume(sweep: Coordinator, _: int) -> str:
    sweep.paused = ""
    return "It goes on."


def _stop(sweep: Coordinator, _: int) -> str:
    sweep.stopping = True
    return "Stopped. Trials at work begin anew when it is resumed."


def retry(sweep: Coordinator, _: int = 0) -> str:
    """Let the trials that were lost to deaths of their workers run again, at the back of the line.

    Raises StudyError when there are none.
    """
    if not sweep.lost:
        raise StudyError(f"No trial of '{sweep.config.study}' was lost to deaths of its worker: none runs again.")
    numbers = sorted(sweep.lost)
    sweep.ledger.reopen(numbers)
    for number in numbers:
        sweep.attempts.forget(number)
        sweep.proposals.reopen(number)
    sweep.counts["FAIL"] -= len(numbers)
    sweep.lost.clear()
    return f"Trials that run again: {', '.join(map(str, numbers))}."


def _cancel(sweep: Coordinator, number: int) -> str:
    if number in sweep.flights:
        sweep.give_up(number, "Cancelled by hand.", "cancelled")
    elif sweep.attempts.drop(number):
        sweep.fail(number, "cancelled", "Cancelled by hand.")
    else:
        at_work = ", ".join(str(number) for number in sweep.flights) or "none"
        raise PoolsearchError(f"Trial {number} is not at work. At work: {at_work}.")
    return f"Trial {number} is cancelled."


def _add(sweep: Coordinator, number: int) -> str:
    config = extended(sweep.config, trials=number)
    folder.write_config(config)  # first: where that fails nothing was added
    sweep.config = config
    return f"The sweep now has {sweep.config.trials} trials."


def _extend(sweep: Coordinator, number: int) -> str:
    config = extended(sweep.config, minutes=number)
    folder.write_config(config)
    sweep.config = config
    return f"The sweep now has {sweep.config.minutes:g} minutes."


def _workers(sweep: Coordinator, number: int) -> str:
    sweep.engine.resize(number)
    study = sweep.config.study
    folder.write_options(study, replace(folder.read_options(study), workers=number))
    return f"It now has {number} workers."


_DO: dict[str, Callable[[Coordinator, int], str]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "retry": retry,
    "cancel": _cancel,
    "add": _add,
    "extend": _extend,
    "workers": _workers,
}
