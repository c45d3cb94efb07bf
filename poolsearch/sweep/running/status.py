"""The status of a sweep, from its state: counts, what is at work, time left, and why nothing moves."""

from __future__ import annotations

from typing import Any

from poolsearch.records.sweep import RunningTrial, SweepStatus
from poolsearch.sweep.engines.engine import Resources
from poolsearch.sweep.running.state import SweepState
from poolsearch.sweep.study.reader import CANCELLED

_NO_ROOM_S = 10.0  # for which a job has waited in a cluster before the status mentions it
_TRIALS_BEFORE_A_GUESS = 3


def status_of(state: SweepState, there: Resources, phase: Any, message: str = "") -> SweepStatus:
    """Return the status of a sweep; without a message it says what holds it up, if anything does."""
    held_up = state.disk_full or state.pause or busy_device(state) or _no_room(state, there.waiting)
    return SweepStatus(
        state.config.study, phase, state.config.trials,
        complete=state.counts["COMPLETE"],
        failed=state.counts["FAIL"],
        cancelled=state.counts[CANCELLED],
        lost=len(state.lost),
        running=_at_work(state),
        elapsed_s=state.clock.now_s,
        left_s=_left_s(state),
        message=message or held_up,
        minutes=state.config.minutes,
        workers=there.workers, device=there.device, cpu_percent=there.cpu_percent, memory_bytes=there.memory_bytes,
    )  # fmt: skip


def phase(state: SweepState) -> str:
    """Return the word for what a sweep does whose coordinator is at work."""
    if state.pause or state.disk_full:
        return "pausing" if state.flights else "paused"
    return "stopping" if state.stop else "running"


def _left_s(state: SweepState) -> float | None:
    """Return the seconds that are left: by the minutes of the budget, and by its trials once three have ended."""
    minutes, now = state.config.minutes, state.clock.now_s
    time_left = None if minutes is None else max(0.0, 60 * minutes - now)
    if state.ended_now < _TRIALS_BEFORE_A_GUESS:
        return time_left
    each = (now - state.began_s) / state.ended_now
    trials_left = each * max(0, state.config.trials - state.counts.total())
    return trials_left if time_left is None else min(trials_left, time_left)


def _at_work(state: SweepState) -> tuple[RunningTrial, ...]:
    plans, now = state.plans, state.clock.now_s
    return tuple(
        RunningTrial(number, plans.get(number, "timing"), flight.attempt, now - flight.begun_s, tuple(flight.curve))
        for number, flight in state.flights.items()
    )


def busy_device(state: SweepState) -> str:
    """Say which trials wait to be timed, and who holds the device."""
    waiting = {number: flight.waits_for for number, flight in state.flights.items() if flight.waits_for}
    if not waiting:
        return ""
    who = ", ".join(f"trial {number}" if number >= 0 else "all trials together" for number in waiting)
    return f"Waiting to be timed: {who}. The device is in use by {next(iter(waiting.values()))}."


def _no_room(state: SweepState, waiting: tuple[int, ...]) -> str:
    """Say how many trials wait for room in a cluster, when they have for a while."""
    flights = [state.flights[number] for number in waiting if number in state.flights]
    count = sum(state.clock.now_s - flight.submitted_s > _NO_ROOM_S for flight in flights)
    return f"Trials waiting for a free worker: {count}." if count else ""
