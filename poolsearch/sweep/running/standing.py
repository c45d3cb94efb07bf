"""Where a sweep stands, as its coordinator sees it: counts, what is at work, time left, and why nothing moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from poolsearch.records.sweep import RunningTrial, SweepStatus
from poolsearch.sweep.study.store import CANCELLED

if TYPE_CHECKING:
    from poolsearch.sweep.running.coordinator import Coordinator

_NO_ROOM_S = 10.0  # for which a job has waited in a cluster before that is said
_TRIALS_BEFORE_A_GUESS = 3


def standing(sweep: Coordinator, state: Any, message: str = "") -> SweepStatus:
    """Return the status of a sweep; without a message it says what holds it up, if anything does."""
    there = sweep.engine.resources()
    return SweepStatus(
        sweep.config.study, state, sweep.config.trials,
        complete=sweep.counts["COMPLETE"],
        failed=sweep.counts["FAIL"],
        cancelled=sweep.counts[CANCELLED],
        lost=len(sweep.lost),
        running=_at_work(sweep),
        elapsed_s=sweep.clock.now_s,
        left_s=_left_s(sweep),
        message=message or sweep.full or sweep.paused or busy_device(sweep) or _no_room(sweep, there.waiting),
        minutes=sweep.config.minutes,
        workers=there.workers, device=there.device, cpu_percent=there.cpu_percent, memory_bytes=there.memory_bytes,
    )  # fmt: skip


def _left_s(sweep: Coordinator) -> float | None:
    """Return the seconds that are left: by the minutes of the budget, and by its trials once three have ended."""
    minutes, now = sweep.config.minutes, sweep.clock.now_s
    time_left = None if minutes is None else max(0.0, 60 * minutes - now)
    if sweep.finished_now < _TRIALS_BEFORE_A_GUESS:
        return time_left
    each = (now - sweep.started_s) / sweep.finished_now
    trials_left = each * max(0, sweep.config.trials - sweep.counts.total())
    return trials_left if time_left is None else min(trials_left, time_left)


def _at_work(sweep: Coordinator) -> tuple[RunningTrial, ...]:
    texts, now = sweep.proposals.texts, sweep.clock.now_s
    return tuple(
        RunningTrial(number, texts.get(number, "timing"), flight.attempt, now - flight.begun_s, tuple(flight.curve))
        for number, flight in sweep.flights.items()
    )


def busy_device(sweep: Coordinator) -> str:
    """Say which trials wait to be timed, and who holds the device."""
    waiting = {number: flight.waits_for for number, flight in sweep.flights.items() if flight.waits_for}
    if not waiting:
        return ""
    who = ", ".join(f"trial {number}" if number >= 0 else "all trials together" for number in waiting)
    return f"Waits to be timed: {who}. The device is held by {next(iter(waiting.values()))}."


def _no_room(sweep: Coordinator, waiting: tuple[int, ...]) -> str:
    """Say how many trials wait for room in a cluster, when they have for a while."""
    flights = [sweep.flights[number] for number in waiting if number in sweep.flights]
    count = sum(sweep.clock.now_s - flight.submitted_s > _NO_ROOM_S for flight in flights)
    return f"Trials that wait for room: {count}." if count else ""
