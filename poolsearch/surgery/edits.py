"""A Plan as edits: the one list from which both the replay (in integers) and the rebuilt model are made.

Recipes, by what the published network has at the site:
- a pooling: another pooling takes its place.
- a strided convolution, `after` (default): the convolution runs at stride 1, the pooling stands behind its
  activation (Zhang 2019: blurring before the ReLU would blur the input). A shortcut has no activation behind it: there
  the pooling stands before the 1x1 convolution (the shortcut of ResNet-D, He T. et al. 2019).
- `before`: the pooling, then the same convolution at stride 1. `hybrid`: the pooling, then a 1x1 convolution.
- a head: the fully connected layer behind it takes another width, where nothing else stands between and it can.
- a function call: the module that makes it is rewritten, alone, and the pooling takes the call's place.

A site's spec is what stands at its main member. The others get the same with their own padding, so that at every input
size all members leave maps of the same size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch

from poolsearch import pooling
from poolsearch.errors import SiteError, unknown
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS, adaptive, heads, wide, windowed
from poolsearch.plan.windows import spread
from poolsearch.records.network import Member, Site
from poolsearch.surgery.network import Network
from poolsearch.surgery.trace import SizedCall, Trace
from poolsearch.surgery.wider import Widen, widened, wider


@dataclass(frozen=True)
class Swap:
    """Another pooling in the place of a pooling module.

    `flattened` where that module left vectors, not maps; `channels_last` where it took maps of (N, H, W, C).
    """

    site: str
    path: str
    call: int
    spec: PoolSpec
    channels: int
    flattened: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Rewrite:
    """A pooling in the place of a function call: the n-th call of `function` in one run of the module's forward."""

    site: str
    path: str  # of the module whose forward makes the call; "" is the network itself
    function: str
    ordinal: int
    call: int
    spec: PoolSpec
    channels: int
    flattened: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Restride:
    """A convolution with another stride; `pointwise` makes it 1x1, its kernel summed up."""

    site: str
    path: str
    call: int
    stride: tuple[int, int]
    pointwise: bool = False


@dataclass(frozen=True)
class Attach:
    """A pooling attached behind or before a module, by a hook: the module and its keys stay."""

    site: str
    path: str
    side: Literal["after", "before"]
    call: int  # the pooling takes the result of this call
    only: tuple[int, ...] | None  # calls that take the pooled result; None for all users
    spec: PoolSpec
    channels: int


Edit = Swap | Rewrite | Restride | Attach | Widen


def canonical(plan: Plan, network: Network) -> Plan:
    """Return the Plan with its changes in network order, and without those that are the published network's own.

    Raises SiteError or PlanError where a site, or what it is asked to be, does not exist.
    """
    sites = network.sites
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
    if site.role == "head":
        fixed, behind = site.published is not None and site.published.kind in adaptive(), site.behind
        possible = {*adaptive()} if fixed else {*heads()}
        possible |= {*heads()} if behind else set()
        possible |= {*wide(), *adaptive()} if behind and behind.last else set()
        return tuple(kind for kind in KINDS if kind in possible)
    return windowed()


def check_kind(site: Site, spec: PoolSpec, backbone: str) -> None:
    """Raise SiteError when this spec can't stand at this site, with what can."""
    if site.locked:
        raise SiteError(f"Site '{site.name}' of {backbone} stays {site.main.text}: {site.locked}.")
    if spec.kind not in possible_kinds(site):
        reason = "turns the whole map into one number" if site.role == "head" else "keeps a map"
        if site.role == "head" and spec.kind in heads():
            reason = "leaves a map of fixed size for the layers behind it"
        elif site.role == "head" and spec.kind in (*wide(), *adaptive()):
            layer = f"{site.behind.path}, not the last layer," if site.behind else "what stands behind it"
            reason = f"leaves as many numbers as {layer} takes"
        raise SiteError(
            f"Site '{site.name}' of {backbone} {reason}, so '{spec.kind}' can't stand there. "
            f"Possible: {', '.join(possible_kinds(site))}."
        )
    if spec.placement != "after" and (site.form != "convolution" or KINDS[spec.kind].convolution == "dense"):
        raise SiteError(
            f"'{spec.placement}' says where a pooling stands beside a strided convolution; "
            f"site '{site.name}' of {backbone} would have none. Leave the word out."
        )
    own = site.published
    last = site.behind is not None and site.behind.last
    if spec.kind in adaptive() and own and not last and spec.option("size") != own.option("size"):
        raise SiteError(
            f"The layers behind site '{site.name}' of {backbone} expect {own.option('size'):g}x{own.option('size'):g}, "
            f"got size={spec.option('size'):g}. Nearest: '{spec.kind} size={own.option('size'):g}'."
        )
    if site.keeps_size and max(spread(spec.stride, 2, 1)) > 1:
        raise SiteError(
            f"Site '{site.name}' of {backbone} keeps the size of its map; its stride stays 1, got '{spec}'. "
            "Change its kind or kernel instead."
        )
    if site.keeps_convolution(spec.kind):
        assert own is not None
        if replace(spec, stride=own.stride) != own:
            raise SiteError(
                f"Site '{site.name}' of {backbone} is a convolution whose kernel, padding and dilation belong to its "
                f"weights; only its stride can change. Nearest: '{replace(own, stride=spec.stride)}'."
            )


def edits(plan: Plan, network: Network) -> tuple[Edit, ...]:
    """Return the edits that make a canonical Plan of its published network, in network order."""
    found: list[Edit] = []
    trace = network.trace
    for site in network.sites:
        spec = plan.spec(site.name)
        if spec is not None:
            for member in site.members:
                found += _member_edits(site, member, _for_member(site, member, spec), trace)
            found += widened(site, spec)
    return tuple(found)


def _for_member(site: Site, member: Member, spec: PoolSpec) -> PoolSpec:
    """Return the spec of one member: the site's, padded so that it leaves a map of the size that the main one leaves.

    A window leaves ⌊(n + padding - kernel) / stride⌋ + 1 of n pixels; behind or before a convolution n is what that
    convolution makes of it. Equal sums of these differences are equal sizes for every n.
    """
    main = site.main
    if member is main:
        return spec
    if site.keeps_convolution(spec.kind):
        assert member.spec is not None
        return replace(member.spec, stride=spec.stride)
    if "padding" not in KINDS[spec.kind].takes or isinstance(spec.padding, str) or not spec.kernel:
        return spec
    pads = spec.padding * 2 if len(spec.padding) == 1 else spec.padding or ((0, 0), (0, 0))
    wanted = [_lost(main, spec, axis) + sum(pads[axis]) for axis in (0, 1)]
    amounts = [total - _lost(member, spec, axis) for axis, total in enumerate(wanted)]
    if min(amounts) < 0:
        return spec
    return replace(spec, padding=tuple((n // 2, n - n // 2) for n in amounts))


def _lost(member: Member, spec: PoolSpec, axis: int) -> int:
    """Return how many pixels (negative) the convolution at a member takes away before the pooling stands."""
    own = member.spec
    if member.form != "convolution" or spec.placement != "after" or own is None or isinstance(own.padding, str):
        return 0
    if member.anchor is None and own.kernel == (1,):
        return 0  # the pooling stands before it
    kernel, dilation = spread(own.kernel, 2, 1)[axis], spread(own.dilation, 2, 1)[axis]
    pads = own.padding * 2 if len(own.padding) == 1 else own.padding or ((0, 0), (0, 0))
    return sum(pads[axis]) - dilation * (kernel - 1)


def _member_edits(site: Site, member: Member, spec: PoolSpec, trace: Trace) -> Iterable[Edit]:
    call = trace.calls[member.call]
    last = trace.calls[call.inputs[0]].channels_last
    pooling = replace(spec, placement="after")
    if member.form == "pooling":
        return [Swap(site.name, member.path, member.call, pooling, member.channels, call.spatial_axes is None, last)]
    if member.form == "function":
        place = (call.path, call.op, call.ordinal, member.call)
        return [Rewrite(site.name, *place, pooling, member.channels, call.spatial_axes is None, last)]
    stride = spread(spec.stride, 2, 1)
    if KINDS[spec.kind].convolution == "dense":
        return [Restride(site.name, member.path, member.call, (stride[0], stride[1]))]
    pointwise = member.spec is not None and member.spec.kernel == (1,)
    dense = Restride(site.name, member.path, member.call, (1, 1), spec.placement == "hybrid" and not pointwise)
    if spec.placement == "after" and member.anchor and member.activation is not None:
        side, path = member.anchor
        return [dense, Attach(site.name, path, side, member.activation, None, pooling, member.channels)]
    if spec.placement == "after" and not pointwise:
        return [dense, Attach(site.name, member.path, "after", member.call, None, pooling, member.channels)]
    return [dense, Attach(site.name, member.path, "before", -1, (member.call,), pooling, member.entering)]


def edited(trace: Trace, changes: tuple[Edit, ...]) -> Trace:
    """Return the trace of the network that a Plan's edits make."""
    shifts: list[int] = []  # places where a call was put in; later indices move by one

    def now(index: int) -> int:
        for place in shifts:
            index += index > place
        return index

    for change in changes:
        if isinstance(change, Swap | Rewrite):
            trace = _swapped(trace, now(change.call), change)
        elif isinstance(change, Restride):
            trace = trace.change(now(change.call), **_restrided(trace.calls[now(change.call)], change))
        elif isinstance(change, Widen):
            trace = wider(trace, now(change.head), now(change.call), change)
        else:
            users = None if change.only is None else tuple(now(i) for i in change.only)
            after = now(change.call) if users is None else trace.calls[users[0]].inputs[0]
            path = f"{change.path}.pooling" if change.path else "pooling"
            behind = trace.calls[after]
            new = SizedCall(
                "pool", path, (after,), behind.shape, True, spec=change.spec, site=change.site, size_rule="window",
                map=behind.map,
            )  # fmt: skip
            trace = trace.insert(after, new, users)
            shifts.append(after)
    return trace


def _swapped(trace: Trace, index: int, change: Swap | Rewrite) -> Trace:
    """Put a pooling in the place of a call; what its module did before that call (padding) goes with it."""
    old = trace.calls[index]
    first = index
    while isinstance(change, Swap) and trace.calls[first - 1].path == old.path and trace.calls[first - 1].inputs:
        first -= 1
    for before in range(first, index):
        source = trace.calls[before].inputs[0]
        idle = replace(
            trace.calls[before],
            op="identity",
            size_rule="same",
            size_from=source,
            map=trace.calls[source].map,
            shares=True,
            freed=0,
        )
        trace = trace.change(before, **idle.__dict__)
    path = old.path if isinstance(change, Swap) else f"{old.path}.pooling".lstrip(".")
    kept = isinstance(change, Rewrite)  # a function's module has weights of its own, which stay
    new = SizedCall(
        "pool",
        path,
        old.inputs,
        old.shape,
        leaf=True,
        spec=change.spec,
        site=change.site,
        parameters=old.parameters * kept,
        buffer_bytes=old.buffer_bytes * kept,
        freed=old.freed,
        size_rule="window",
        map=old.map,
        spatial_axes=old.spatial_axes,
    )
    return trace.change(index, **new.__dict__)


def _restrided(call: SizedCall, change: Restride) -> dict[str, object]:
    win = call.window
    assert win is not None
    if not change.pointwise:
        # a padding that depends on the input (SAME) stays so
        return {"window": replace(win, stride=change.stride), "site": change.site}
    ones = (1, 1)
    kernel_numbers = call.weight[2] * call.weight[3]
    return {
        "window": replace(win, kernel=ones, stride=ones, padding=((0, 0), (0, 0)), dilation=ones),
        "size_rule": "window",
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
