"""The last act of a sweep: all finished Plans timed in one round robin, with nothing else at work here.

While they were trained their neighbours differed; only figures measured together are fit to be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from poolsearch.records.sweep import TrialRow
from poolsearch.sweep.engines.engine import Answer
from poolsearch.sweep.running.control import obey
from poolsearch.sweep.running.standing import busy_device
from poolsearch.sweep.study import store

if TYPE_CHECKING:
    from poolsearch.sweep.running.coordinator import Coordinator

TIMING = -1  # the id of this job
_RETIMED_S = 60.0  # all trials may take this long; else only the front is timed again
_TRIES = 3  # when its worker dies


def worth_timing(study: str, calls: int) -> list[TrialRow]:
    """Return the finished trials to time together: all, or the front where that would take over a minute."""
    rows = [row for row in store.trial_rows(study) if row.state == "complete"]
    if sum(row.latency_ms or 0 for row in rows) * calls > _RETIMED_S * 1000:
        return [row for row in rows if row.on_front or row.published]
    return rows


def time_together(sweep: Coordinator) -> None:
    """Measure, and keep the figures with the study; where it can't be done the figures of the trials stand.

    What was measured together stays as it is until another trial is complete: a front must not change by a look.
    """
    if not sweep.retime and not _due(sweep):
        return
    rows = worth_timing(sweep.config.study, sweep.config.latency.calls)
    plans = [str(row.plan) for row in rows]
    for _ in range(_TRIES if rows else 0):
        while not sweep.engine.resources().free and not sweep.stopping:  # a worker is being replaced
            sweep.engine.poll(0.1)
        if sweep.stopping:
            return
        sweep.attempts.begun[TIMING] += 1
        sweep.submit({"id": TIMING, "do": "latency", "plans": plans})
        answer = _answer(sweep, f"Timing {len(rows)} finished networks together.")
        if answer and answer["event"] == "done":
            numbers = (str(row.number) for row in rows)
            sweep.ledger["latency"] = dict(zip(numbers, answer["latencies"], strict=True))
            sweep.ledger["timed"] = sweep.counts["COMPLETE"]
        if not answer or answer["event"] != "died":
            return


def _due(sweep: Coordinator) -> bool:
    """Return whether a trial is complete that was not there when the others were timed."""
    timed = sweep.ledger["timed"]
    if timed is None:  # by a version that did not keep this
        latencies = sweep.ledger["latency"]
        timed = len(latencies) if isinstance(latencies, dict) else 0
    return bool(timed != sweep.counts["COMPLETE"])


def _answer(sweep: Coordinator, words: str) -> Answer | None:
    """Return what came of the timing; None when the sweep was stopped, or the time limit met."""
    while TIMING in sweep.flights and not sweep.stopping:
        sweep.write("running", busy_device(sweep) or words)
        for answer in sweep.engine.poll(0.5):
            if answer["id"] == TIMING and not sweep.flights[TIMING].hears(answer, sweep.clock.now_s):
                del sweep.flights[TIMING]
                return answer
        sweep.enforce_limits()
        obey(sweep)
    return None
