"""Which Plan comes next: Optuna's sampler over a study in memory that mirrors the stored one.

A Plan that was seen already is told to the mirror alone, so that the stored study holds each Plan once and the sampler
still learns (TPE alone repeats up to half of its proposals in small spaces). The published network comes first. TPE's
time grows with what it looks at (55 ms a proposal at 2,000 trials), so it sees the newest and the best 250: it takes a
tenth of what it sees for good, and 25 at most.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from poolsearch.config import SweepConfig
from poolsearch.errors import PoolsearchError
from poolsearch.plan import Plan
from poolsearch.sweep.search.front import directions, unbeaten
from poolsearch.sweep.search.space import Space, suggest_plan

_REPEATS = 100  # proposals of known Plans in a row before one is drawn evenly instead
_DRAWS = 2000  # even draws before the space counts as exhausted
_SEEN = 250  # trials that the sampler is shown: half of them the newest, half the best of the others


@dataclass(frozen=True)
class Proposal:
    """A Plan that no trial has, the parameters that make it, and its trial in the mirror when it came from there."""

    plan: Plan
    params: dict[str, Any]
    mirror: int | None = None

    def running_trial(self, space: Space, attributes: dict[str, Any]) -> FrozenTrial:
        """Return it as a running trial to store."""
        distributions = {name: space.distributions[name] for name in self.params}
        return create_trial(
            state=TrialState.RUNNING, params=self.params, distributions=distributions, user_attrs=attributes
        )


@dataclass
class _Known:
    """What the sampler may be told of one trial."""

    params: dict[str, Any] | None  # None: of an earlier run, found out when the sampler is shown it
    state: TrialState
    values: list[float] | None = None


class Proposals:
    """The Plans of one sweep: those taken, and the next."""

    def __init__(self, config: SweepConfig, space: Space) -> None:
        self.space = space
        self.texts: dict[int, str] = {}  # number in the study -> Plan text
        self._numbers: dict[str, int] = {}  # and back
        self._known: dict[int, _Known] = {}
        self._mirrored: dict[int, int] = {}  # number in the study -> number in the mirror
        self._seed = config.seed
        startup = min(10, max(4, config.trials // 3))
        self._sampler = optuna.samplers.TPESampler(seed=config.seed, multivariate=True, n_startup_trials=startup)
        self._directions = directions(config)
        self._mirror: optuna.Study | None = None  # made when it is first asked

    def adopt(self, number: int, text: str, values: list[float] | None, running: bool) -> None:
        """Take over a trial of an earlier run: its values, None where it failed or has none yet."""
        state = TrialState.RUNNING if running else TrialState.FAIL if values is None else TrialState.COMPLETE
        self._known[number] = _Known(None, state, values)
        self._name(number, text)

    def take(self, number: int, proposal: Proposal) -> None:
        """Say that a proposal became the trial of this number."""
        self._name(number, str(proposal.plan))
        self._known[number] = _Known(proposal.params, TrialState.RUNNING)
        if proposal.mirror is not None:
            self._mirrored[number] = proposal.mirror
        elif self._mirror:
            self._show(number)

    def tell(self, number: int, values: list[float] | None) -> None:
        """Tell the sampler what came of a trial: its values, or None when it failed."""
        known = self._known[number]
        known.state, known.values = TrialState.FAIL if values is None else TrialState.COMPLETE, values
        if self._mirror and number in self._mirrored:
            self._mirror.tell(self._mirrored[number], values, None if values is not None else TrialState.FAIL)

    def reopen(self, number: int) -> None:
        """Say that a trial that failed runs again."""
        self._known[number].state = TrialState.RUNNING
        self._mirrored.pop(number, None)  # there it has failed permanently
        if self._mirror:
            self._show(number)

    def next(self) -> Proposal | None:
        """Return a Plan that no trial has, or None when the space is exhausted."""
        if not self.texts:
            published = self.space.published
            return Proposal(published, self.space.params_of(published) or {})
        return self._sampled() or self._drawn()

    def _sampled(self) -> Proposal | None:
        for _ in range(_REPEATS):
            mirror = self._looked_into()
            trial = mirror.ask()
            try:
                plan = suggest_plan(trial, self.space)
            except PoolsearchError:  # the combination does not fit the maps
                mirror.tell(trial, state=TrialState.FAIL)
                continue
            if str(plan) not in self._numbers:
                return Proposal(plan, trial.params, trial.number)
            self._repeat(mirror, trial, self._known[self._numbers[str(plan)]])
        return None

    def _drawn(self) -> Proposal | None:
        source = random.Random(f"{self._seed} {len(self.texts)}")  # others after a resume than those drawn before it
        for _ in range(_DRAWS):
            params = self.space.draw(source)
            try:
                plan = self.space.plan(params)
            except PoolsearchError:
                continue
            if str(plan) not in self._numbers:
                return Proposal(plan, params)
        return None

    def _repeat(self, mirror: optuna.Study, trial: optuna.Trial, known: _Known) -> None:
        """Tell the mirror what is known of a Plan; nothing is trained or stored twice."""
        if known.values is not None:
            mirror.tell(trial, known.values)
        else:
            mirror.tell(trial, state=TrialState.FAIL)

    # ------------------------------------------------------------------------------------------------------- the mirror

    def _looked_into(self) -> optuna.Study:
        """Return the study in memory, made anew when it has grown to twice what the sampler is to see."""
        if self._mirror is None or len(self._mirror.get_trials(deepcopy=False)) >= 2 * _SEEN:
            self._mirror = optuna.create_study(directions=self._directions, sampler=self._sampler)
            self._mirrored = {}
            for number in self._worth_seeing():
                self._show(number)
        return self._mirror

    def _worth_seeing(self) -> list[int]:
        """Return the numbers of the running, the newest, and of the others the best: front behind front."""
        running = [number for number, known in self._known.items() if known.state == TrialState.RUNNING]
        ended = [number for number in sorted(self._known) if self._known[number].state != TrialState.RUNNING]
        chosen, left = ended[-_SEEN // 2 :], [n for n in ended[: -_SEEN // 2] if self._known[n].values is not None]
        signs = np.array([1.0 if way == "minimize" else -1.0 for way in self._directions])
        while left and len(chosen) < _SEEN:
            figures = np.array([self._known[number].values for number in left]) * signs
            keep = unbeaten(figures)
            chosen += [number for number, kept in zip(left, keep, strict=True) if kept]
            left = [number for number, kept in zip(left, keep, strict=True) if not kept]
        return sorted(running + chosen)

    def _show(self, number: int) -> None:
        assert self._mirror is not None
        known = self._known[number]
        if known.params is None:
            known.params = self.space.params_of(Plan.parse(self.texts[number]))
        if known.params is None:  # the space does not hold it
            return
        distributions = {name: self.space.distributions[name] for name in known.params}
        self._mirrored[number] = len(self._mirror.get_trials(deepcopy=False))
        self._mirror.add_trial(
            create_trial(state=known.state, params=known.params, distributions=distributions, values=known.values)
        )

    def _name(self, number: int, text: str) -> None:
        self.texts[number] = text
        self._numbers[text] = number
