"""Time at work, for limits and budgets: a suspended laptop or a stopped process does not age its trials."""

from __future__ import annotations

import time

_STEP_S = 5.0  # the coordinator looks twice a second: a longer step means that it was asleep


class WorkClock:
    """A clock that `tick` moves on, by what passed since the last tick, but by five seconds at most."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.now_s = start_s
        self._last = time.monotonic()

    def tick(self, at_work: bool = True) -> float:
        """Return the time at work in seconds, moved on to now; while nobody works it stands still."""
        present = time.monotonic()
        self.now_s += min(present - self._last, _STEP_S) if at_work else 0.0
        self._last = present
        return self.now_s
