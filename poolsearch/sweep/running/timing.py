"""The last act of a sweep: all finished Plans timed in one round robin, with nothing else at work here.

While they were trained their neighbours differed; only figures measured together are fit to be compared.
"""

from __future__ import annotations

from poolsearch.records.sweep import TrialRow
from poolsearch.sweep.engines.answers import Answer, Done, WorkerDied
from poolsearch.sweep.engines.jobs import TimingJob
from poolsearch.sweep.running.control import obey
from poolsearch.sweep.running.dispatcher import Dispatcher
from poolsearch.sweep.running.status import busy_device
from poolsearch.sweep.study.reader import rows_at
from poolsearch.sweep.study.storage import StudyLocation

TIMING = -1  # the id of this job
_RETIMED_S = 60.0  # all trials may take this long; else only the front is timed again
_TRIES = 3  # when its worker dies


def worth_timing(location: StudyLocation, calls: int) -> list[TrialRow]:
    """Return the finished trials to time together: all, or the front where that would take over a minute."""
    rows = [row for row in rows_at(location) if row.state == "complete"]
    if sum(row.latency_ms or 0 for row in rows) * calls > _RETIMED_S * 1000:
        return [row for row in rows if row.on_front or row.published]
    return rows


def time_together(sweep: Dispatcher) -> None:
    """Measure, and keep the figures with the study; where it can't be done the figures of the trials stand.

    What was measured together stays as it is until another trial is complete: a front must not change by a look.
    """
    state = sweep.state
    if not state.retime and not _due(sweep):
        return
    rows = worth_timing(sweep.writer.location, state.config.latency.calls)
    plans = tuple(str(row.plan) for row in rows)
    for _ in range(_TRIES if rows else 0):
        while not sweep.engine.resources().free and not state.stop:  # a worker is being replaced
            sweep.poll(0.1)
        if state.stop:
            return
        sweep.submit(TimingJob(TIMING, state.tried_again(TIMING), sweep.toml, plans))
        answer = _answer(sweep, f"Timing {len(rows)} finished networks together.")
        if isinstance(answer, Done):
            numbers = (str(row.number) for row in rows)
            sweep.writer["latency"] = dict(zip(numbers, answer.figures["latencies"], strict=True))
            sweep.writer["timed"] = state.counts["COMPLETE"]
        if not isinstance(answer, WorkerDied):
            return


def _due(sweep: Dispatcher) -> bool:
    """Return whether a trial is complete that was not there when the others were timed."""
    timed = sweep.writer["timed"]
    if timed is None:  # by a version that did not keep this
        latencies = sweep.writer["latency"]
        timed = len(latencies) if isinstance(latencies, dict) else 0
    return bool(timed != sweep.state.counts["COMPLETE"])


def _answer(sweep: Dispatcher, message: str) -> Answer | None:
    """Return what came of the timing; None when the sweep was stopped, or the time limit met."""
    state = sweep.state
    while TIMING in state.flights and not state.stop:
        sweep.report("running", busy_device(state) or message)
        for answer in sweep.poll(0.5):
            if answer.id == TIMING and sweep.ended(answer):
                state.answered(TIMING)
                return answer
        sweep.enforce_limits()
        obey(sweep)
    return None
