"""How a sweep ends, as its last status says it: done, incomplete, stopped or failed, and what can be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poolsearch.sweep.running.launch import in_words

if TYPE_CHECKING:
    from poolsearch.sweep.running.coordinator import Coordinator

_SAME_FAILURES = 10  # in a row, and the sweep stops with their reason


def hopeless(sweep: Coordinator) -> str:
    """Return why a sweep can't go on, or "": its last ten trials failed, or lost their workers, for the same reason."""
    last = list(sweep.failures.values())[-_SAME_FAILURES:]
    if len(last) == _SAME_FAILURES and len({kind for kind, _ in last}) == 1:
        return f"{_SAME_FAILURES} trials in a row failed for the same reason: {last[-1][1]}"
    return ""


def ending(sweep: Coordinator) -> tuple[Any, str]:
    """Return the last state of a sweep whose loop is over, and the sentence with it."""
    if reason := hopeless(sweep):
        return "failed", reason
    if sweep.stopping:
        return "stopped", "It can be resumed."
    if sweep.lost:
        return "incomplete", _lost(sweep)
    there, trials = sweep.counts.total(), sweep.config.trials
    if there > trials:
        return "done", f"It has {there} trials, more than the budget of {trials}: no other one is tried."
    if there == trials and not sweep.finished_now and not sweep.retime:
        again = in_words("time", sweep.config.study)
        return "done", f"All {trials} trials were there already, and nothing was measured. To time them again: {again}"
    if there == trials:
        return "done", ""
    if sweep.spent():
        return "done", f"Its {sweep.config.minutes:g} minutes are over."
    return "done", "The space holds no further Plan."


def _lost(sweep: Coordinator) -> str:
    lost, one = len(sweep.lost), len(sweep.lost) == 1
    trials = f"{lost} of {sweep.counts.total()} trials {'has' if one else 'have'} no figures"
    died = f"{'its' if one else 'their'} worker died in every attempt"
    return f"{trials}: {died}. Run {'it' if one else 'them'} again: {in_words('retry', sweep.config.study)}"
