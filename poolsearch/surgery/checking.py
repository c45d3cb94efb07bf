"""Check a Plan before any weight exists: its sites, what may stand there, and that every map it makes is real."""

from __future__ import annotations

from functools import lru_cache

from poolsearch import backbones
from poolsearch.errors import SiteError
from poolsearch.plan import Plan
from poolsearch.rows import Site
from poolsearch.surgery.edits import canonical, edited, edits
from poolsearch.surgery.record import record
from poolsearch.surgery.replay import Shape, fields, sizes
from poolsearch.surgery.sites import find_sites as _find_sites
from poolsearch.surgery.trace import Trace
from poolsearch.windows import Field


def find_sites(backbone: str, size: tuple[int, int, int] | None = None) -> tuple[Site, ...]:
    """Return the sites of a backbone in network order, with the map sizes at this input size (its usual one).

    Raises SiteError when the published network can't run at that size, with the smallest input that can.
    """
    size = size or backbones.backbone(backbone).size
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


@lru_cache(maxsize=4096)
def check(plan: Plan) -> Plan:
    """Return the canonical Plan. Raises PlanError or SiteError with the reason when it can't run; nothing is built."""
    find_sites(plan.backbone, plan.size)
    plan = canonical(plan)
    replayed(plan)
    return plan


@lru_cache(maxsize=512)
def replayed(plan: Plan) -> tuple[Trace, tuple[Shape, ...], tuple[Field, ...]]:
    """Return the trace of a canonical Plan, the shape of every call's result, and its receptive field."""
    trace = edited(record(plan.backbone, plan.size[0]), edits(plan))
    shapes = sizes(trace, plan.size)
    return trace, tuple(shapes), tuple(fields(trace, shapes))
