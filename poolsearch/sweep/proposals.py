"""Which Plan comes next: Optuna's sampler over a study in memory that mirrors the stored one.

A Plan that was seen already is told to the mirror alone, so that the stored study holds each Plan once and the sampler
still learns (TPE alone repeats up to half of its proposals in small spaces). The published network comes first.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from poolsearch.config import SweepConfig
from poolsearch.errors import PoolsearchError
from poolsearch.plan import Plan
from poolsearch.sweep import store
from poolsearch.sweep.space import Space, suggest_plan

_REPEATS = 100  # proposals of known Plans in a row before one is drawn evenly instead
_DRAWS = 2000  # even draws before the space counts as exhausted


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


class Proposals:
    """The Plans of one sweep: those taken, and the next."""

    def __init__(self, config: SweepConfig, space: Space) -> None:
        self.space = space
        self.texts: dict[int, str] = {}  # number in the study -> Plan text
        self._numbers: dict[str, int] = {}  # and back
        self._mirrored: dict[int, int] = {}  # number in the study -> number in the mirror
        self._random = random.Random(config.seed)
        startup = min(10, max(4, config.trials // 3))
        sampler = optuna.samplers.TPESampler(seed=config.seed, multivariate=True, n_startup_trials=startup)
        self._mirror = optuna.create_study(directions=store.directions(config), sampler=sampler)

    def adopt(self, trial: FrozenTrial) -> None:
        """Take over a trial of an earlier run."""
        self._keep(trial.number, trial.user_attrs["plan"], self._add(trial))

    def take(self, number: int, proposal: Proposal) -> None:
        """Say that a proposal became the trial of this number."""
        mirror = proposal.mirror
        if mirror is None:
            mirror = self._add(proposal.running_trial(self.space, {}))
        self._keep(number, str(proposal.plan), mirror)

    def tell(self, number: int, values: list[float]) -> None:
        """Tell the sampler what came of a trial."""
        self._mirror.tell(self._mirrored[number], values)

    def fail(self, number: int) -> None:
        """Tell the sampler that nothing came of a trial."""
        self._mirror.tell(self._mirrored[number], state=TrialState.FAIL)

    def next(self) -> Proposal | None:
        """Return a Plan that no trial has, or None when the space is exhausted."""
        if not self.texts:
            published = self.space.published
            return Proposal(published, self.space.params_of(published) or {})
        return self._sampled() or self._drawn()

    def _sampled(self) -> Proposal | None:
        for _ in range(_REPEATS):
            trial = self._mirror.ask()
            try:
                plan = suggest_plan(trial, self.space)
            except PoolsearchError:  # the combination does not fit the maps
                self._mirror.tell(trial, state=TrialState.FAIL)
                continue
            if str(plan) not in self._numbers:
                return Proposal(plan, trial.params, trial.number)
            self._repeat(trial, self._numbers[str(plan)])
        return None

    def _drawn(self) -> Proposal | None:
        for _ in range(_DRAWS):
            params = self.space.draw(self._random)
            try:
                plan = self.space.plan(params)
            except PoolsearchError:
                continue
            if str(plan) not in self._numbers:
                return Proposal(plan, params)
        return None

    def _repeat(self, trial: optuna.Trial, number: int) -> None:
        """Tell the mirror what is known of a Plan; nothing is trained or stored twice."""
        known = self._mirror.get_trials(deepcopy=False)[self._mirrored[number]]
        if known.state == TrialState.COMPLETE:
            self._mirror.tell(trial, known.values)
        else:
            self._mirror.tell(trial, state=TrialState.FAIL)

    def _add(self, trial: FrozenTrial) -> int:
        self._mirror.add_trial(trial)
        return len(self._mirror.get_trials(deepcopy=False)) - 1

    def _keep(self, number: int, text: str, mirror: int) -> None:
        self.texts[number] = text
        self._numbers[text] = number
        self._mirrored[number] = mirror
