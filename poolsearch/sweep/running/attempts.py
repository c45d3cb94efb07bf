"""How often a trial is tried, and which of those that run again is next.

A trial whose worker died goes to the back of the line, behind every trial that has not started: what killed the worker
(another process that takes all memory, someone's script) meets others first. After three deaths by its own doing it is
tried once more with no other trial at work; a signal from outside while memory was free is counted apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

DEATHS = 3  # of workers by a trial's own doing; then it is tried once more, alone on the machine
KILLS = 30  # of workers by signals from outside under one trial
STARTS = 30  # times a trial is started at most, when its coordinator dies along with it each time


class Attempts:
    """The attempts of all trials of a sweep, and the trials that wait for another one."""

    def __init__(self) -> None:
        self.starts: Counter[int] = Counter()  # attempts of each trial, as stored; so are the next two
        self.deaths: Counter[int] = Counter()  # of workers under a trial, by its own doing
        self.kills: Counter[int] = Counter()  # of workers under a trial, by signals from outside
        self._first: list[int] = []  # started by an earlier run, or stopped by a full disk: before every new trial
        self._again: list[int] = []  # their worker died: behind every new trial

    def adopt(self, number: int, attributes: dict[str, Any]) -> None:
        """Take over what the study says of a trial's attempts."""
        self.starts[number] = attributes.get("attempts", 1)
        self.deaths[number], self.kills[number] = attributes.get("deaths", 0), attributes.get("kills", 0)

    def forget(self, number: int) -> None:
        """Let a trial that was lost to deaths start over, at the back of the line."""
        for counter in (self.starts, self.deaths, self.kills):
            counter[number] = 0
        self._again.append(number)

    def wait(self, number: int) -> None:
        """Put a trial where it belongs in the line: first, or at the back when a worker has died under it."""
        if self.deaths[number] or self.kills[number]:
            self._again.append(number)
        else:
            self._first.append(number)

    def first(self) -> int | None:
        """Take the trial that comes before every new one, or None."""
        return self._first.pop(0) if self._first else None

    def again(self, alone: bool) -> int | None:
        """Take the next trial whose worker died, or None; one that must be alone when nothing else is at work."""
        ready = [number for number in self._again if alone or not self.needs_machine(number)]
        number = min(ready, key=self.needs_machine, default=None)  # the first in line of those that need no solitude
        if number is not None:
            self._again.remove(number)
        return number

    def drop(self, number: int) -> bool:
        """Return whether a trial waited; it does not any more."""
        for line in (self._first, self._again):
            if number in line:
                line.remove(number)
                return True
        return False

    def needs_machine(self, number: int) -> bool:
        """Return whether the next attempt must be alone on the machine."""
        return self.deaths[number] >= DEATHS

    def alone(self, at_work: Collection[int]) -> int | None:
        """Return the trial at work beside which nothing may begin, or None."""
        return next((number for number in at_work if self.needs_machine(number)), None)

    def lost_coordinators(self, number: int) -> int:
        """Return how many attempts ended together with their coordinator."""
        return self.starts[number] - self.deaths[number] - self.kills[number]

    def exhausted(self, number: int) -> str:
        """Return, in words, why a trial is not tried again, or ""."""
        if self.deaths[number] > DEATHS:
            return f"It was tried {self.starts[number]} times, the last time alone on the machine."
        if self.kills[number] >= KILLS:
            return f"That happened {KILLS} times during this trial."
        return ""
