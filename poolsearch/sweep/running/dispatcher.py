"""Gives trials to the engine and records what becomes of them: in the study first, then in the state and the search.

It is the one place where the four move together; the loop, the commands and the timing at the end call it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

from poolsearch import files
from poolsearch.config import SweepConfig, to_toml
from poolsearch.errors import EngineError, PoolsearchError, StudyError, TrialFailed
from poolsearch.records.sweep import FailureKind, SweepStatus
from poolsearch.sweep.engines.answers import (
    Answer,
    DiskFull,
    Done,
    EpochEnded,
    Failed,
    WaitsForDevice,
    WorkerDied,
    answer_of,
)
from poolsearch.sweep.engines.engine import Engine
from poolsearch.sweep.engines.jobs import Job, TrialJob
from poolsearch.sweep.running.attempts import STARTS
from poolsearch.sweep.running.clock import WorkClock
from poolsearch.sweep.running.state import SweepState
from poolsearch.sweep.running.status import phase, status_of
from poolsearch.sweep.search.proposals import Proposals
from poolsearch.sweep.search.space import Space
from poolsearch.sweep.study import results
from poolsearch.sweep.study.reader import CANCELLED, Kept
from poolsearch.sweep.study.writer import Writer

OnChange = Callable[[SweepStatus], None]


class Interrupted(PoolsearchError):
    """A signal came while the coordinator waited for the database."""


class Dispatcher:
    """A sweep's state, study, search and engine."""

    def __init__(
        self, config: SweepConfig, space: Space, writer: Writer, engine: Engine, on_change: OnChange, elapsed_s: float
    ) -> None:
        self.home = writer.location.home
        self.state = SweepState(config, WorkClock(elapsed_s))
        self.space, self.writer, self.engine, self.on_change = space, writer, engine, on_change
        writer.on_wait = self._waiting_for_storage
        self.proposals = Proposals(config, space)
        self.check_folder: Callable[[], None] = lambda: None  # raises GoneError when the sweep's folder is gone
        self.answers: list[Answer] = []  # that came and are not handled yet
        self.toml = to_toml(config)  # what workers get: budget and limits, which may change, are not their matter
        self._least_mb = 0.0  # what must be free since the disk was found full
        self._written_s = 0.0
        self.status = SweepStatus(config.study, "running", config.trials)
        for trial in writer.trials():
            self._adopt(trial)

    def _adopt(self, trial: Kept) -> None:
        """Take over a trial of an earlier run: one that has its figures is complete, any other runs again."""
        attributes, number, config = trial.attributes, trial.number, self.state.config
        self.state.known(number, attributes)
        values = results.values(attributes["result"], config) if trial.state == "COMPLETE" else None
        self.proposals.adopt(number, attributes["plan"], values, not trial.ended)
        if trial.ended:
            self.state.ended_before(number, trial.outcome, trial.lost)
            return
        result = attributes.get("result") or self._result_on_disk(number)
        if result:
            self.complete(number, result)
        elif self.state.attempts.lost_coordinators(number) >= STARTS:
            self.fail(number, "crash", f"It was started {STARTS} times, and each time the sweep died with it.")
        else:
            self.state.set_back(number)

    def _result_on_disk(self, number: int) -> Any:
        try:
            return json.loads(self.home.result_file(number).read_text())
        except (OSError, ValueError):
            return None

    # -------------------------------------------------------------------------------------------------- what is started

    def start_next(self) -> bool:
        """Give a free worker the next trial; return False when none may start now."""
        attempts = self.state.attempts
        if attempts.alone(self.state.flights) is not None:
            return False
        number = self._tried_again(attempts.first())
        number = self._created() if number is None else number
        number = self._tried_again(attempts.again(alone=not self.state.flights)) if number is None else number
        if number is None:
            return False
        weights = str(self.home.weights_file(number))
        plan, seed = self.state.plans[number], self.state.config.seed
        self.submit(TrialJob(number, attempts.starts[number], self.toml, plan, seed, weights))
        return True

    def _tried_again(self, number: int | None) -> int | None:
        """Count another attempt of a trial, before it can bring anything down; return its number."""
        if number is not None:
            self.writer.note(number, "attempts", self.state.tried_again(number))
        return number

    def _created(self) -> int | None:
        """Return the number of a trial that is new in the study, or None when the budget or the space is used up."""
        proposal = None if self.state.spent() else self.proposals.next()
        if proposal is None:
            return None
        attributes = {"plan": str(proposal.plan), "seed": self.state.config.seed, "attempts": 1}
        number = self.writer.add(proposal.running_trial(self.space, attributes))
        self.proposals.take(number, proposal)
        self.state.created(number, str(proposal.plan))
        return number

    def submit(self, job: Job) -> None:
        """Give a job to a free worker."""
        self.engine.submit(job)
        self.state.started(job.id)

    # ------------------------------------------------------------------------------------------------- what came of it

    def poll(self, timeout_s: float) -> list[Answer]:
        """Return what the engine has answered. An answer that can't be read fails its trial as a bug of the engine."""
        answers: list[Answer] = []
        for message in self.engine.poll(timeout_s):
            try:
                answers.append(answer_of(message))
            except EngineError as error:
                if self._at_work(message.get("id"), message.get("attempt")):
                    self.give_up(message["id"], str(error), "bug")
        return answers

    def handle(self) -> None:
        """Record every answer that has come."""
        while self.answers:
            answer = self.answers.pop(0)
            if self.ended(answer):
                self.state.answered(answer.id)
                self._record(answer)

    def ended(self, answer: Answer) -> bool:
        """Return whether an answer is the last of a job at work; of any other it is taken note here."""
        if not self._at_work(answer.id, answer.attempt):
            return False  # of an attempt that was given up
        if isinstance(answer, EpochEnded):
            self.state.epoch_ended(answer.id, answer.row)
        elif isinstance(answer, WaitsForDevice):
            self.state.waits_for_device(answer.id, answer.holder)
        return not isinstance(answer, EpochEnded | WaitsForDevice)

    def _at_work(self, number: object, attempt: object) -> bool:
        flight = self.state.flights.get(number) if isinstance(number, int) else None
        return flight is not None and flight.attempt == attempt

    def _record(self, answer: Answer) -> None:
        number = answer.id
        if isinstance(answer, Done):
            self.complete(number, answer.figures)
        elif isinstance(answer, Failed):
            if answer.environment is not None:
                self.writer.note(number, "environment", answer.environment)
            self.fail(number, answer.kind, answer.reason)
        elif isinstance(answer, DiskFull):
            self.state.set_back(number)
            self._least_mb = max(self._least_mb, self._free_mb() + 1)  # trying again with as little would be in vain
        elif isinstance(answer, WorkerDied):
            self._worker_died(number, answer.reason, answer.outside)

    def _worker_died(self, number: int, reason: str, outside: bool) -> None:
        final = self.state.worker_died(number, reason, outside)
        attempts = self.state.attempts
        name, count = ("kills", attempts.kills[number]) if outside else ("deaths", attempts.deaths[number])
        self.writer.note(number, name, count)
        if final:
            self.fail(number, "crash", f"{reason} {final}")

    def complete(self, number: int, result: dict[str, Any]) -> None:
        """Keep the figures of a trial; figures that can't be are a failure."""
        try:
            values = results.values(result, self.state.config)
        except TrialFailed as error:
            self.fail(number, "non_finite", str(error))
            return
        self.writer.complete(number, values, result)
        self.proposals.tell(number, values)
        self.state.finished(number)
        self.report(force=True)

    def fail(self, number: int, kind: FailureKind, reason: str) -> None:
        """End a trial without figures."""
        self.writer.fail(number, kind, reason)
        self.proposals.tell(number, None)
        if kind == CANCELLED:
            self.state.cancelled(number)
        else:
            self.state.failed(number, kind, reason)
        self.report(force=True)

    def give_up(self, number: int, reason: str, kind: FailureKind = "time") -> None:
        """End a job at work and fail its trial."""
        self.engine.cancel(number)
        self.state.answered(number)
        if number >= 0:  # the timing of all Plans together is no trial
            self.fail(number, kind, reason)

    def cancel(self, number: int) -> None:
        """End a trial by hand. Raises PoolsearchError when it is neither at work nor in line."""
        if number in self.state.flights:
            self.give_up(number, "Cancelled by hand.", "cancelled")
        elif self.state.attempts.drop(number):
            self.fail(number, "cancelled", "Cancelled by hand.")
        else:
            running = ", ".join(map(str, self.state.flights)) or "none"
            raise PoolsearchError(f"Trial {number} is neither running nor waiting. Running: {running}.")

    def retry(self) -> list[int]:
        """Return the numbers of the trials that were lost to deaths of their workers: they run again.

        Raises StudyError when there are none.
        """
        if not self.state.lost:
            study = self.state.config.study
            raise StudyError(f"No trial of '{study}' was lost to a dead worker: there is nothing to retry.")
        numbers = sorted(self.state.lost)
        self.writer.reopen(numbers)
        for number in numbers:
            self.proposals.reopen(number)
        self.state.reopened(numbers)
        return numbers

    def enforce_limits(self) -> None:
        """Give up the jobs that take too long."""
        for number, reason in self.state.overdue(self.engine.resources().waiting).items():
            self.give_up(number, reason)

    def keep_on_disk(self) -> None:
        """Keep in files what the workers have answered and the database could not take."""
        with contextlib.suppress(PoolsearchError):
            self.answers += self.poll(0.1)
        for answer in self.answers:
            if isinstance(answer, Done) and answer.id >= 0:
                self.writer.keep_on_disk(answer.id, answer.figures)

    # --------------------------------------------------------------------------------------------- the disk, the status

    def look_at_the_disk(self) -> None:
        """Hold the sweep while the disk is full."""
        self.state.disk_seen(self._free_mb(), max(self._least_mb, self.state.config.limits.free_mb), self.home.path)

    def _free_mb(self) -> float:
        return files.free_bytes(self.home.path) / 1e6

    def _waiting_for_storage(self, message: str) -> None:
        self.report("paused", message, force=True)
        if self.state.stop:
            raise Interrupted("Stopped while the database was not responding. It can be resumed.")

    def report(self, state: Any = None, message: str = "", force: bool = False) -> None:
        """Write the sweep's status, at most once a second unless forced. Raises GoneError when its folder is gone."""
        self.check_folder()
        now = time.monotonic()
        if not force and now - self._written_s < 1.0:
            return
        self._written_s = now
        self.state.tick()
        self.status = status_of(self.state, self.engine.resources(), state or phase(self.state), message)
        with contextlib.suppress(OSError):  # the disk is full: the study matters, what a page shows does not
            self.home.write_status(self.status)
        self.on_change(self.status)
