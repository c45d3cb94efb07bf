"""What may stand at each site of a sweep, and the one function that makes a Plan of an Optuna trial."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from math import prod

from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution

from poolsearch.config import SiteSpace, SweepConfig
from poolsearch.data import datasets
from poolsearch.errors import ConfigError, PoolsearchError, unknown
from poolsearch.networks import backbones
from poolsearch.plan import Plan, PoolSpec
from poolsearch.records.network import Site
from poolsearch.surgery import check, find_sites, possible_kinds
from poolsearch.surgery.suggest import suggest

Choice = tuple[str, int, int]  # kind, kernel, stride


@dataclass(frozen=True)
class Space:
    """The choices at each open site of a backbone, in network order."""

    published: Plan
    sites: tuple[tuple[str, tuple[Choice, ...], tuple[PoolSpec, ...]], ...]  # name, choices, and what each becomes

    @cached_property
    def n_plans(self) -> int:
        """Return how many different combinations there are (some may turn out not to fit the maps)."""
        return prod(len(set(specs)) for _, _, specs in self.sites)

    @cached_property
    def choices(self) -> dict[str, tuple[str | int, ...]]:
        """Return the parameters with a choice, and what there is to choose: kind, kernel and stride of each site."""
        parameters: dict[str, tuple[str | int, ...]] = {}
        for name, choices, _ in self.sites:
            for axis, parameter in enumerate(("kind", "kernel", "stride")):
                values = tuple(dict.fromkeys(choice[axis] for choice in choices))
                if len(values) > 1:
                    parameters[f"{name}.{parameter}"] = values
        return parameters

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the same parameters as Optuna's distributions."""
        return {name: CategoricalDistribution(values) for name, values in self.choices.items()}

    def plan(self, params: dict[str, str | int]) -> Plan:
        """Return the canonical Plan of Optuna's parameters. Raises PoolsearchError when it does not fit the maps."""
        plan = self.published
        for name, choices, specs in self.sites:
            kind, kernel, stride = choices[0]  # what has no choice is not among the parameters
            wanted = (
                params.get(f"{name}.kind", kind),
                params.get(f"{name}.kernel", kernel),
                params.get(f"{name}.stride", stride),
            )
            plan = plan.put(name, next(spec for c, spec in zip(choices, specs, strict=True) if c == wanted))
        return check(plan)

    def params_of(self, plan: Plan) -> dict[str, str | int] | None:
        """Return the parameters that make this Plan, or None when the space doesn't hold it."""
        params: dict[str, str | int] = {}
        stands = {site.name: site.published for site in find_sites(plan)}
        for name, choices, specs in self.sites:
            spec = plan.spec(name) or stands[name]
            if spec not in specs:
                return None
            kind, kernel, stride = choices[specs.index(spec)]
            named: dict[str, str | int] = {f"{name}.kind": kind, f"{name}.kernel": kernel, f"{name}.stride": stride}
            params |= {key: value for key, value in named.items() if key in self.choices}
        return params

    def draw(self, source: random.Random) -> dict[str, str | int]:
        """Return parameters drawn evenly."""
        return {name: source.choice(values) for name, values in self.choices.items()}


def suggest_plan(trial: Trial, space: Space) -> Plan:
    """Return the Plan that Optuna's sampler proposes. The only place where an Optuna trial becomes a Plan.

    Raises PoolsearchError when the proposal does not fit the maps.
    """
    params: dict[str, str | int] = {}
    for name, values in space.choices.items():
        chosen = trial.suggest_categorical(name, values)
        assert isinstance(chosen, str | int)
        params[name] = chosen
    return space.plan(params)


def space_of(config: SweepConfig) -> Space:
    """Return the space of a config. Raises PoolsearchError before any work when a word in it can't be."""
    published = backbones.published(config.backbone)
    datasets.check_room(config.data, config.clutter)
    sites = find_sites(published)
    names = [site.name for site in sites if not site.locked]
    for name in config.space.sites:
        if name not in names:
            raise ConfigError(unknown("site", name, names, where="[space]"))
    open_sites = [
        s for s in sites if not s.locked and ((s.role == "trunk" and not s.keeps_size) or s.name in config.space.sites)
    ]
    chosen = tuple((site.name, *_choices(site, config)) for site in open_sites)
    space = Space(published, chosen)
    if space.n_plans < 2:
        raise ConfigError("The space holds one Plan only. Name more kinds, kernels or strides in [space].")
    _some_plan_runs(space)
    return space


def _choices(site: Site, config: SweepConfig) -> tuple[tuple[Choice, ...], tuple[PoolSpec, ...]]:
    here = config.space.sites.get(site.name, SiteSpace())
    kinds = here.kinds or (config.space.kinds if site.role == "trunk" else possible_kinds(site))
    kernels = here.kernel or config.space.kernel
    strides = (1,) if site.keeps_size else here.stride or config.space.stride
    wrong = next((kind for kind in kinds if kind not in possible_kinds(site)), None)
    if wrong:
        possible = ", ".join(possible_kinds(site))
        raise ConfigError(f"'{wrong}' can't stand at site '{site.name}' of the config. Possible: {possible}.")
    choices, specs = [], []
    for kind in kinds:
        for kernel in kernels if site.role == "trunk" else kernels[:1]:
            for stride in strides if site.role == "trunk" else strides[:1]:
                choices.append((kind, kernel, stride))
                specs.append(suggest(site, kind, (kernel,), (stride,)))
    return tuple(choices), tuple(specs)


def _some_plan_runs(space: Space) -> None:
    """Raise what stops them when none of 200 draws fits the maps."""
    source = random.Random(0)
    problem: PoolsearchError | None = None
    for _ in range(200):
        try:
            space.plan(space.draw(source))
            return
        except PoolsearchError as error:
            problem = error
    raise ConfigError(f"No Plan of the space fits the maps: {problem}")
