"""How a sweep ends, as its last status says it: done, incomplete, stopped or failed, and what can be done about it."""

from __future__ import annotations

from typing import Any

from poolsearch.sweep.folder.commands import in_words
from poolsearch.sweep.running.state import SweepState


def ending(state: SweepState) -> tuple[Any, str]:
    """Return the last word for a sweep whose loop is over, and the sentence with it."""
    if reason := state.hopeless():
        return "failed", reason
    if state.stop:
        return "stopped", "It can be resumed."
    if state.lost:
        return "incomplete", _lost(state)
    there, trials = state.counts.total(), state.config.trials
    if there > trials:
        return "done", f"It has {there} trials, more than its budget of {trials}: no more are run."
    if there == trials and not state.ended_now and not state.retime:
        again = in_words("time", state.config.study)
        return "done", f"All {trials} trials already existed, and nothing was measured. To time them again: {again}"
    if there == trials:
        return "done", ""
    if state.spent():
        return "done", f"Its {state.config.minutes:g} minutes are used up."
    return "done", "The search space has no more Plans."


def _lost(state: SweepState) -> str:
    lost, one = len(state.lost), len(state.lost) == 1
    trials = f"{lost} of {state.counts.total()} trials {'has' if one else 'have'} no result"
    died = f"{'its' if one else 'their'} worker died in every attempt"
    return f"{trials}: {died}. Retry {'it' if one else 'them'}: {in_words('retry', state.config.study)}"
