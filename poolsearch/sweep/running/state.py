"""The state of a running sweep as one record, changed by named transitions. Nothing here writes, waits or starts a job.

A transition says what has happened: a trial `started`, `finished`, `failed`, was `cancelled`, its `worker_died`; the
sweep was `paused`, `resumed`, is `stopping`. Whoever calls one has stored it in the study before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from poolsearch.config import SweepConfig
from poolsearch.records.sweep import EpochRow
from poolsearch.sweep.running.attempts import Attempts
from poolsearch.sweep.running.clock import WorkClock
from poolsearch.sweep.study.reader import CANCELLED

_SAME_FAILURES = 10  # in a row, and the sweep stops with their reason


@dataclass
class Flight:
    """A job at work; its times are on the clock of work."""

    attempt: int
    submitted_s: float
    begun_s: float
    heard_s: float
    waits_for: str = ""  # who measures on the device that it waits for
    curve: list[EpochRow] = field(default_factory=list)

    def age_not(self, seconds: float, now_s: float) -> None:
        """Take seconds that were not its own off its age."""
        self.begun_s, self.heard_s = min(now_s, self.begun_s + seconds), min(now_s, self.heard_s + seconds)


@dataclass
class SweepState:
    """What a coordinator knows of its sweep."""

    config: SweepConfig
    clock: WorkClock = field(default_factory=WorkClock)
    plans: dict[int, str] = field(default_factory=dict)  # the text of the Plan of each trial
    attempts: Attempts = field(default_factory=Attempts)
    flights: dict[int, Flight] = field(default_factory=dict)  # jobs at work, by trial
    counts: Counter[str] = field(default_factory=Counter)  # of trials that ended: COMPLETE, FAIL, cancelled
    lost: set[int] = field(default_factory=set)  # trials that failed because their worker died in every attempt
    recent_failures: dict[int, tuple[str, str]] = field(default_factory=dict)  # (kind, reason) since the last success
    ended_now: int = 0  # trials that ended in this run: what the time left is reckoned from
    stop: bool = False  # a signal or a command asked for it
    pause: str = ""  # why no trial begins, by command; "": it does
    disk_full: str = ""  # why the disk counts as full; it goes on by itself
    retime: bool = False  # time all networks together also where nothing ended since they were

    def __post_init__(self) -> None:
        """Remember when this run began, on the clock of work."""
        self.began_s = self._enforced_s = self.clock.now_s

    # ------------------------------------------------------------------------------------------------ what it comes to

    def hopeless(self) -> str:
        """Return why a sweep can't go on, or "": its last ten trials failed, or lost their workers, by one cause."""
        last = list(self.recent_failures.values())[-_SAME_FAILURES:]
        if len(last) == _SAME_FAILURES and len({kind for kind, _ in last}) == 1:
            return f"{_SAME_FAILURES} trials in a row failed for the same reason: {last[-1][1]}"
        return ""

    def spent(self) -> bool:
        """Return whether the budget is: of trials, or of minutes at work."""
        minutes = self.config.minutes
        return len(self.plans) >= self.config.trials or bool(minutes and self.clock.now_s >= 60 * minutes)

    def held(self) -> bool:
        """Return whether no trial may begin now."""
        return bool(self.stop or self.pause or self.disk_full or self.hopeless())

    def tick(self) -> float:
        """Return the time at work in seconds, moved on to now; it stands still while the sweep is paused and idle."""
        return self.clock.tick(at_work=bool(self.flights) or not (self.pause or self.disk_full))

    # ------------------------------------------------------------------------------------------- transitions of a trial

    def known(self, number: int, attributes: dict[str, Any]) -> None:
        """Take over a trial of an earlier run with what the study keeps of it."""
        self.plans[number] = attributes["plan"]
        self.attempts.adopt(number, attributes)

    def ended_before(self, number: int, outcome: str, lost: bool) -> None:
        """Count a trial that ended in an earlier run."""
        self.counts[outcome if outcome in ("COMPLETE", CANCELLED) else "FAIL"] += 1
        if lost:
            self.lost.add(number)

    def created(self, number: int, plan: str) -> None:
        """Add a trial that is new in the study: its first attempt is about to start."""
        self.plans[number] = plan
        self.attempts.starts[number] = 1

    def tried_again(self, number: int) -> int:
        """Count another attempt that is about to start; return how many that makes."""
        self.attempts.starts[number] += 1
        return self.attempts.starts[number]

    def started(self, number: int) -> None:
        """Put a job among those at work."""
        now = self.clock.now_s
        self.flights[number] = Flight(self.attempts.starts[number], now, now, now)

    def epoch_ended(self, number: int, row: EpochRow) -> None:
        """Take note of an epoch of a trial at work."""
        flight = self.flights[number]
        flight.heard_s = self.clock.now_s
        flight.curve.append(row)

    def waits_for_device(self, number: int, holder: str) -> None:
        """Take note of who measures on the device that a job waits for, "" when it does not any more."""
        self.flights[number].waits_for = holder

    def answered(self, number: int) -> None:
        """Take a job off those at work: its last answer came, or it was given up."""
        self.flights.pop(number, None)

    def finished(self, number: int) -> None:
        """Count a trial with figures."""
        self.answered(number)
        self.recent_failures.clear()
        self._ended("COMPLETE")

    def failed(self, number: int, kind: str, reason: str) -> None:
        """Count a trial without figures; one whose workers died is lost, and may be tried anew."""
        self.answered(number)
        self._remember(number, kind, reason)
        if kind == "crash":
            self.lost.add(number)
        self._ended("FAIL")

    def cancelled(self, number: int) -> None:
        """Count a trial that was ended by hand: neither finished nor failed."""
        self.answered(number)
        self._ended(CANCELLED)

    def worker_died(self, number: int, reason: str, outside: bool) -> str:
        """Count a death of a worker under a trial; return why it is not tried again, or "" when it is in line.

        `outside`: by a signal while memory was free, or with its node.
        """
        self.answered(number)
        (self.attempts.kills if outside else self.attempts.deaths)[number] += 1
        if final := self.attempts.exhausted(number):
            return final
        if not outside:
            self._remember(number, "crash", reason)
        self.attempts.wait(number)
        return ""

    def set_back(self, number: int) -> None:
        """Put a trial in line again that can't go on now, or was at work when an earlier run ended."""
        self.answered(number)
        self.attempts.wait(number)

    def reopened(self, numbers: Collection[int]) -> None:
        """Let lost trials begin anew, at the back of the line."""
        for number in numbers:
            self.attempts.forget(number)
        self.counts["FAIL"] -= len(numbers)
        self.lost.difference_update(numbers)

    def _remember(self, number: int, kind: str, reason: str) -> None:
        """Keep what the last trials to go wrong died of: ten of one kind in a row stop the sweep."""
        self.recent_failures.pop(number, None)
        self.recent_failures[number] = kind, reason

    def _ended(self, outcome: str) -> None:
        self.counts[outcome] += 1
        self.ended_now += 1

    def overdue(self, no_room: Collection[int]) -> dict[int, str]:
        """Return the trials at work that met a limit, each with the reason; time spent waiting is not theirs."""
        now, limits = self.tick(), self.config.limits
        passed, self._enforced_s = now - self._enforced_s, now
        late = {}
        for number, flight in self.flights.items():
            if number in no_room or flight.waits_for:
                flight.age_not(passed, now)
            elif now - flight.begun_s > limits.trial_s:
                late[number] = f"No result after {limits.trial_s:g} s (limits.trial_s); it was stopped."
            elif now - flight.heard_s > limits.silent_s:
                late[number] = f"No epoch finished for {limits.silent_s:g} s (limits.silent_s); it was stopped."
        return late

    # --------------------------------------------------------------------------------------- transitions of the sweep

    def paused(self) -> None:
        """Let no trial begin until it is resumed."""
        self.pause = "Running trials finish; no new ones start."

    def resumed(self) -> None:
        """Let trials begin again."""
        self.pause = ""

    def stopping(self) -> None:
        """End this run soon; trials at work begin anew in the next."""
        self.stop = True

    def budget_changed(self, config: SweepConfig) -> None:
        """Go on with more trials or minutes."""
        self.config = config

    def disk_seen(self, free_mb: float, least_mb: float, place: object) -> None:
        """Let no trial begin while less than the least is free."""
        message = f"Only {free_mb:.0f} MB are free in {place}. The sweep continues once {least_mb:.0f} MB are free."
        self.disk_full = message if free_mb < least_mb else ""
