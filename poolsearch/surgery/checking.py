"""Check a Plan before any weight exists: its sites, what may stand there, and that every map it makes is real."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from poolsearch import memory
from poolsearch.errors import SiteError
from poolsearch.plan import Plan, as_plan
from poolsearch.plan.windows import Field
from poolsearch.records.network import Site
from poolsearch.surgery.edits import Attach, Edit, canonical, edited, edits
from poolsearch.surgery.network import Network, open_network
from poolsearch.surgery.replay import Shape, fields, sizes
from poolsearch.surgery.trace import SizedCall, Trace
from poolsearch.surgery.wider import Widen


@dataclass(frozen=True)
class Replay:
    """A Plan that runs: what it makes of its network, and the size of every result. No model, no weights."""

    network: Network
    plan: Plan  # canonical
    edits: tuple[Edit, ...]
    trace: Trace  # of the changed network
    shapes: tuple[Shape, ...]  # of every call's result
    fields: tuple[Field, ...]  # the receptive field of every call's result

    @property
    def consequences(self) -> tuple[str, ...]:
        """Return what the Plan changes beside its sites, a sentence each: the width of a layer behind a head."""
        return tuple(edit.sentence() for edit in self.edits if isinstance(edit, Widen))


def find_sites(given: Network | Plan | str, size: tuple[int, int, int] | None = None) -> tuple[Site, ...]:
    """Return the sites of a network in network order, with the map sizes at this input size (else its own, or usual).

    Takes a backbone's name, a Plan (its published network is meant) or its text, or an opened Network.
    Raises SiteError when the published network can't run at that size, with the smallest input that can.
    """
    return open_network(given, size).sites


def check(plan: Plan | str) -> Plan:
    """Return the canonical Plan. Raises PlanError or SiteError with the reason when it can't run; nothing is built."""
    return _check(as_plan(plan))


def replayed(plan: Plan | str) -> Replay:
    """Return a Plan as it was checked: the canonical Plan, its network, its edits, and the size of every result.

    Raises PlanError or SiteError with the reason when it can't run.
    """
    return _replayed(check(plan))


@lru_cache(maxsize=4096)
def _check(plan: Plan) -> Plan:
    return _replayed(canonical(plan, open_network(plan))).plan


@memory.kept
def _replayed(plan: Plan) -> Replay:
    network = open_network(plan)
    changes = edits(plan, network)
    trace = edited(network.trace, changes)
    shapes = sizes(trace, plan.size)
    return Replay(network, plan, changes, trace, tuple(shapes), tuple(fields(trace, shapes)))


def untrainable(plan: Plan | str) -> str:
    """Return why a Plan that runs can't be trained, "" when it can: an auxiliary head may need a larger map."""
    return _untrainable(check(plan))


@lru_cache(maxsize=512)
def _untrainable(plan: Plan) -> str:
    replay = _replayed(plan)
    if not replay.trace.idle:
        return ""
    trace, training = replay.network.trace, replay.network.training_trace
    places = {_place(call): index for index, call in enumerate(training.calls)}
    moved = tuple(_elsewhere(edit, trace, places) for edit in replay.edits)
    try:
        sizes(edited(training, moved), plan.size)
    except SiteError as error:
        return str(error)
    return ""


def _place(call: SizedCall) -> tuple[str, str, int, int]:
    return call.path, call.op, call.visit, call.ordinal


def _elsewhere(edit: Edit, trace: Trace, places: dict[tuple[str, str, int, int], int]) -> Edit:
    """Return the edit with the indices that its calls have in another trace of the same network."""

    def now(index: int) -> int:
        return places[_place(trace.calls[index])] if index >= 0 else index

    if isinstance(edit, Attach):
        return replace(edit, call=now(edit.call), only=edit.only and tuple(map(now, edit.only)))
    if isinstance(edit, Widen):
        return replace(edit, call=now(edit.call), head=now(edit.head))
    return replace(edit, call=now(edit.call))
