"""The one process that owns a study: it asks the sampler, dispatches to workers, and tells what came back.

Which Plan comes next is the matter of `proposals`, what is written of `ledger`, what a trial does of `worker`.
Nothing here asks a clock whether a worker lives: its pipe says so.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from poolsearch import files
from poolsearch.config import SweepConfig, to_toml
from poolsearch.errors import BusyError, GoneError, PoolsearchError, TrialFailed
from poolsearch.records.sweep import EpochRow, SweepStatus
from poolsearch.sweep.engines.engine import Answer, Engine, FailureKind, Job
from poolsearch.sweep.folder import folder
from poolsearch.sweep.running.attempts import BEGUN, Attempts
from poolsearch.sweep.running.clock import WorkClock
from poolsearch.sweep.running.control import obey
from poolsearch.sweep.running.ending import ending, hopeless
from poolsearch.sweep.running.standing import standing
from poolsearch.sweep.running.timing import time_together
from poolsearch.sweep.search.proposals import Proposals
from poolsearch.sweep.search.space import Space
from poolsearch.sweep.study import results
from poolsearch.sweep.study.ledger import Ledger
from poolsearch.sweep.study.store import CANCELLED, Kept

OnChange = Callable[[SweepStatus], None]


class Interrupted(PoolsearchError):
    """A signal came while the coordinator waited for the database."""


@dataclass
class Flight:
    """A job at work."""

    attempt: int
    submitted_s: float  # this and the next two on the clock of work
    begun_s: float
    heard_s: float
    waits_for: str = ""  # who measures on the device that it waits for, in words
    curve: list[EpochRow] = field(default_factory=list)

    def hears(self, answer: Answer, now_s: float) -> bool:
        """Return whether an answer is one behind which more will come; it is taken note of."""
        if answer["event"] == "epoch":
            self.heard_s = now_s
            self.curve.append(EpochRow(**answer["row"]))
        elif answer["event"] == "waits":
            self.waits_for = answer["for"]
        return answer["event"] in ("epoch", "waits")

    def age_not(self, seconds: float, now_s: float) -> None:
        """Take seconds that were not its own off its age."""
        self.begun_s, self.heard_s = min(now_s, self.begun_s + seconds), min(now_s, self.heard_s + seconds)


class Coordinator:
    """One run of one sweep, from the first dispatch to done, stopped or hopeless."""

    def __init__(
        self, config: SweepConfig, space: Space, ledger: Ledger, engine: Engine, on_change: OnChange, elapsed_s: float
    ) -> None:
        self.config, self.ledger, self.engine, self.on_change = config, ledger, engine, on_change
        ledger.on_wait = self._waiting_for_storage
        self.space, self.toml = space, to_toml(config)
        self.clock = WorkClock(elapsed_s)
        self.started_s = self.enforced_s = elapsed_s
        self.check_folder: Callable[[], None] = lambda: None  # raises GoneError when the sweep's folder is gone
        self.stopping = False  # by a signal or a command
        self.retime = False  # time all networks together also where nothing ended since they were
        self.paused = ""  # why, in words; "" is not
        self._place = folder.folder_of(config.study)
        self.least_mb = 0.0  # what must be free since the disk was found full
        self.full = ""  # why the disk counts as full, in words; it goes on by itself
        self.proposals = Proposals(config, space)
        self.attempts = Attempts()
        self.flights: dict[int, Flight] = {}
        self.answers: list[Answer] = []  # that came and are not handled yet
        self.lost: set[int] = set()  # trials that failed because their worker died each time
        self.counts: Counter[str] = Counter()
        self.finished_now = 0  # trials that ended in this run: what the time left is reckoned from
        self.failures: dict[int, tuple[str, str]] = {}  # kind and reason of the trials that failed in a row
        self.written = 0.0
        self.status = SweepStatus(config.study, "running", config.trials)
        for trial in ledger.trials():
            self._adopt(trial)

    # ------------------------------------------------------------------------------------------------- earlier runs

    def _adopt(self, trial: Kept) -> None:
        """Take over a trial of an earlier run: one whose figures are there is told, any other runs again."""
        said, number = trial.attributes, trial.number
        self.attempts.adopt(number, said)
        values = results.values(said["result"], self.config) if trial.state == "COMPLETE" else None
        self.proposals.adopt(number, said["plan"], values, not trial.ended)
        if trial.ended:
            self.counts[trial.outcome if trial.outcome in ("COMPLETE", CANCELLED) else "FAIL"] += 1
            if trial.lost:
                self.lost.add(number)
            return
        result = said.get("result") or self._result_on_disk(number)
        if result:
            self._tell(number, result)
        elif self.attempts.lost_coordinators(number) >= BEGUN:
            self.fail(number, "crash", f"It was begun {BEGUN} times, and each time the sweep ended with it.")
        else:
            self.attempts.wait(number)

    def _result_on_disk(self, number: int) -> Any:
        try:
            return json.loads(folder.result_file(self.config.study, number).read_text())
        except (OSError, ValueError):
            return None

    # ----------------------------------------------------------------------------------------------------- the loop

    def work(self) -> None:
        """Dispatch and tell until done, stopped or hopeless; then time all finished Plans together.

        Raises GoneError when the sweep's folder is gone, BusyError when another coordinator has taken the study over.
        """
        try:
            self.write("running", force=True)
            while self._goes_on():
                self.answers = self.engine.poll(0.5)
                while self.answers:
                    self._handle(self.answers.pop(0))
                self.enforce_limits()
                self.write(self.state())
            if not self.stopping and not hopeless(self):
                time_together(self)
        except GoneError:  # nothing may be written, for it would be in another place, or in none
            raise
        except Interrupted:
            self.stopping = True
            self._keep_on_disk()
        except BusyError as error:  # another coordinator has taken the study over
            self.write("stopped", str(error), force=True)
            raise
        except PoolsearchError as error:  # no worker can be had, or the database is gone for good
            self._keep_on_disk()
            self.write("failed", str(error), force=True)
            return
        self.write(*ending(self), force=True)

    def _goes_on(self) -> bool:
        """Carry out commands and dispatch; return whether anything is at work or may yet be."""
        self.check_folder()
        self._now()
        self.ledger.keep()
        obey(self)
        self._look_at_the_disk()
        more = True
        while more and not self._held() and self.engine.resources().free:
            more = self._dispatch()
        if self.stopping or hopeless(self):
            return False
        return bool(self.flights) or bool(self.paused or self.full) or more

    def _now(self) -> float:
        return self.clock.tick(at_work=bool(self.flights) or not (self.paused or self.full))

    def _held(self) -> bool:
        return bool(self.stopping or self.paused or self.full or hopeless(self))

    def _dispatch(self) -> bool:
        """Give a free worker the next trial; return False when none may begin now."""
        if self.attempts.alone(self.flights) is not None:
            return False
        number = self._begun_before(self.attempts.first())
        number = self._begin_new() if number is None else number
        number = self._begun_before(self.attempts.again(alone=not self.flights)) if number is None else number
        if number is None:
            return False
        weights = str(folder.weights_file(self.config.study, number))
        plan = self.proposals.texts[number]
        self.submit({"id": number, "do": "trial", "plan": plan, "seed": self.config.seed, "weights": weights})
        return True

    def _begun_before(self, number: int | None) -> int | None:
        """Count another attempt of a trial, before it can bring anything down; return its number."""
        if number is not None:
            self.attempts.begun[number] += 1
            self.ledger.note(number, "attempts", self.attempts.begun[number])
        return number

    def _begin_new(self) -> int | None:
        """Return the number of a trial that is new in the study, or None when the budget or the space is used up."""
        proposal = None if self.spent() else self.proposals.next()
        if proposal is None:
            return None
        attributes = {"plan": str(proposal.plan), "seed": self.config.seed, "attempts": 1}
        number = self.ledger.add(proposal.running_trial(self.space, attributes))
        self.proposals.take(number, proposal)
        self.attempts.begun[number] = 1
        return number

    def submit(self, job: Job) -> None:
        attempt = self.attempts.begun[job["id"]]
        self.engine.submit({**job, "attempt": attempt, "config": self.toml})
        now = self.clock.now_s
        self.flights[job["id"]] = Flight(attempt, now, now, now)

    def spent(self) -> bool:
        """Return whether the budget is: of trials, or of minutes at work."""
        minutes = self.config.minutes
        return len(self.proposals.texts) >= self.config.trials or bool(minutes and self.clock.now_s >= 60 * minutes)

    # ------------------------------------------------------------------------------------------------------ answers

    def _handle(self, answer: Answer) -> None:
        number = answer["id"]
        flight = self.flights.get(number)
        if flight is None or flight.attempt != answer["attempt"]:
            return  # of an attempt that was given up
        if flight.hears(answer, self.clock.now_s):
            return
        del self.flights[number]
        if answer["event"] == "done":
            self._tell(number, _figures(answer))
        elif answer["event"] == "failed":
            if "environment" in answer:
                self.ledger.note(number, "environment", answer["environment"])
            self.fail(number, answer["kind"], answer["reason"])
        elif answer["event"] == "full":
            self.attempts.wait(number)
            self.least_mb = max(self.least_mb, self._free_mb() + 1)  # trying again with as little would be in vain
        else:
            self._run_again(number, answer["reason"], answer.get("outside", False))

    def _keep_on_disk(self) -> None:
        """Keep what the workers have said and the database could not take."""
        with contextlib.suppress(PoolsearchError):
            self.answers += self.engine.poll(0.1)
        for answer in self.answers:
            if answer["event"] == "done" and answer["id"] >= 0:
                self.ledger.keep_on_disk(answer["id"], _figures(answer))

    def _run_again(self, number: int, reason: str, outside: bool) -> None:
        """Count a death of a worker under a trial, and send the trial to the back of the line, or fail it."""
        name, counter = ("kills", self.attempts.kills) if outside else ("deaths", self.attempts.deaths)
        counter[number] += 1
        self.ledger.note(number, name, counter[number])
        if words := self.attempts.exhausted(number):
            self.fail(number, "crash", f"{reason} {words}")
            return
        if not outside:
            self._fails(number, "crash", reason)
        self.attempts.wait(number)

    def enforce_limits(self) -> None:
        now, limits, waiting = self._now(), self.config.limits, self.engine.resources().waiting
        passed, self.enforced_s = now - self.enforced_s, now
        for number, flight in list(self.flights.items()):
            if number in waiting or flight.waits_for:
                flight.age_not(passed, now)
            elif now - flight.begun_s > limits.trial_s:
                self.give_up(number, f"No figures after {limits.trial_s:g} s (limits.trial_s); it was ended.")
            elif now - flight.heard_s > limits.silent_s:
                self.give_up(number, f"No epoch ended for {limits.silent_s:g} s (limits.silent_s); it was ended.")

    def give_up(self, number: int, reason: str, kind: FailureKind = "time") -> None:
        self.engine.cancel(number)
        del self.flights[number]
        if number >= 0:  # the timing of all Plans together is no trial
            self.fail(number, kind, reason)

    def _tell(self, number: int, result: dict[str, Any]) -> None:
        try:
            values = results.values(result, self.config)
        except TrialFailed as error:
            self.fail(number, "non_finite", str(error))
            return
        self.ledger.complete(number, values, result)
        self.proposals.tell(number, values)
        self.failures = {}
        self._count("COMPLETE")

    def fail(self, number: int, kind: FailureKind, reason: str) -> None:
        self.ledger.fail(number, kind, reason)
        self.proposals.tell(number, None)
        if kind != CANCELLED:
            self._fails(number, kind, reason)
        if kind == "crash":
            self.lost.add(number)
        self._count(CANCELLED if kind == CANCELLED else "FAIL")

    def _fails(self, number: int, kind: str, reason: str) -> None:
        """Remember what the last trial to go wrong died of: ten of one kind in a row stop the sweep."""
        self.failures.pop(number, None)
        self.failures[number] = kind, reason

    def _count(self, state: str) -> None:
        self.counts[state] += 1
        self.finished_now += 1
        self.write(self.state(), force=True)

    # ------------------------------------------------------------------------------------------------------- status

    def _look_at_the_disk(self) -> None:
        free, least = self._free_mb(), max(self.least_mb, self.config.limits.free_mb)
        words = f"Only {free:.0f} MB are free in {self._place}. It goes on by itself when there are {least:.0f} MB."
        self.full = words if free < least else ""

    def _free_mb(self) -> float:
        return files.free_bytes(self._place) / 1e6

    def _waiting_for_storage(self, words: str) -> None:
        self.write("paused", words, force=True)
        if self.stopping:
            raise Interrupted("It was stopped while the database did not answer. It can be resumed.")

    def state(self) -> str:
        if self.paused or self.full:
            return "pausing" if self.flights else "paused"
        return "stopping" if self.stopping else "running"

    def write(self, state: Any, message: str = "", force: bool = False) -> None:
        self.check_folder()
        now = time.monotonic()
        if not force and now - self.written < 1.0:
            return
        self.written = now
        self._now()
        self.status = standing(self, state, message)
        try:
            folder.write_status(self.status)
        except OSError:
            pass  # the disk is full: the study matters, what a page shows does not
        self.on_change(self.status)


def _figures(answer: Answer) -> dict[str, Any]:
    """Return what an answer says beside whose it is."""
    return {name: value for name, value in answer.items() if name not in ("id", "attempt", "event")}
