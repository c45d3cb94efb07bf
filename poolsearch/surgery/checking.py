"""Check a Plan before any weight exists: its sites, what may stand there, and that every map it makes is real."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from poolsearch import memory
from poolsearch.errors import SiteError, kind_of
from poolsearch.networks import backbones
from poolsearch.plan import Plan, as_plan
from poolsearch.plan.windows import Field
from poolsearch.records.network import Site
from poolsearch.surgery.edits import Edit, Hang, canonical, edited, edits
from poolsearch.surgery.record import record
from poolsearch.surgery.replay import Shape, fields, sizes
from poolsearch.surgery.sites import find_sites as _find_sites
from poolsearch.surgery.trace import Call, Trace
from poolsearch.surgery.wider import Widen


def find_sites(backbone: str, size: tuple[int, int, int] | None = None) -> tuple[Site, ...]:
    """Return the sites of a backbone in network order, with the map sizes at this input size (its usual one).

    Raises SiteError when the published network can't run at that size, with the smallest input that can.
    """
    if not isinstance(backbone, str):
        raise SiteError(f"A backbone's name is needed, as in 'resnet18'; got {kind_of(backbone)}.")
    size = size or backbones.backbone(backbone).size
    if not (isinstance(size, tuple) and len(size) == 3 and all(isinstance(n, int) for n in size)):
        raise SiteError(f"An input size is three whole numbers, as in (3, 64, 64); got {size!r}.")
    backbones.published(str(Plan(backbone, size)))
    try:
        return _find_sites(backbone, size)
    except SiteError as error:
        raise SiteError(f"{error} {_smallest(backbone, size)}") from None


def _smallest(backbone: str, size: tuple[int, int, int]) -> str:
    """Return the sentence that names the smallest square input the published network runs at."""
    for side in range(1, backbones.backbone(backbone).size[1] + 1):
        try:
            sizes(record(backbone, size[0]), (size[0], side, side))
        except SiteError:
            continue
        return f"The smallest input of {backbone} is {size[0]}x{side}x{side}."
    return ""


def check(plan: Plan | str) -> Plan:
    """Return the canonical Plan. Raises PlanError or SiteError with the reason when it can't run; nothing is built."""
    return _check(as_plan(plan))


@lru_cache(maxsize=4096)
def _check(plan: Plan) -> Plan:
    find_sites(plan.backbone, plan.size)
    plan = canonical(plan)
    replayed(plan)
    return plan


def untrainable(plan: Plan | str) -> str:
    """Return why a Plan that runs can't be trained, "" when it can: an auxiliary head may need a larger map."""
    return _untrainable(check(plan))


@lru_cache(maxsize=512)
def _untrainable(plan: Plan) -> str:
    trace = record(plan.backbone, plan.size[0])
    if not trace.idle:
        return ""
    training = record(plan.backbone, plan.size[0], training=True)
    places = {_place(call): index for index, call in enumerate(training.calls)}
    moved = tuple(_elsewhere(edit, trace, places) for edit in edits(plan))
    try:
        sizes(edited(training, moved), plan.size)
    except SiteError as error:
        return str(error)
    return ""


def _place(call: Call) -> tuple[str, str, int, int]:
    return call.path, call.op, call.visit, call.ordinal


def _elsewhere(edit: Edit, trace: Trace, places: dict[tuple[str, str, int, int], int]) -> Edit:
    """Return the edit with the indices that its calls have in another trace of the same network."""

    def now(index: int) -> int:
        return places[_place(trace.calls[index])] if index >= 0 else index

    if isinstance(edit, Hang):
        return replace(edit, call=now(edit.call), only=edit.only and tuple(map(now, edit.only)))
    if isinstance(edit, Widen):
        return replace(edit, call=now(edit.call), head=now(edit.head))
    return replace(edit, call=now(edit.call))


def replayed(plan: Plan | str) -> tuple[Trace, tuple[Shape, ...], tuple[Field, ...]]:
    """Return the trace of a canonical Plan, the shape of every call's result, and its receptive field."""
    return _replayed(as_plan(plan))


@memory.kept
def _replayed(plan: Plan) -> tuple[Trace, tuple[Shape, ...], tuple[Field, ...]]:
    trace = edited(record(plan.backbone, plan.size[0]), edits(plan))
    shapes = sizes(trace, plan.size)
    return trace, tuple(shapes), tuple(fields(trace, shapes))
