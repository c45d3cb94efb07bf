"""A Plan as edits: the one list from which both the replay (in integers) and the rebuilt model are made.

Recipes, by what the published network has at the site:
- a pooling: another pooling takes its place.
- a strided convolution, `after` (default): the convolution runs at stride 1, the pooling stands behind its
  activation (Zhang 2019: blurring before the ReLU would blur the input). A shortcut has no activation behind it: there
  the pooling stands before the 1x1 convolution (the shortcut of ResNet-D, He T. et al. 2019).
- `before`: the pooling, then the same convolution at stride 1. `hybrid`: the pooling, then a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch

from poolsearch import pooling
from poolsearch.errors import SiteError, unknown
from poolsearch.kinds import HEADS, KINDS, WINDOWED
from poolsearch.plan import Plan, PoolSpec
from poolsearch.rows import Member, Site
from poolsearch.surgery.sites import find_sites
from poolsearch.surgery.trace import Call, Trace
from poolsearch.windows import spread


@dataclass(frozen=True)
class Swap:
    """Another pooling in the place of a pooling module."""

    site: str
    path: str
    call: int
    spec: PoolSpec
    channels: int


@dataclass(frozen=True)
class Restride:
    """A convolution with another stride; `pointwise` makes it 1x1, its kernel summed up."""

    site: str
    path: str
    call: int
    stride: tuple[int, int]
    pointwise: bool = False


@dataclass(frozen=True)
class Hang:
    """A pooling hung behind or before a module, by a hook: the module and its keys stay."""

    site: str
    path: str
    side: Literal["after", "before"]
    call: int  # the pooling takes the result of this call
    only: tuple[int, ...] | None  # calls that take the pooled result; None for all users
    spec: PoolSpec
    channels: int


Edit = Swap | Restride | Hang


def canonical(plan: Plan) -> Plan:
    """Return the Plan with its changes in network order, and without those that are the published network's own.

    Raises SiteError or PlanError where the backbone, a site, or what it is asked to be does not exist.
    """
    sites = find_sites(plan.backbone, plan.size)
    names = [site.name for site in sites]
    for name, _ in plan.sites:
        if name not in names:
            raise SiteError(unknown("site", name, names, where=plan.backbone))
    kept = []
    for site in sites:
        spec = plan.spec(site.name)
        if spec is not None and spec != site.published:
            check_kind(site, spec, plan.backbone)
            kept.append((site.name, spec))
    return replace(plan, sites=tuple(kept))


def possible_kinds(site: Site) -> tuple[str, ...]:
    """Return the kinds that may stand at a site, in display order; only the published one where it is locked."""
    if site.locked:
        return (site.published.kind,) if site.published else ()
    return HEADS if site.role == "head" else WINDOWED


def check_kind(site: Site, spec: PoolSpec, backbone: str) -> None:
    """Raise SiteError when this spec can't stand at this site, with what can."""
    if site.locked:
        raise SiteError(f"Site '{site.name}' of {backbone} stays {site.main.text}: {site.locked}.")
    if spec.kind not in possible_kinds(site):
        reason = "turns the whole map into one number" if site.role == "head" else "keeps a map"
        raise SiteError(
            f"Site '{site.name}' of {backbone} {reason}, so '{spec.kind}' can't stand there. "
            f"Possible: {', '.join(possible_kinds(site))}."
        )
    if spec.placement != "after" and (site.form != "convolution" or spec.kind == "conv"):
        raise SiteError(
            f"'{spec.placement}' says where a pooling stands beside a strided convolution; "
            f"site '{site.name}' of {backbone} would have none. Leave the word out."
        )
    if spec.kind == "conv" and site.form == "convolution":
        own = site.published
        assert own is not None
        if replace(spec, stride=own.stride) != own:
            raise SiteError(
                f"Site '{site.name}' of {backbone} is a convolution whose kernel, padding and dilation belong to its "
                f"weights; only its stride can change. Nearest: '{replace(own, stride=spec.stride)}'."
            )


def edits(plan: Plan) -> tuple[Edit, ...]:
    """Return the edits of a canonical Plan, in network order."""
    found: list[Edit] = []
    for site in find_sites(plan.backbone, plan.size):
        spec = plan.spec(site.name)
        if spec is not None:
            found += [edit for member in site.members for edit in _member_edits(site, member, spec)]
    return tuple(found)


def _member_edits(site: Site, member: Member, spec: PoolSpec) -> Iterable[Edit]:
    if member.form == "pooling":
        return [Swap(site.name, member.path, member.call, replace(spec, placement="after"), member.channels)]
    stride = spread(spec.stride, 2, 1)
    if spec.kind == "conv":
        return [Restride(site.name, member.path, member.call, (stride[0], stride[1]))]
    pooling = replace(spec, placement="after")
    pointwise = member.spec is not None and member.spec.kernel == (1,)
    dense = Restride(site.name, member.path, member.call, (1, 1), spec.placement == "hybrid" and not pointwise)
    if spec.placement == "after" and member.anchor and member.activation is not None:
        side, path = member.anchor
        return [dense, Hang(site.name, path, side, member.activation, None, pooling, member.channels)]
    if spec.placement == "after" and not pointwise:
        return [dense, Hang(site.name, member.path, "after", member.call, None, pooling, member.channels)]
    return [dense, Hang(site.name, member.path, "before", -1, (member.call,), pooling, member.entering)]


def edited(trace: Trace, changes: tuple[Edit, ...]) -> Trace:
    """Return the trace of the network that a Plan's edits make."""
    shifts: list[int] = []  # places where a call was put in; later indices move by one

    def now(index: int) -> int:
        for place in shifts:
            index += index > place
        return index

    for change in changes:
        if isinstance(change, Swap):
            old = trace.calls[now(change.call)]
            new = Call("pool", old.path, old.inputs, old.shape, leaf=True, spec=change.spec, site=change.site)
            trace = trace.change(now(change.call), **new.__dict__)
        elif isinstance(change, Restride):
            trace = trace.change(now(change.call), **_restrided(trace.calls[now(change.call)], change))
        else:
            users = None if change.only is None else tuple(now(i) for i in change.only)
            after = now(change.call) if users is None else trace.calls[users[0]].inputs[0]
            path = f"{change.path}.pooling" if change.path else "pooling"
            new = Call("pool", path, (after,), trace.calls[after].shape, True, spec=change.spec, site=change.site)
            trace = trace.insert(after, new, users)
            shifts.append(after)
    return trace


def _restrided(call: Call, change: Restride) -> dict[str, object]:
    win = call.window
    assert win is not None
    if not change.pointwise:
        return {"window": replace(win, stride=change.stride), "site": change.site}
    ones = (1, 1)
    kernel_numbers = call.weight[2] * call.weight[3]
    return {
        "window": replace(win, kernel=ones, stride=ones, padding=((0, 0), (0, 0)), dilation=ones),
        "weight": (*call.weight[:2], 1, 1),
        "parameters": call.parameters - call.weight[0] * call.weight[1] * (kernel_numbers - 1),
        "site": change.site,
    }


@lru_cache(maxsize=1024)
def learned_numbers(spec: PoolSpec, channels: int) -> int:
    """Return how many weights a pooling brings along."""
    if not KINDS[spec.kind].learned:
        return 0
    with torch.device("meta"):
        return sum(p.numel() for p in pooling.build(spec, channels).parameters())
